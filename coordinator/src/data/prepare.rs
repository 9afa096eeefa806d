//! From the sources of a run to its rows, in memory or on the disk, or only looked at.
//!
//! In: configuration, tokenizer, template. Out: rows to train on, rows that are kept out, and the
//! report. No side effect, unless a folder is named and the rows are many.

use std::path::Path;

use shared::dataset::DatasetWriter;
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::config::DataConfig;
use super::privacy::{Privacy, PrivacyReport};
use super::report::DataReport;
use super::rows::{mixture, split};
use super::sample::{Conversation, Tokenized};
use super::sources::Sources;
use super::walk::{Preparer, Progress, WalkOptions, masked as walk_masked, walk};

/// The rows of a run, and what its data turned out to be.
#[derive(Debug)]
pub struct Prepared {
    /// The rows, not yet published.
    pub writer: DatasetWriter,
    /// The rows that are kept out and evaluated.
    pub validation: Option<DatasetWriter>,
    /// What the data turned out to be.
    pub report: DataReport,
}

/// Prepares the data of a run in memory.
///
/// # Errors
/// `E03..` with file and line; [`Code::BadTokenizer`] without a chat template.
pub fn prepare(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
) -> Result<Prepared> {
    prepare_with(
        &Sources::all(config),
        tokenizer,
        template,
        None,
        &mut |_| {},
    )
}

/// [`prepare`] of chosen sources, with a word about progress now and then. Many rows are put into
/// files of the folder in `durable`, and an interrupted preparation of that name is continued.
///
/// # Errors
/// As [`prepare`]; [`Code::Locked`] while another process prepares the same there.
pub fn prepare_with(
    sources: &Sources<'_>,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    durable: Option<(&Path, &str)>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared> {
    let config = sources.config;
    let preparer = Preparer {
        sources,
        tokenizer,
        template,
    };
    let options = WalkOptions {
        see: &mut |_, _| {},
        progress,
        rows: true,
        durable,
    };
    let mut rows = walk(&preparer, options)?;
    rows.judge(config, template)?;
    let mut report = rows.stats.report;
    let lost = || Error::new(Code::Internal, "the prepared rows are not there");
    let writer = rows.writer.ok_or_else(lost)?;
    let (writer, validation) = shares(config, writer, &mut report, durable)?;
    Ok(Prepared {
        writer,
        validation,
        report,
    })
}

/// The rows to train on and those to evaluate: rows are kept out before any is repeated.
pub(crate) fn shares(
    config: &DataConfig,
    writer: DatasetWriter,
    report: &mut DataReport,
    durable: Option<(&Path, &str)>,
) -> Result<(DatasetWriter, Option<DatasetWriter>)> {
    let (writer, validation) = split::keep_out(config, writer, report, durable)?;
    let writer = mixture::mix(config, writer, report, durable)?;
    Ok((writer, validation))
}

/// Shows every sample before it is cut to length.
pub(crate) fn each(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    see: &mut dyn FnMut(&Conversation, &[Tokenized]),
) -> Result<()> {
    let preparer = Preparer {
        sources: &Sources::all(config),
        tokenizer,
        template,
    };
    let options = WalkOptions {
        see,
        progress: &mut |_| {},
        rows: false,
        durable: None,
    };
    walk(&preparer, options).map(|_| ())
}

/// What a masked copy of the data says beside its samples.
#[derive(Debug)]
pub struct Masked {
    /// Which personal data was replaced.
    pub privacy: PrivacyReport,
    /// What a person should know about the files.
    pub notices: Vec<String>,
}

/// Reads the data of a run and masks it, whatever `privacy` says; needs no base model. Each sample is
/// shown as soon as it is masked.
///
/// # Errors
/// `E03..` with file and line, and those of `see`.
pub fn masked(
    config: &DataConfig,
    see: &mut dyn FnMut(Conversation) -> Result<()>,
) -> Result<Masked> {
    let rules = Privacy::new(&config.privacy)?;
    let (privacy, notices) = walk_masked(&Sources::all(config), &rules, see)?;
    Ok(Masked { privacy, notices })
}
