//! Once per run: what was prepared from the same sources is used again.
//!
//! In: configuration and a folder on shared storage. Out: the dataset file, its digest, the report.
//! Keeps: the index names the source digest, so other data, tokenizer or settings never meet an old
//! dataset; nothing is created unless the preparation succeeded, and then each file at once.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::config::{FormatConfig, PrivacyMode};
use shared::dataset::{DatasetWriter, PreparedDataset};
use shared::error::{Code, Error, Result};
use shared::objective::{NextToken, Objective};
use shared::storage;
use shared::text::{ChatTemplate, TextTokenizer};

use super::config::DataConfig;
use super::files::{self, SourceFile};
use super::prepare::{Prepared, prepare_with};
use super::privacy;
use super::report::DataReport;
use super::sources::Sources;
use super::walk::Progress;

/// Changes whenever the same sources would give other rows or another report.
const VERSION: &str = "data-sources-3";
/// Bytes of a file that are hashed at once.
const BUFFER: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Index {
    dataset: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation: Option<String>,
    report: DataReport,
}

/// Digest over everything the prepared rows depend on: names and contents of the files, the
/// tokenizer and template, and the settings of this room.
///
/// # Errors
/// [`Code::Io`] or [`Code::MissingPath`] when a file cannot be read.
pub fn source_digest(config: &DataConfig, tokenizer_digest: &str) -> Result<String> {
    digest_of(&Sources::all(config), tokenizer_digest)
}

fn digest_of(sources: &Sources<'_>, tokenizer_digest: &str) -> Result<String> {
    // Every field, so that a new one cannot be left out: the folders are named by their files, the base model by its
    // tokenizer, and other validation data are other rows.
    let DataConfig {
        train_data_dir: _,
        metadata_path,
        base_model: _,
        max_seq_length,
        overflow,
        loss_on,
        dialogue,
        csv_columns,
        formats,
        privacy,
        validation_dir: _,
        validation_split,
        seed,
    } = sources.config;
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    let mut settings = serde_json::json!({
        "max_seq_length": max_seq_length,
        "overflow": overflow,
        "loss_on": loss_on,
        "dialogue": dialogue,
        "csv_columns": csv_columns,
        "metadata": metadata_path.is_some(),
    });
    if *validation_split > 0.0 {
        settings["validation_split"] = serde_json::json!([validation_split, seed]);
    }
    // Fields at their defaults say nothing, so that what was prepared before they were there serves.
    if *formats != FormatConfig::default() {
        settings["formats"] = serde_json::json!(formats);
    }
    if !formats.sources.is_empty() {
        settings["seed"] = serde_json::json!(seed);
    }
    // A scan changes the report, a mask the rows too: what was prepared without either serves neither.
    if privacy.mode != PrivacyMode::Off {
        settings["privacy"] = serde_json::json!([privacy::VERSION, privacy]);
    }
    if let Some(keep) = &sources.keep {
        settings["keep"] = keep.name.as_str().into();
    }
    for text in [VERSION, tokenizer_digest, &settings.to_string()] {
        part(text.as_bytes());
    }
    let metadata = metadata_path.as_deref().map(SourceFile::single);
    let listed = files::of_run(sources.config)?;
    for file in metadata.iter().chain(&listed) {
        part(file.name.as_bytes());
        let known = files::KNOWN.contains(&file.extension().as_str());
        if known || metadata.is_some() {
            part(content_digest(&file.path)?.as_bytes());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn content_digest(path: &Path) -> Result<blake3::Hash> {
    let unreadable = |e: io::Error| {
        Error::new(Code::Io, "a data file cannot be read")
            .in_file(path)
            .why(e.to_string())
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&buffer[..read]),
        };
    }
}

/// Data that is prepared, or found prepared; nothing is published yet.
#[derive(Debug)]
pub struct Ready {
    /// Digest of the prepared dataset.
    pub digest: String,
    /// Digest of the rows that are kept out and evaluated, when there are any.
    pub validation: Option<String>,
    /// What was found in the sources.
    pub report: DataReport,
    source: String,
    fresh: Option<(DatasetWriter, Option<DatasetWriter>)>,
}

/// Prepares the data of a run, or finds it prepared in `folder`. Rows stay in memory unless they are
/// many; then they lie in a hidden folder there, until they are published or let go.
///
/// # Errors
/// As [`super::prepare_with`].
pub fn ready(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Ready> {
    ready_of(&Sources::all(config), tokenizer, template, folder, progress)
}

/// [`ready`] for chosen sources.
///
/// # Errors
/// As [`ready`].
pub fn ready_of(
    sources: &Sources<'_>,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Ready> {
    let source = digest_of(sources, tokenizer.digest())?;
    if let Some(Index {
        dataset,
        validation,
        report,
    }) = read_index(&index_path(folder, &source), folder)
    {
        return Ok(Ready {
            digest: dataset,
            validation,
            report,
            source,
            fresh: None,
        });
    }
    let durable = Some((folder, source.as_str()));
    let Prepared {
        writer,
        validation,
        report,
    } = prepare_with(sources, tokenizer, template, durable, progress)?;
    Ok(Ready {
        digest: writer.digest()?,
        validation: validation.as_ref().map(DatasetWriter::digest).transpose()?,
        report,
        source,
        fresh: Some((writer, validation)),
    })
}

impl Ready {
    /// Whether the dataset lay in the folder already.
    #[must_use]
    pub fn reused(&self) -> bool {
        self.fresh.is_none()
    }

    /// Tokens and predicted tokens of every row; `folder` is where it was looked for.
    ///
    /// # Errors
    /// [`Code::Io`] or [`Code::DigestDiffers`] when what lies in a folder cannot be used.
    pub fn sizes(&self, folder: &Path) -> Result<(Vec<u32>, Vec<u32>)> {
        if let Some((writer, _)) = &self.fresh {
            return writer.sizes();
        }
        let dataset = PreparedDataset::open(&dataset_path(folder, &self.digest))?;
        Ok((dataset.lengths(), NextToken.units_of(&dataset)))
    }

    /// Writes dataset and index into the folder, the index last; returns the dataset's file.
    ///
    /// # Errors
    /// [`Code::Io`] when the folder cannot be written.
    pub fn publish(&self, folder: &Path) -> Result<PathBuf> {
        let Some((writer, validation)) = &self.fresh else {
            return Ok(dataset_path(folder, &self.digest));
        };
        if let (Some(validation), Some(digest)) = (validation, &self.validation) {
            validation.publish_as(folder, digest)?;
        }
        let path = writer.publish_as(folder, &self.digest)?;
        let entry = Index {
            dataset: self.digest.clone(),
            validation: self.validation.clone(),
            report: self.report.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&entry)
            .map_err(|e| Error::new(Code::Internal, format!("the data report: {e}")))?;
        storage::write_atomic(&index_path(folder, &self.source), &bytes)?;
        Ok(path)
    }
}

fn index_path(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("{source}.index.json"))
}

/// Where a prepared dataset of this digest lies.
#[must_use]
pub fn dataset_path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(format!("{digest}.safetensors"))
}

/// A usable index entry; an unreadable one or a missing dataset means to prepare again.
fn read_index(index: &Path, folder: &Path) -> Option<Index> {
    let entry: Index = serde_json::from_slice(&std::fs::read(index).ok()?).ok()?;
    let there = |digest: &String| dataset_path(folder, digest).is_file();
    let all = there(&entry.dataset) && entry.validation.iter().all(there);
    all.then_some(entry)
}
