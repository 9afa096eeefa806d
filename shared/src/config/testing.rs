//! A configuration for the tests of every crate, so that none is built by hand.

use std::path::Path;

use super::keys::RunConfig;
use super::load::load_text;
use crate::error::Result;

/// The required keys, then these lines of YAML: the rest has its defaults.
///
/// # Errors
/// As [`load_text`].
pub fn config(lines: &str) -> Result<RunConfig> {
    let required = "train_data_dir: /d\nbase_model: /b\noutput_dir: /o\n";
    let text = format!("{required}{lines}");
    load_text("run.yaml", &text, Path::new("/")).map(|loaded| loaded.config)
}
