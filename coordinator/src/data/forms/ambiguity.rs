//! E0310: what can be read in two ways is not read.
//!
//! Keeps: nobody chooses for the user; each refusal names the settings that would decide.

use std::path::Path;

use shared::error::{Code, Error};

use super::at::At;
use super::columns;

/// A sample with keys of two forms, or with two keys for one part.
pub(crate) fn sample(
    at: At<'_>,
    keys: &[&str],
    why: &str,
    settings: impl IntoIterator<Item = String>,
) -> Error {
    ambiguous("a sample", settings)
        .at_line(at.path, at.line)
        .why(format!("its keys: {} ({why})", keys.join(", ")))
}

/// A table with two columns for one part.
pub(crate) fn table(path: &Path, header: &[String], why: &str) -> Error {
    ambiguous("the table's columns", columns::settings(header))
        .at_line(path, 1)
        .why(format!("its columns: {} ({why})", header.join(", ")))
}

/// A dialogue whose speakers may as well be the other way round.
pub(crate) fn roles(path: &Path, why: String, settings: impl IntoIterator<Item = String>) -> Error {
    ambiguous("who asks and who answers", settings)
        .in_file(path)
        .why(why)
}

fn ambiguous(what: &str, settings: impl IntoIterator<Item = String>) -> Error {
    let error = Error::new(Code::Ambiguous, format!("{what} can be read in two ways"));
    settings.into_iter().fold(error, Error::fix)
}
