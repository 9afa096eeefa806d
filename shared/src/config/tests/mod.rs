//! Tests of the whole room: good files, bad files, the way there and back, what is stored.

mod aliases;
mod bad_files;
mod bad_formats;
mod bad_keys;
mod bad_together;
mod bad_values;
mod bad_words;
mod good;
mod round_trip;
mod stored;
mod unseen;
mod verdicts;

use std::path::Path;

use super::document::Source;
use super::keys::RunConfig;
use super::load::resolve;
use super::loaded::Loaded;
use crate::error::{Error, render};

/// The required keys and nothing else.
pub(super) const MINIMAL: &str = "train_data_dir: data\nbase_model: base\noutput_dir: out\n";

/// Loads a text as `run.yaml`, started from `/start`.
pub(super) fn load_text(text: &str, overrides: &[&str]) -> Result<Loaded, Error> {
    let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
    resolve(
        Source::new("run.yaml", text),
        &overrides,
        Path::new("/start"),
    )
}

/// Loads the required keys, then these lines.
pub(super) fn with(lines: &str) -> Result<Loaded, Error> {
    load_text(&format!("{MINIMAL}{lines}"), &[])
}

/// All defaults.
pub(in crate::config) fn minimal() -> RunConfig {
    with("").unwrap().config
}

/// The error of the required keys and these lines.
pub(super) fn said(lines: &str) -> String {
    shown(with(lines).unwrap_err())
}

/// The error of `--set` texts over the required keys.
pub(super) fn said_of_set(set: &[&str]) -> String {
    shown(load_text(MINIMAL, set).unwrap_err())
}

/// An error as a user sees it; all of this room end the process alike.
pub(super) fn shown(error: Error) -> String {
    assert_eq!(error.exit_code() as u8, 2, "{error}");
    render(&error)
}

/// One test per line: a name, what is said, and what should be.
macro_rules! bad {
    ($($name:ident: $text:expr => @$snapshot:literal;)*) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!($text, @$snapshot);
        })*
    };
}
use bad;
