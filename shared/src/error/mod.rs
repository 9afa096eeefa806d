//! Coded failures: what, where, why, the fix, and what was not done.
//!
//! Every failure a user can meet is an [`Error`] with a stable [`Code`]; the code decides the exit
//! code. `render` turns it into text for a terminal, `serde` into one JSON object.

mod code;
mod render;
mod visible;

use serde::{Deserialize, Serialize};

pub use code::{Code, ExitCode};
pub use render::render;
pub use visible::{is_invisible, visible};

/// Result with a coded failure.
pub type Result<T> = std::result::Result<T, Error>;

/// A place in a file the user wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// File, folder or worker.
    pub file: String,
    /// Line in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The line's text, shown with a caret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many characters the caret spans, 0 meaning one.
    #[serde(default)]
    pub span: u64,
}

/// A coded failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} {what}")]
pub struct Error {
    /// Stable code of the failure, such as `E0102`; it decides the exit code.
    pub code: Code,
    /// What is wrong, one sentence without a final stop.
    pub what: String,
    /// File and position that the failure is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Details and reason, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What to do, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
    /// Further failures found in the same go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Error>,
}

impl Error {
    /// A failure with its code and what is wrong.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            place: None,
            why: Vec::new(),
            fix: Vec::new(),
            also: Vec::new(),
        }
    }

    /// Says in which file.
    #[must_use]
    pub fn in_file(mut self, file: impl AsRef<std::path::Path>) -> Self {
        self.place = Some(Place {
            file: file.as_ref().display().to_string(),
            ..Place::default()
        });
        self
    }

    /// Says in which file and line.
    #[must_use]
    pub fn at_line(mut self, file: impl AsRef<std::path::Path>, line: u64) -> Self {
        self.place = Some(Place {
            file: file.as_ref().display().to_string(),
            line: Some(line),
            ..Place::default()
        });
        self
    }

    /// Says where exactly.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds a line of reason.
    #[must_use]
    pub fn why(mut self, line: impl Into<String>) -> Self {
        self.why.push(line.into());
        self
    }

    /// Adds a line of remedy.
    #[must_use]
    pub fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    /// Adds further failures found in the same go.
    #[must_use]
    pub fn also(mut self, errors: impl IntoIterator<Item = Self>) -> Self {
        self.also.extend(errors);
        self
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.code.exit_code()
    }
}
