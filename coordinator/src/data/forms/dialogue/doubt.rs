//! What can be read in two ways, and both readings.

use super::cast::Cast;
use super::roles::{Part, Roles};
use super::speakers::Side;

/// One way to read a file.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// In words.
    pub says: String,
    pub roles: Roles,
}

/// A place that can be read in two ways.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    /// Index of the line that shows it.
    pub line: usize,
    /// How sure the likelier reading is, in percent.
    pub sure: u8,
    pub why: String,
    pub readings: Vec<Reading>,
    /// What else would end it, where `roles` cannot.
    pub fixes: Vec<String>,
}

impl Doubt {
    /// A name that is text, or speaks for the side that it is known for; for either where it is not.
    pub(super) fn one_name(
        cast: &Cast<'_>,
        roles: &Roles,
        name: usize,
        line: usize,
        sure: u8,
        why: String,
    ) -> Self {
        let shown = &cast.names[name].shown;
        let reading = |part: Option<Part>| {
            let mut roles = Roles {
                configured: true,
                ..roles.clone()
            };
            roles.parts[name] = part;
            let says = match part {
                None => format!("`{shown}` is text"),
                Some(Part::Asks) => format!("`{shown}` asks"),
                Some(Part::Answers) => format!("`{shown}` answers"),
                Some(Part::System) => format!("`{shown}` instructs"),
            };
            Reading { says, roles }
        };
        let parts = match cast.names[name].side() {
            Some(Side::Asks) => vec![Some(Part::Asks), None],
            Some(Side::Answers) => vec![Some(Part::Answers), None],
            _ => vec![None, Some(Part::Asks), Some(Part::Answers)],
        };
        let readings = parts.into_iter().map(reading).collect();
        Self {
            line,
            sure,
            why,
            readings,
            fixes: Vec::new(),
        }
    }
}
