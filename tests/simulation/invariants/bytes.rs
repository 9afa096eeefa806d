//! Every committed state is the one that a single worker without any fault has at that step; where unlike
//! devices took part, what is committed again is what it was, or a fork was announced.

use std::collections::BTreeMap;

use coordinator::engine::{Committed, Rewind};
use shared::ids::Step;

use super::Violation;

pub(super) fn step(
    reference: &BTreeMap<Step, String>,
    commit: &Committed,
) -> Result<(), Violation> {
    if reference.get(&commit.step) == Some(&commit.state_digest) {
        return Ok(());
    }
    Err(Violation::new(
        "same bytes",
        format!("step {} was committed with another state", commit.step),
    ))
}

/// What comes again comes out the same.
pub(super) fn replay(known: &BTreeMap<Step, String>, commit: &Committed) -> Result<(), Violation> {
    let before = known.get(&commit.step);
    if before.is_none_or(|digest| *digest == commit.state_digest) {
        return Ok(());
    }
    Err(Violation::new(
        "replay",
        format!(
            "step {} came out differently, and no fork was announced",
            commit.step
        ),
    ))
}

/// A fork needs unlike devices, and names them.
pub(super) fn fork(mixed: bool, rewind: &Rewind) -> Result<(), Violation> {
    if mixed && rewind.forked.len() > 1 {
        return Ok(());
    }
    Err(Violation::new(
        "replay",
        format!("a fork among {:?}", rewind.forked),
    ))
}
