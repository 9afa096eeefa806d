//! Where a sample stands in its file, for errors about it.

use std::path::Path;

use shared::error::{Code, Error};

/// The file and the line that an error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub path: &'a Path,
    pub line: u64,
}

impl At<'_> {
    /// An error about this line.
    pub(crate) fn error(&self, code: Code, what: impl Into<String>) -> Error {
        Error::new(code, what).at_line(self.path, self.line)
    }

    /// [`Code::UnknownForm`], about this line.
    pub(crate) fn unknown(&self, what: impl Into<String>) -> Error {
        self.error(Code::UnknownForm, what)
    }
}
