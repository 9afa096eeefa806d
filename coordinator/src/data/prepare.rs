//! From the sources of a run to its rows, in memory or on the disk, or only looked at.
//!
//! In: configuration, tokenizer, template. Out: rows to train on, rows that are kept out, and the
//! report. No side effect, unless a folder is named and the rows are many.

use std::path::Path;

use shared::config::RunConfig;
use shared::dataset::DatasetWriter;
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::doctor::{Diagnosis, Doctor, Overlap};
use super::openings::Openings;
use super::privacy::{Privacy, PrivacyReport};
use super::report::DataReport;
use super::sample::{Conversation, Tokenized};
use super::source::Sources;
use super::walk::{Ends, Progress, Way, masked as walk_masked, walk};
use super::{sources, split};

/// Rows and what they are.
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
    config: &RunConfig,
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
    let way = Way {
        sources,
        tokenizer,
        template,
    };
    let ends = Ends {
        see: &mut |_, _| {},
        progress,
        rows: true,
        durable,
    };
    let mut rows = walk(&way, ends)?;
    rows.judge(config, template)?;
    let mut report = rows.noted.report;
    let lost = || Error::new(Code::Internal, "the prepared rows are not there");
    let writer = rows.writer.ok_or_else(lost)?;
    let (writer, validation) = shares(config, writer, &mut report, durable)?;
    Ok(Prepared {
        writer,
        validation,
        report,
    })
}

/// What is kept out is kept out before rows are repeated.
fn shares(
    config: &RunConfig,
    writer: DatasetWriter,
    report: &mut DataReport,
    durable: Option<(&Path, &str)>,
) -> Result<(DatasetWriter, Option<DatasetWriter>)> {
    let (writer, validation) = split::keep_out(config, writer, report, durable)?;
    let writer = sources::mix(config, writer, report, durable)?;
    Ok((writer, validation))
}

/// A run's validation data are prepared like its training data, from another folder.
#[must_use]
pub fn validation_config(config: &RunConfig, folder: &Path) -> RunConfig {
    let mut of_validation = config.clone();
    of_validation.train_data_dir = folder.to_path_buf();
    of_validation.metadata_path = None;
    of_validation.evaluation = Default::default();
    of_validation.formats.sources = Vec::new();
    of_validation
}

/// The same walk for the doctor: every sample is looked at, and what would refuse a run is a part of
/// the diagnosis.
///
/// # Errors
/// As [`prepare`], for samples that cannot even be read.
pub fn diagnose(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Diagnosis> {
    let mut doctor = Doctor::new(tokenizer);
    let mut overlap = Overlap::new(config);
    let mut before = Progress::default();
    // Looked at first, and told after the training data.
    let validation = config.evaluation.dir.as_deref().map(|folder| {
        let config = validation_config(config, folder);
        let way = Way {
            sources: &Sources::all(&config),
            tokenizer,
            template,
        };
        let ends = Ends {
            see: &mut |sample, row| overlap.evaluated(sample, row),
            progress: &mut |now| {
                before = now;
                progress(Progress { done: false, ..now });
            },
            rows: false,
            durable: None,
        };
        let mut rows = walk(&way, ends)?;
        let judged = rows.judge(&config, template);
        Ok::<_, Error>((rows.noted.report, judged.err()))
    });
    let mut openings = Openings::new(config, tokenizer)?;
    let way = Way {
        sources: &Sources::all(config),
        tokenizer,
        template,
    };
    let ends = Ends {
        see: &mut |conversation, row| {
            openings.see(conversation, row);
            doctor.see(conversation, row);
            overlap.trained(conversation, row);
        },
        progress: &mut |now| {
            progress(Progress {
                samples: now.samples + before.samples,
                bytes: now.bytes + before.bytes,
                total_bytes: now.total_bytes + before.total_bytes,
                ..now
            });
        },
        // Only where rows are shared out does the report depend on what is in them.
        rows: config.evaluation.split > 0.0 || !config.formats.sources.is_empty(),
        durable: None,
    };
    let mut rows = walk(&way, ends)?;
    let (validation, unfit) = validation.transpose()?.unzip();
    let before = rows.noted.report.clone();
    let judged = rows.judge(config, template);
    let mut report = rows.noted.report;
    let shared = judged.and_then(|()| match rows.writer {
        Some(writer) => shares(config, writer, &mut report, None).map(|_| ()),
        None => Ok(()),
    });
    let (report, refused) = match shared {
        Ok(()) => (report, None),
        Err(error) => (before, Some(error)),
    };
    let mut findings = doctor.findings(&report);
    findings.splice(..0, overlap.finding());
    Ok(Diagnosis {
        detected: openings.of(&report.files, config),
        findings,
        report,
        validation,
        refused: refused.or(unfit.flatten()),
    })
}

/// Shows every sample before it is cut to length.
pub(crate) fn each(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    see: &mut dyn FnMut(&Conversation, &Tokenized),
) -> Result<()> {
    let way = Way {
        sources: &Sources::all(config),
        tokenizer,
        template,
    };
    let ends = Ends {
        see,
        progress: &mut |_| {},
        rows: false,
        durable: None,
    };
    walk(&way, ends).map(|_| ())
}

/// What masking found.
#[derive(Debug)]
pub struct Masked {
    /// What was replaced.
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
    config: &RunConfig,
    see: &mut dyn FnMut(Conversation) -> Result<()>,
) -> Result<Masked> {
    let rules = Privacy::new(&config.privacy)?;
    let (privacy, notices) = walk_masked(&Sources::all(config), &rules, see)?;
    Ok(Masked { privacy, notices })
}
