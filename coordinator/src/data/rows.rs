//! Rows on their way to the writer, and what is noticed about them.
//!
//! In: tokenized samples in order. Out: rows cut to length, and the report. Keeps: nothing is cut or
//! left out without a line in the report; counts are exact, and of places only the first are kept.
//! All of it but the rows can be written down and taken up again.

use serde::{Deserialize, Serialize};
use shared::config::{Overflow, RunConfig};
use shared::dataset::{DatasetWriter, RowOrigin};
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Message};

use super::file_report::FileReport;
use super::listed::{Places, listed};
use super::overflow::{Fitted, fit, target_tokens};
use super::report::{DataReport, LongRow, Row, Unlearnable, Unlisted};
use super::sample::{Conversation, Tokenized};
use super::{detected, refusals, tokens};

/// What is known of the rows so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub report: DataReport,
    /// Samples so far, those left out too.
    pub seen: u64,
    nothing_to_learn: Unlearnable,
    open_ends: Places,
    left_out: Places,
    empty: Places,
    /// Samples that came as tokens, and those of them with padding.
    ready: Places,
    padded: Places,
}

/// Rows and what is noticed.
pub(crate) struct Rows {
    /// `None` when rows are only looked at.
    pub writer: Option<DatasetWriter>,
    pub noted: Noted,
}

impl Rows {
    pub(crate) fn new(config: &RunConfig, writer: Option<DatasetWriter>) -> Self {
        let noted = Noted {
            report: DataReport {
                files: Vec::new(),
                samples: 0,
                tokens: 0,
                target_tokens: 0,
                longest: None,
                max_seq_length: config.max_seq_length,
                overflow: config.overflow,
                long_rows: Vec::new(),
                unlisted_long_rows: Unlisted::default(),
                sources: Vec::new(),
                privacy: None,
                notices: Vec::new(),
            },
            seen: 0,
            nothing_to_learn: Unlearnable::default(),
            open_ends: Places::default(),
            left_out: Places::default(),
            empty: Places::default(),
            ready: Places::default(),
            padded: Places::default(),
        };
        Self { writer, noted }
    }

    /// Takes what is known of a file, or of a further part of the last one.
    pub(crate) fn file(&mut self, report: FileReport, part: bool) {
        let files = &mut self.noted.report.files;
        match files.last_mut() {
            Some(last) if part && last.file == report.file => last.add_part(report),
            _ => files.push(report),
        }
    }

    /// Counts a sample, and notes what its text alone tells.
    pub(crate) fn notice(&mut self, sample: &Conversation) {
        self.noted.seen += 1;
        let silent = |m: &Message| m.content.trim().is_empty() && !m.calls();
        if sample.messages.iter().any(silent) {
            self.noted.empty.add(|| sample.place());
        }
        if let Some(tokens) = &sample.tokens {
            self.noted.ready.add(|| sample.place());
            if tokens.padding > 0 {
                self.noted.padded.add(|| sample.place());
            }
        }
    }

    /// Takes a sample as it was tokenized.
    pub(crate) fn add(&mut self, config: &RunConfig, sample: &Conversation, mut row: Tokenized) {
        let left_out = std::mem::take(&mut row.left_out);
        let RowOrigin { file, line } = sample.origin.clone();
        let tokens = row.ids.len() as u64;
        let here = Row { file, line, tokens };
        self.notice(sample);
        let noted = &mut self.noted;
        let longest = &mut noted.report.longest;
        if longest
            .as_ref()
            .is_none_or(|longest| tokens > longest.tokens)
        {
            *longest = Some(here.clone());
        }
        if row.open_end {
            noted.open_ends.add(|| sample.place());
        }
        if !left_out.is_empty() {
            let roles = left_out.join(", ");
            noted
                .left_out
                .add(|| format!("{} ({roles})", sample.place()));
        }
        let limit = usize::try_from(config.max_seq_length).unwrap_or(usize::MAX);
        let row = match fit(row, limit, config.overflow) {
            Fitted::Whole(row) => Some(row),
            Fitted::Cut { row, lost_targets } => {
                self.too_long(here.clone(), lost_targets);
                Some(row)
            }
            Fitted::None { lost_targets } => {
                self.too_long(here.clone(), lost_targets);
                None
            }
        };
        let Some(row) = row else { return };
        let noted = &mut self.noted;
        let targets = target_tokens(&row);
        if targets == 0 {
            let (limit, weighted) = (u64::from(config.max_seq_length), &sample.unlearned);
            let unlearnable = &mut noted.nothing_to_learn;
            unlearnable.add(here, limit, !weighted.is_empty());
        }
        noted.report.samples += 1;
        noted.report.tokens += row.ids.len() as u64;
        noted.report.target_tokens += u64::from(targets);
        if let Some(writer) = &mut self.writer {
            writer.push(&row.ids, &row.targets, &sample.origin);
        }
    }

    fn too_long(&mut self, row: Row, lost: u32) {
        self.noted.report.add_long(LongRow {
            row,
            lost_targets: u64::from(lost),
        });
    }

    /// All files are read: what only the whole tells.
    pub(crate) fn read(&mut self, config: &RunConfig, skipped: &[String]) -> Result<()> {
        if self.noted.seen == 0 {
            return Err(refusals::empty(config, skipped));
        }
        detected::require_sure(&self.noted.report.files, config)?;
        self.note_swapped_roles();
        let empty = &self.noted.empty;
        if empty.count > 0 {
            let text = format!(
                "{} samples have a turn without a text: {empty}",
                empty.count
            );
            self.noted.report.notices.push(text);
        }
        let came = tokens::judge(config, &self.noted.ready, &self.noted.padded)?;
        self.noted.report.notices.extend(came);
        Ok(())
    }

    fn note_swapped_roles(&mut self) {
        let report = &mut self.noted.report;
        let who = |asks: bool| {
            let roles = report.files.iter().flat_map(|f| &f.roles);
            roles
                .filter(move |r| r.asks == asks)
                .map(|r| r.name.to_lowercase())
        };
        let answering: Vec<String> = who(false).collect();
        let mut both: Vec<String> = who(true).filter(|name| answering.contains(name)).collect();
        both.sort();
        both.dedup();
        if !both.is_empty() {
            report.notices.push(format!(
                "{} asks in one file and answers in another; who speaks first in a file asks",
                both.join(", ")
            ));
        }
    }

    /// Whether a run can start with these rows; the last notices.
    pub(crate) fn judge(
        &mut self,
        config: &RunConfig,
        template: Option<&ChatTemplate>,
    ) -> Result<()> {
        let noted = &mut self.noted;
        let (long, _) = noted.report.too_long();
        if config.overflow == Overflow::Error && long > 0 {
            return Err(refusals::too_long(config, &noted.report));
        }
        if noted.nothing_to_learn.count > 0 {
            let rows = &noted.nothing_to_learn;
            return Err(refusals::nothing_to_learn(config, rows));
        }
        if let Some(template) = template.filter(|_| noted.open_ends.count > 0) {
            return Err(refusals::no_stop_token(template, &noted.open_ends));
        }
        if noted.report.samples == 0 {
            return Err(Error::new(
                Code::EmptyData,
                "every sample is longer than max_seq_length",
            )
            .in_file(&config.train_data_dir)
            .why(format!("`overflow: drop` left out all {long} of them"))
            .fix("--set max_seq_length=NUMBER or --set overflow=truncate"));
        }
        if let Some(template) = template {
            self.note_template(template);
        }
        Ok(())
    }

    fn note_template(&mut self, template: &ChatTemplate) {
        let noted = &mut self.noted;
        let name = template.file().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let notices = &mut noted.report.notices;
        if noted.left_out.count > 0 {
            notices.push(format!(
                "the chat template ({name}) leaves out or changes text of {} samples: {}",
                noted.left_out.count, noted.left_out
            ));
        }
        if template.reads_clock() {
            notices.push(format!(
                "the chat template ({name}) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens"
            ));
        }
    }
}

/// The notice about files that nobody reads.
pub(crate) fn note_skipped(rows: &mut Rows, skipped: &[String]) {
    if !skipped.is_empty() {
        rows.noted.report.notices.push(format!(
            "files of a kind nobody knows, not read: {}",
            listed(skipped)
        ));
    }
}
