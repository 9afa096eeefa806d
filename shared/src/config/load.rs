//! A YAML file and `--set` texts to a [`Loaded`] configuration, or every reason why not.
//!
//! In: the file, overrides, the folder relative paths start from. Out: a value for every key with
//! its origin, and notices. Side effects: reads the one file.
//! Keeps: all problems of a file are found in one go; the first is the error, the others ride in
//! [`Error::also`].
//! Not here: taking the values (see `reader`), whether paths exist (see `paths`), rules over several
//! keys (see `rules`).

use std::path::Path;

use super::document::Source;
use super::keys;
use super::layers::Layers;
use super::loaded::Loaded;
use super::reader::Reader;
use super::rules;
use crate::error::{Code, Error, Result};

/// Reads a configuration file and lays `overrides` (`key=value`) over it.
///
/// Relative paths start from `cwd`, which is absolute. Whether they exist is not looked at: see
/// [`check_paths`](super::check_paths).
///
/// # Errors
/// `E01xx`, with the place of the first problem; further ones in [`Error::also`].
pub fn load(file: &Path, overrides: &[String], cwd: &Path) -> Result<Loaded> {
    let text = read_text(file, cwd)?;
    resolve(
        Source::new(file.display().to_string(), &text),
        overrides,
        cwd,
    )
}

/// [`load`] of a text that is called `name`.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &str, text: &str, cwd: &Path) -> Result<Loaded> {
    resolve(Source::new(name, text), &[], cwd)
}

fn read_text(file: &Path, cwd: &Path) -> Result<String> {
    let bytes = std::fs::read(cwd.join(file)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::new(Code::MissingPath, "no such configuration file")
            .in_file(file)
            .why(format!("looked for it from {}", cwd.display()))
            .fix("name an existing file, such as `--config configs/quickstart.yaml`"),
        std::io::ErrorKind::IsADirectory => Error::new(
            Code::MissingPath,
            "the configuration is a folder, not a file",
        )
        .in_file(file)
        .fix("name a file, such as `--config configs/quickstart.yaml`"),
        _ => Error::new(Code::Io, "the configuration file cannot be read")
            .in_file(file)
            .why(error.to_string()),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        Error::new(Code::BadYaml, "the configuration file is not UTF-8")
            .at_line(file, line)
            .fix("save it as UTF-8")
    })
}

/// [`load`] past the reading of the file.
pub(super) fn resolve(file: Source, overrides: &[String], cwd: &Path) -> Result<Loaded> {
    let layers = Layers::read(file, overrides);
    let broken = layers
        .problems
        .iter()
        .any(|problem| problem.code == Code::BadYaml);
    let mut reader = Reader::new(layers, cwd);
    if !broken {
        reader.missing_keys(keys::keys());
        if let Some(config) = keys::read(&mut reader) {
            rules::contradictions(&config, &mut reader.layers);
            if reader.layers.problems.is_empty() {
                let mut notices = std::mem::take(&mut reader.layers.notices);
                notices.extend(rules::notices(&config, &reader.origins));
                return Ok(Loaded {
                    config,
                    origins: reader.origins,
                    notices,
                });
            }
        }
    }
    Err(in_order(reader.layers.problems))
}

/// All problems as one error: the one that stands first in the file leads.
fn in_order(mut problems: Vec<Error>) -> Error {
    problems.sort_by_key(|problem| {
        let place = problem.place.as_ref();
        let line = place.and_then(|place| place.line).unwrap_or(u64::MAX);
        (line, place.and_then(|place| place.column).unwrap_or(0))
    });
    let mut problems = problems.into_iter();
    match problems.next() {
        Some(first) => first.why("nothing was started").also(problems),
        None => Error::new(
            Code::Internal,
            "a configuration without a problem was refused",
        ),
    }
}
