//! What the doctor says of the data of a run: for people as text, for programs as JSON.
//!
//! In: configuration, tokenizer, template. Out: what each file was taken for, the report, the findings
//! and what would refuse a run. Keeps: the same walk as the preparation, without its rows.

use std::fmt;

use shared::config::Overflow;
use shared::dataset::RowOrigin;
use shared::error::{Error, Result, render};
use shared::text::{ChatTemplate, TextTokenizer};

use super::config::DataConfig;
use super::detection::Detected;
use super::doctor::{Doctor, Finding, Kind, Overlap};
use super::first_samples::FirstSamples;
use super::of_a_kind::More;
use super::prepare::shares;
use super::report::{DataReport, LongRow};
use super::sources::Sources;
use super::walk::{Preparer, Progress, WalkOptions, walk};

/// Everything that is known of the data.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What each file was taken for.
    pub detected: Vec<Detected>,
    /// The report of the training data.
    pub report: DataReport,
    /// The report of `validation_dir`, when there is one.
    pub validation: Option<DataReport>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// Why a run cannot start with it.
    pub refused: Option<Error>,
}

impl Diagnosis {
    /// Kinds that were sought and not found.
    #[must_use]
    pub fn clean(&self) -> Vec<Kind> {
        let found = |kind: &Kind| self.findings.iter().any(|f| f.kind == *kind);
        let sought = |kind: &Kind| *kind != Kind::Overlap || self.validation.is_some();
        let kinds = Kind::ALL.iter().copied();
        kinds.filter(|k| sought(k) && !found(k)).collect()
    }

    /// As one JSON object, with every place.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let finding = |f: &Finding| {
            serde_json::json!({
                "kind": f.kind, "what": f.what, "places": f.places, "fix": f.kind.fix(),
            })
        };
        let mut all = serde_json::json!({
            "event": "data_check",
            "detected": self.detected,
            "report": self.report,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "not_found": self.clean(),
            "refused": self.refused,
        });
        if let Some(validation) = &self.validation {
            all["validation"] = serde_json::json!(validation);
        }
        all
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut more = More::default();
        for file in &self.detected {
            if more.shows(file.form, file.samples) {
                write!(f, "{file}")?;
            }
        }
        write!(f, "{more}{}", self.report)?;
        if let Some(validation) = &self.validation {
            write!(f, "validation: {validation}")?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        let clean: Vec<String> = self.clean().iter().map(ToString::to_string).collect();
        writeln!(f, "\nlooked for and not found: {}", clean.join(", "))?;
        match &self.refused {
            Some(error) => writeln!(f, "\na run cannot start with this data:\n{}", render(error)),
            None => writeln!(f, "a run can start with this data"),
        }
    }
}

/// The same walk for the doctor: every sample is looked at, and what would refuse a run is a part of
/// the diagnosis.
///
/// # Errors
/// As [`super::prepare`], for samples that cannot even be read.
pub fn diagnose(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Diagnosis> {
    let mut doctor = Doctor::new(tokenizer);
    let mut overlap = Overlap::new(config.max_seq_length, config.overflow);
    let mut before = Progress::default();
    // Looked at first, and told after the training data.
    let validation = config.validation_dir.as_deref().map(|folder| {
        let config = config.of_validation(folder);
        let mut progress = |now: Progress| {
            before = now;
            progress(Progress { done: false, ..now });
        };
        evaluated(&config, tokenizer, template, &mut overlap, &mut progress)
    });
    let mut first_samples = FirstSamples::new(config, tokenizer)?;
    let preparer = Preparer {
        sources: &Sources::all(config),
        tokenizer,
        template,
    };
    let options = WalkOptions {
        see: &mut |conversation, rows| {
            // The last row of a sample has all of its messages.
            if let Some(row) = rows.last() {
                first_samples.see(conversation, row);
                doctor.see(conversation, row);
                overlap.trained(conversation, row);
            }
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
        rows: config.validation_split > 0.0 || !config.formats.sources.is_empty(),
        durable: None,
    };
    let mut rows = walk(&preparer, options)?;
    let (validation, unfit) = validation.transpose()?.unzip();
    let before = rows.stats.report.clone();
    let judged = rows.judge(config, template);
    let mut report = rows.stats.report;
    let shared = judged.and_then(|()| match rows.writer {
        Some(writer) => shares(config, writer, &mut report, None).map(|_| ()),
        None => Ok(()),
    });
    let (report, refused) = match shared {
        Ok(()) => (report, None),
        Err(error) => (before, Some(error)),
    };
    let found = overlap.finding().into_iter().chain(cut_rows(&report));
    Ok(Diagnosis {
        findings: found.chain(doctor.findings()).collect(),
        detected: first_samples.of(&report.files, config),
        report,
        validation,
        refused: refused.or(unfit.flatten()),
    })
}

/// The walk over the validation data: its report, and why no run can be evaluated on it.
fn evaluated(
    config: &DataConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    overlap: &mut Overlap,
    progress: &mut dyn FnMut(Progress),
) -> Result<(DataReport, Option<Error>)> {
    let preparer = Preparer {
        sources: &Sources::all(config),
        tokenizer,
        template,
    };
    let options = WalkOptions {
        see: &mut |sample, rows| {
            if let Some(row) = rows.last() {
                overlap.evaluated(sample, row);
            }
        },
        progress,
        rows: false,
        durable: None,
    };
    let mut rows = walk(&preparer, options)?;
    let judged = rows.judge(config, template);
    Ok((rows.stats.report, judged.err()))
}

/// Rows that do not fit, as a finding.
fn cut_rows(report: &DataReport) -> Option<Finding> {
    let (rows, lost) = report.too_long();
    if rows == 0 {
        return None;
    }
    let all = report.target_tokens + lost;
    let done = if report.overflow == Overflow::Truncate {
        "cut"
    } else {
        "left out"
    };
    let place = |row: &LongRow| {
        vec![RowOrigin {
            file: row.row.file.clone(),
            line: row.row.line,
        }]
    };
    Some(Finding {
        kind: Kind::CutRows,
        what: format!(
            "{rows} of {} samples are longer than {} tokens and are {done}: {lost} of {all} target \
             tokens are lost",
            report.samples.max(rows),
            report.max_seq_length,
        ),
        places: report.long_rows.iter().map(place).collect(),
    })
}
