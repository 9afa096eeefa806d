//! Whether the paths of a configuration lead anywhere.
//!
//! In: a [`RunConfig`]. Out: what is missing. Side effects: asks the file system, writes nothing.
//! Loading does not do this, so that a configuration can be checked on a machine without the model.

use std::path::Path;

use super::keys::RunConfig;
use super::path_hints;
use crate::error::{Code, Error, Result};

/// What must lie at a path.
#[derive(Clone, Copy)]
enum Wanted {
    Folder,
    File,
    Either,
}

impl Wanted {
    fn describe(self) -> &'static str {
        match self {
            Self::Folder => "a folder",
            Self::File => "a file",
            Self::Either => "a folder or a file",
        }
    }
}

/// Checks that data, base model, metadata, first adapter and parent are there.
///
/// # Errors
/// `E0108` with the first missing path, `E0104` for an output folder that was hardly meant; the others in
/// [`Error::also`].
pub fn check_paths(config: &RunConfig) -> Result<()> {
    let mut missing = missing_paths(config).into_iter();
    match missing.next() {
        Some(first) => Err(first.also(missing)),
        None => Ok(()),
    }
}

/// Everything [`check_paths`] would complain of.
#[must_use]
pub fn missing_paths(config: &RunConfig) -> Vec<Error> {
    let data = "the training data: text, JSON, JSONL or CSV files";
    let base = "the base model: config.json, tokenizer and safetensors files";
    let metadata = "the metadata: a CSV or JSONL file whose rows are the samples";
    let parent = "the parent: a checkpoint folder, or the output folder of a finished run";
    let adapter = "the first adapter: adapter_config.json and adapter_model.safetensors";
    [
        missing(
            "train_data_dir",
            Some(&config.train_data_dir),
            Wanted::Either,
            data,
        ),
        missing(
            "validation_dir",
            config.evaluation.dir.as_deref(),
            Wanted::Either,
            "the validation data: files of the same kinds as the training data",
        ),
        missing("base_model", Some(&config.base_model), Wanted::Folder, base),
        missing(
            "metadata_path",
            config.metadata_path.as_deref(),
            Wanted::File,
            metadata,
        ),
        missing(
            "init_adapter",
            config.init_adapter.as_deref(),
            Wanted::Folder,
            adapter,
        ),
        missing("parent", config.parent.as_deref(), Wanted::Folder, parent),
        slip_of_output(&config.output_dir),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn missing(key: &str, path: Option<&Path>, wanted: Wanted, what: &str) -> Option<Error> {
    let path = path?;
    let reason = match std::fs::metadata(path) {
        Ok(found) => match wanted {
            Wanted::Folder if !found.is_dir() => "it is a file".to_owned(),
            Wanted::File if !found.is_file() => "it is a folder".to_owned(),
            _ => return None,
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => there(path),
        Err(error) => error.to_string(),
    };
    let wanted = wanted.describe();
    let mut error = Error::new(Code::MissingPath, format!("`{key}` does not name {wanted}"))
        .in_file(path)
        .why(reason)
        .why(format!("looked for {what}"));
    let hint = path_hints::hint(key, path);
    if hint.is_none() {
        error = error.why("relative paths start from the folder the command is run in");
    }
    let hint = hint.unwrap_or_default();
    for line in hint.why {
        error = error.why(line);
    }
    for line in &hint.fix {
        error = error.fix(line);
    }
    Some(if hint.fix.is_empty() {
        error.fix(format!("put it there, or point `--set {key}=PATH` at it"))
    } else {
        error
    })
}

/// An output folder is made where it is not there: one that nobody meant would be made too.
fn slip_of_output(path: &Path) -> Option<Error> {
    if path.exists() {
        return None;
    }
    let hint = path_hints::slip("output_dir", path)?;
    let what = "`output_dir` is hardly the folder that was meant";
    let mut error = Error::new(Code::OutOfRange, what).in_file(path);
    for line in hint.why {
        error = error.why(line);
    }
    for line in hint.fix {
        error = error.fix(line);
    }
    Some(error)
}

/// How much of the path is there.
fn there(path: &Path) -> String {
    match path.ancestors().skip(1).find(|parent| parent.is_dir()) {
        Some(parent) if Some(parent) == path.parent() => "it is not there".into(),
        Some(parent) => format!(
            "it is not there; {} is the last part that is",
            parent.display()
        ),
        None => "it is not there".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::*;

    #[test]
    fn paths_that_are_there_pass() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = minimal();
        config.train_data_dir = folder.path().into();
        config.base_model = folder.path().into();
        assert!(check_paths(&config).is_ok());
    }

    #[test]
    fn all_missing_paths_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file.txt");
        std::fs::write(&file, "text").unwrap();
        let mut config = minimal();
        config.train_data_dir = folder.path().join("data");
        config.base_model = file.clone();
        config.metadata_path = Some(folder.path().into());
        config.init_adapter = Some(folder.path().join("a/b"));
        config.parent = Some(folder.path().join("out/checkpoint-5"));
        let error = check_paths(&config).unwrap_err();
        assert_eq!(error.also.len(), 4);
        let root = folder.path().display().to_string();
        let text = crate::error::render(&error).replace(&root, "ROOT");
        insta::assert_snapshot!(text, @r#"
        E0108 `train_data_dir` does not name a folder or a file
          at ROOT/data
          it is not there
          looked for the training data: text, JSON, JSONL or CSV files
          relative paths start from the folder the command is run in
          fix: put it there, or point `--set train_data_dir=PATH` at it

        E0108 `base_model` does not name a folder
          at ROOT/file.txt
          it is a file
          looked for the base model: config.json, tokenizer and safetensors files
          relative paths start from the folder the command is run in
          fix: put it there, or point `--set base_model=PATH` at it

        E0108 `metadata_path` does not name a file
          at ROOT
          it is a folder
          looked for the metadata: a CSV or JSONL file whose rows are the samples
          relative paths start from the folder the command is run in
          fix: put it there, or point `--set metadata_path=PATH` at it

        E0108 `init_adapter` does not name a folder
          at ROOT/a/b
          it is not there; ROOT is the last part that is
          looked for the first adapter: adapter_config.json and adapter_model.safetensors
          if `a/b` is the name of a repository on a hub: nothing is downloaded here
          fix: download it first: hf download a/b --local-dir adapters/b
          fix: or from ModelScope: modelscope download --model a/b --local_dir adapters/b
          fix: then --set init_adapter=adapters/b
          fix: or put it there, or point `--set init_adapter=PATH` at it

        E0108 `parent` does not name a folder
          at ROOT/out/checkpoint-5
          it is not there; ROOT is the last part that is
          looked for the parent: a checkpoint folder, or the output folder of a finished run
          relative paths start from the folder the command is run in
          fix: put it there, or point `--set parent=PATH` at it
        "#);
    }
}
