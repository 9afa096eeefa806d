//! Rows that the parent was trained on: what is forgotten shows there.
//!
//! In: the parent's checkpoint and what was prepared for its run. Out: a sample of its training rows
//! as a dataset of this run's own, or a notice why there is none. Keeps: a run that goes on evaluates
//! what it began with, whatever became of the parent's folder since.

use std::path::{Path, PathBuf};

use shared::config::RunConfig;
use shared::dataset::{DatasetWriter, PreparedDataset, RowOrigin};
use shared::error::Result;
use shared::manifest::Manifest;
use shared::run_paths::RunPaths;
use shared::storage::{Folder, write_atomic};
use shared::text::TextTokenizer;

use super::evaluation_sets::{SAMPLE, spread};
use crate::data;

/// The sample in `prepared`, when the run evaluates and has a parent; it is made when the run
/// `begins`.
///
/// # Errors
/// [`shared::error::Code::Io`] when it cannot be written, and those of the parent's manifest.
pub(super) fn rows(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    prepared: &Path,
    begins: bool,
    notices: &mut Vec<String>,
) -> Result<Option<PathBuf>> {
    let evaluates = config.evaluation.dir.is_some() || config.evaluation.split > 0.0;
    let Some(parent) = config.parent.as_deref().filter(|_| evaluates) else {
        return Ok(None);
    };
    let manifest = Manifest::read(&Folder::new(parent))?;
    let known = [
        manifest.state_digest.as_str(),
        tokenizer.digest(),
        &config.max_seq_length.to_string(),
    ];
    let name = blake3::hash(known.join(" ").as_bytes()).to_hex();
    let pointer = prepared.join(format!("{name}.parent"));
    if let Ok(digest) = std::fs::read_to_string(&pointer) {
        let path = data::dataset_path(prepared, digest.trim());
        if path.is_file() {
            return Ok(Some(path));
        }
    }
    let sampled = if begins {
        sample(config, tokenizer, parent, &manifest)
    } else {
        Err("the run began without it".to_owned())
    };
    match sampled {
        Ok(writer) => {
            let path = writer.publish(prepared)?;
            write_atomic(&pointer, writer.digest()?.as_bytes())?;
            Ok(Some(path))
        }
        Err(why) => {
            notices.push(format!(
                "the loss on the parent's training data is not reported: {why}"
            ));
            Ok(None)
        }
    }
}

/// Rows spread over the parent's training data, or why there are none.
fn sample(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    parent: &Path,
    manifest: &Manifest,
) -> std::result::Result<DatasetWriter, String> {
    let above = parent.parent().unwrap_or(parent);
    let home = [parent, above]
        .into_iter()
        .find(|folder| RunPaths::new(*folder).prepared().is_dir());
    let home = home.ok_or_else(|| {
        let folder = RunPaths::new(above).prepared();
        format!("{} is not there", folder.display())
    })?;
    let digest = manifest.identity.get("dataset");
    let digest = digest.ok_or("its manifest names no dataset")?;
    let path = RunPaths::new(home).dataset(digest);
    if !path.is_file() {
        return Err(format!("{} is not there", path.display()));
    }
    for file in tokenizer.files() {
        let theirs = home.join(file.file_name().unwrap_or_default());
        let Ok(bytes) = std::fs::read(&theirs) else {
            return Err(format!(
                "{} is not there, so it is not known whether its tokenizer was this one",
                theirs.display()
            ));
        };
        if std::fs::read(file).ok() != Some(bytes) {
            return Err(format!(
                "its tokenizer or chat template was another one, see {}",
                theirs.display()
            ));
        }
    }
    let dataset = PreparedDataset::open(&path).map_err(|error| error.what)?;
    if dataset.digest() != *digest {
        return Err(format!("{} was changed", path.display()));
    }
    let lengths = dataset.lengths();
    let fits = |row: &usize| lengths[*row] <= config.max_seq_length;
    let rows: Vec<usize> = (0..dataset.len()).filter(fits).collect();
    if rows.is_empty() {
        return Err(format!(
            "every row of it is longer than max_seq_length={}",
            config.max_seq_length
        ));
    }
    let mut writer = DatasetWriter::new();
    for at in spread(rows.len(), SAMPLE) {
        let row = rows[at];
        let sample = dataset
            .sample(row)
            .ok_or("it has fewer rows than it counts")?;
        let origin = RowOrigin {
            file: path.display().to_string(),
            line: row as u64 + 1,
        };
        writer.push(sample.ids, sample.targets, &origin);
    }
    Ok(writer)
}

#[cfg(test)]
#[path = "parent_data_tests.rs"]
mod tests;
