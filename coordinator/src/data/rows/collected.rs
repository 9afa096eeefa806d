//! Rows on their way to the writer, and what is noticed about them.
//!
//! In: tokenized samples in order. Out: rows cut to length, and the report. Keeps: nothing is cut or
//! left out without a line in the report; counts are exact, and of places only the first are kept.
//! All of it but the rows can be written down and taken up again.

use serde::{Deserialize, Serialize};
use shared::config::{LossOn, Overflow, PrivacyMode};
use shared::dataset::{DatasetWriter, RowOrigin};
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Message};

use super::damaged::Damaged;
use super::overflow::{Fitted, fit, target_tokens};
use super::refusals;
use super::rendering::RenderingStats;
use crate::data::config::DataConfig;
use crate::data::file_report::FileReport;
use crate::data::files::{self, Beside};
use crate::data::listed::{Places, listed};
use crate::data::report::{DataReport, LongRow, Row, Unlearnable};
use crate::data::sample::{Conversation, Tokenized};

/// What is known of the rows so far, apart from their tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RowStats {
    pub report: DataReport,
    /// Samples so far, those left out too.
    pub seen: u64,
    nothing_to_learn: Unlearnable,
    open_ends: Places,
    rendering: RenderingStats,
    empty: Places,
    /// Samples with an answer that is learned and says nothing.
    silent: Places,
    /// Samples that came as tokens, and those of them with padding.
    ready: Places,
    padded: Places,
    /// Samples whose texts are damaged.
    pub damaged: Damaged,
}

/// The rows of a walk, and what is known of them.
pub(crate) struct Rows {
    /// `None` when rows are only looked at.
    pub writer: Option<DatasetWriter>,
    pub stats: RowStats,
}

impl Rows {
    pub(crate) fn new(config: &DataConfig, writer: Option<DatasetWriter>) -> Self {
        let stats = RowStats {
            report: DataReport::new(config.max_seq_length, config.overflow),
            seen: 0,
            nothing_to_learn: Unlearnable::default(),
            open_ends: Places::default(),
            rendering: RenderingStats::default(),
            empty: Places::default(),
            silent: Places::default(),
            ready: Places::default(),
            padded: Places::default(),
            damaged: Damaged::default(),
        };
        Self { writer, stats }
    }

    /// Notes files of a kind that nobody reads.
    pub(crate) fn note_beside(&mut self, beside: &Beside) {
        let notices = &mut self.stats.report.notices;
        if !beside.skipped.is_empty() {
            notices.push(format!(
                "files of a kind nobody knows, not read: {}",
                listed(&beside.skipped)
            ));
            notices.extend(files::ways_out(&beside.skipped));
        }
        notices.extend(beside.notices.iter().cloned());
    }

    /// Takes what is known of a file, or (`true`) of a further part of the last one.
    pub(crate) fn note_file(&mut self, file: Option<(FileReport, bool)>, notices: Vec<String>) {
        let all = &mut self.stats.report;
        if let Some((report, part)) = file {
            match all.files.last_mut() {
                Some(last) if part && last.file == report.file => last.add_part(report),
                _ => all.files.push(report),
            }
        }
        all.notices.extend(notices);
    }

    /// Counts a sample, and notes what its text alone tells.
    pub(crate) fn notice(&mut self, sample: &Conversation) {
        self.stats.seen += 1;
        let silent = |m: &Message| m.content.trim().is_empty() && !m.calls();
        if sample.messages.iter().any(silent) {
            self.stats.empty.add(|| sample.place());
        }
        if let Some(tokens) = &sample.tokens {
            self.stats.ready.add(|| sample.place());
            if tokens.padding > 0 {
                self.stats.padded.add(|| sample.place());
            }
        }
    }

    /// Takes the rows of a sample as they were tokenized.
    pub(crate) fn add(&mut self, config: &DataConfig, sample: &Conversation, rows: Vec<Tokenized>) {
        self.notice(sample);
        self.stats.rendering.add(sample, &rows);
        if silent(sample, config.loss_on) {
            self.stats.silent.add(|| sample.place());
        }
        for row in rows {
            self.add_row(config, sample, row);
        }
    }

    fn add_row(&mut self, config: &DataConfig, sample: &Conversation, row: Tokenized) {
        let RowOrigin { file, line } = sample.origin.clone();
        let tokens = row.ids.len() as u64;
        let here = Row { file, line, tokens };
        let stats = &mut self.stats;
        let longest = &mut stats.report.longest;
        if longest
            .as_ref()
            .is_none_or(|longest| tokens > longest.tokens)
        {
            *longest = Some(here.clone());
        }
        if row.open_end {
            stats.open_ends.add(|| sample.place());
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
        let stats = &mut self.stats;
        let targets = target_tokens(&row);
        if targets == 0 {
            let (limit, weighted) = (u64::from(config.max_seq_length), &sample.unlearned);
            let unlearnable = &mut stats.nothing_to_learn;
            unlearnable.add(here, limit, !weighted.is_empty());
        }
        stats.report.samples += 1;
        stats.report.tokens += row.ids.len() as u64;
        stats.report.target_tokens += u64::from(targets);
        if let Some(writer) = &mut self.writer {
            writer.push(&row.ids, &row.targets, &sample.origin);
        }
    }

    fn too_long(&mut self, row: Row, lost: u32) {
        self.stats.report.add_long(LongRow {
            row,
            lost_targets: u64::from(lost),
        });
    }

    /// All files are read: what only the whole tells.
    ///
    /// # Errors
    /// [`Code::EmptyData`], [`Code::Ambiguous`], [`Code::TokensNotMasked`].
    pub(crate) fn end(&mut self, config: &DataConfig, beside: &Beside) -> Result<()> {
        if self.stats.seen == 0 {
            return Err(refusals::empty(config, beside, &self.stats.report.files));
        }
        self.note_swapped_roles();
        self.note_empty_files();
        let empty = &self.stats.empty;
        if empty.count > 0 {
            let text = format!(
                "{} samples have a turn without a text: {empty}",
                empty.count
            );
            self.stats.report.notices.push(text);
        }
        self.stats
            .report
            .notices
            .extend(self.stats.damaged.notices());
        self.note_tokens(config)
    }

    /// What is to be said about samples that came as tokens; `privacy: mask` cannot keep its word.
    fn note_tokens(&mut self, config: &DataConfig) -> Result<()> {
        let (came, padded) = (&self.stats.ready, &self.stats.padded);
        let notices = &mut self.stats.report.notices;
        if came.count == 0 {
            return Ok(());
        }
        match config.privacy.mode {
            PrivacyMode::Mask => return Err(refusals::tokens_not_masked(config, came)),
            PrivacyMode::Scan => notices.push(format!(
                "{} samples come as tokens; nobody looked for personal data in them: {came}",
                came.count
            )),
            PrivacyMode::Off => {}
        }
        if padded.count > 0 {
            notices.push(format!(
                "padding was taken off {} samples: {padded}",
                padded.count
            ));
        }
        Ok(())
    }

    /// A file without a sample is most often an export that failed.
    fn note_empty_files(&mut self) {
        let report = &mut self.stats.report;
        let empty = report.files.iter().filter(|file| file.samples == 0);
        let empty: Vec<&str> = empty.map(|file| file.file.as_str()).collect();
        if !empty.is_empty() {
            let text = format!("{} files without a sample: {}", empty.len(), listed(&empty));
            report.notices.push(text);
        }
    }

    fn note_swapped_roles(&mut self) {
        let report = &mut self.stats.report;
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
                "{} asks in one file and answers in another",
                both.join(", ")
            ));
        }
    }

    /// Whether a run can start with these rows; the last notices.
    pub(crate) fn judge(
        &mut self,
        config: &DataConfig,
        template: Option<&ChatTemplate>,
    ) -> Result<()> {
        let stats = &mut self.stats;
        let (long, _) = stats.report.too_long();
        if config.overflow == Overflow::Error && long > 0 {
            return Err(refusals::too_long(config, &stats.report));
        }
        if stats.silent.count > 0 {
            return Err(refusals::silent(config, &stats.silent));
        }
        if stats.nothing_to_learn.count > 0 {
            let rows = &stats.nothing_to_learn;
            return Err(refusals::nothing_to_learn(config, rows));
        }
        if let Some(template) = template.filter(|_| stats.open_ends.count > 0) {
            return Err(refusals::no_stop_token(template, &stats.open_ends));
        }
        if stats.report.samples == 0 {
            return Err(Error::new(
                Code::EmptyData,
                "every sample is longer than max_seq_length",
            )
            .in_file(&config.train_data_dir)
            .why(format!("`overflow: drop` left out all {long} of them"))
            .fix("--set max_seq_length=NUMBER or --set overflow=truncate"));
        }
        if let Some(template) = template {
            self.note_template(config, template);
        }
        Ok(())
    }

    fn note_template(&mut self, config: &DataConfig, template: &ChatTemplate) {
        let stats = &mut self.stats;
        let name = template.file().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let notices = &mut stats.report.notices;
        notices.extend(stats.rendering.notices(&name, config));
        if template.reads_clock() {
            notices.push(format!(
                "the chat template ({name}) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens"
            ));
        }
    }
}

/// Whether an answer that is learned says nothing: neither a text nor a call nor a thought.
fn silent(sample: &Conversation, loss_on: LossOn) -> bool {
    let answers = sample.messages.iter().enumerate();
    let mut answers = answers.filter(|(_, message)| message.role == "assistant");
    let says = |message: &Message| {
        let more = message
            .fields
            .iter()
            .flatten()
            .filter(|(k, _)| *k != "name");
        !message.content.trim().is_empty() || more.into_iter().any(|(_, v)| !v.is_null() && v != "")
    };
    let silent =
        |(index, message): (usize, &Message)| !says(message) && !sample.unlearned.contains(&index);
    match loss_on {
        LossOn::Last => answers.next_back().is_some_and(silent),
        LossOn::Response | LossOn::All => answers.any(silent),
    }
}
