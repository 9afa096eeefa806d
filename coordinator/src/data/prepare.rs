//! The walk: files, conversations, rendered text, tokens and targets, rows.
//!
//! In: configuration, tokenizer, template. Out: all rows in memory and the report. No side effect.
//! Keeps: personal data is masked before anything is rendered; rows in the order of the files and of the samples in them, whatever the number of
//! threads; the failure reported is that of the first sample that fails.

use shared::config::{Overflow, PrivacyConfig, PrivacyMode, RunConfig};
use shared::dataset::{DatasetWriter, RowOrigin};
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, Message, TextTokenizer};

use super::doctor::{Diagnosis, Doctor};
use super::files::{self, SourceFile};
use super::mask::{Tokenized, mask};
use super::openings::Openings;
use super::overflow::{Fitted, fit, target_tokens};
use super::privacy::PrivacyReport;
use super::renamed::Naming;
use super::render::render;
use super::report::{DataReport, LongRow, Row};
use super::{
    Conversation, Parsed, detected, dialogue, json, listed, metadata, parquet, privacy, read,
    refusals, sources, split, table, tokens,
};

/// Samples between two words about progress.
const CHUNK: usize = 512;

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

/// How far the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Samples done.
    pub done: usize,
    /// Samples in all.
    pub total: usize,
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
    prepare_with(config, tokenizer, template, &mut |_| {})
}

/// [`prepare`], with a word about progress now and then.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_with(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared> {
    walk(config, tokenizer, template, &mut |_, _| {}, progress)?.finish(config, template)
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
    let mut openings = Openings::new(config, tokenizer)?;
    let mut see = |conversation: &Conversation, row: &Tokenized| {
        openings.see(conversation, row);
        doctor.see(conversation, row);
    };
    let rows = walk(config, tokenizer, template, &mut see, progress)?;
    let before = rows.report.clone();
    let (report, refused) = match rows.finish(config, template) {
        Ok(prepared) => (prepared.report, None),
        Err(error) => (before, Some(error)),
    };
    Ok(Diagnosis {
        detected: openings.of(&report.files, config),
        findings: doctor.findings(&report),
        report,
        refused,
    })
}

/// Shows every sample before it is cut to length.
pub(crate) fn each(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    see: &mut dyn FnMut(&Conversation, &Tokenized),
) -> Result<()> {
    walk(config, tokenizer, template, see, &mut |_| {}).map(|_| ())
}

/// From files to rows; each sample is shown before it is cut to length.
fn walk(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    see: &mut dyn FnMut(&Conversation, &Tokenized),
    progress: &mut dyn FnMut(Progress),
) -> Result<Rows> {
    let mut rows = Rows::new(config);
    let mut conversations = rows.read(config)?;
    if template.is_none() && conversations.iter().any(|c| c.tokens.is_none()) {
        return Err(ChatTemplate::missing(&config.base_model));
    }
    rows.report
        .notices
        .extend(tokens::judge(config, &conversations)?);
    rows.report.privacy = privacy::treat(&config.privacy, &mut conversations)?;
    let total = conversations.len();
    progress(Progress { done: 0, total });
    for (chunk, group) in conversations.chunks(CHUNK).enumerate() {
        let tokenized = tokenize(config, tokenizer, template, group)?;
        for (conversation, row) in group.iter().zip(tokenized) {
            see(conversation, &row.0);
            rows.add(config, conversation, row);
        }
        progress(Progress {
            done: (chunk * CHUNK + group.len()),
            total,
        });
    }
    Ok(rows)
}

/// The conversations of a run with placeholders for personal data.
#[derive(Debug)]
pub struct Masked {
    /// All of them, in order.
    pub conversations: Vec<Conversation>,
    /// What was replaced.
    pub privacy: PrivacyReport,
    /// What a person should know about the files.
    pub notices: Vec<String>,
}

/// Reads the data of a run and masks it, whatever `privacy` says; needs no base model.
///
/// # Errors
/// `E03..` with file and line.
pub fn masked(config: &RunConfig) -> Result<Masked> {
    let mut rows = Rows::new(config);
    let mut conversations = rows.read(config)?;
    let asked = PrivacyConfig {
        mode: PrivacyMode::Mask,
        ..config.privacy.clone()
    };
    let asked_of = RunConfig {
        privacy: asked.clone(),
        ..config.clone()
    };
    tokens::judge(&asked_of, &conversations)?;
    let privacy = privacy::treat(&asked, &mut conversations)?.unwrap_or_default();
    Ok(Masked {
        conversations,
        privacy,
        notices: rows.report.notices,
    })
}

/// Reads one file with the reader of its ending, `None` when there is none.
pub(crate) fn parse(config: &RunConfig, file: &SourceFile) -> Result<Option<Parsed>> {
    let extension = file.extension();
    if !files::KNOWN.contains(&extension.as_str()) {
        return Ok(None);
    }
    if extension == "parquet" {
        return parquet::parse(file, Naming::of(config)).map(Some);
    }
    let naming = Naming::of(config);
    let text = read::text(&file.path)?;
    Ok(Some(match extension.as_str() {
        "txt" => dialogue::parse(file, &text, config.dialogue, &config.formats)?,
        "jsonl" | "json" => json::parse(file, &text, naming)?,
        _ => table::parse(file, &text, naming)?,
    }))
}

/// A tokenized row and the roles whose text the template left out.
type Made = (Tokenized, Vec<String>);

/// Renders, tokenizes and masks on all cores; the order is that of the conversations.
fn tokenize(
    config: &RunConfig,
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
    conversations: &[Conversation],
) -> Result<Vec<Made>> {
    let make = |conversation: &Conversation| -> Result<Made> {
        if let Some(tokens) = &conversation.tokens {
            let row = tokens::row(tokens, tokenizer, config.learned())?;
            return Ok((row, Vec::new()));
        }
        let template = template.ok_or_else(|| ChatTemplate::missing(&config.base_model))?;
        let rendered = render(template, conversation, config.learned())?;
        Ok((mask(tokenizer, &rendered)?, rendered.left_out))
    };
    let one = |conversation: &Conversation| -> Result<Made> {
        let made = make(conversation);
        made.map_err(|mut error| {
            let RowOrigin { file, line } = &conversation.origin;
            if let Some(place) = error.place.take() {
                error = error.why(format!("template: {}", place.file));
            }
            let path = match &config.metadata_path {
                Some(metadata) if metadata.file_name().is_some_and(|n| n == file.as_str()) => {
                    metadata.clone()
                }
                _ => files::folder(&config.train_data_dir).join(file),
            };
            error.at_line(path, *line)
        })
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = conversations.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = conversations
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(one).collect::<Result<Vec<Made>>>()))
            .collect();
        let mut all = Vec::with_capacity(conversations.len());
        for part in parts {
            let part = part.join().map_err(|_| {
                Error::new(
                    Code::Internal,
                    "a thread that prepares data ended without a result",
                )
            })?;
            all.extend(part?);
        }
        Ok(all)
    })
}

/// Rows on their way to the writer, and what is noticed about them.
struct Rows {
    writer: DatasetWriter,
    report: DataReport,
    nothing_to_learn: Vec<Row>,
    /// Among them is one whose answers have weight 0.
    weighted_out: bool,
    open_ends: Vec<String>,
    left_out: Vec<String>,
}

impl Rows {
    fn new(config: &RunConfig) -> Self {
        Self {
            writer: DatasetWriter::new(),
            report: DataReport {
                files: Vec::new(),
                samples: 0,
                tokens: 0,
                target_tokens: 0,
                longest: None,
                max_seq_length: config.max_seq_length,
                overflow: config.overflow,
                long_rows: Vec::new(),
                sources: Vec::new(),
                privacy: None,
                notices: Vec::new(),
            },
            nothing_to_learn: Vec::new(),
            weighted_out: false,
            open_ends: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// All conversations of the run, in order.
    fn read(&mut self, config: &RunConfig) -> Result<Vec<Conversation>> {
        let mut parsed = Vec::new();
        let mut skipped = Vec::new();
        match &config.metadata_path {
            Some(path) => parsed = metadata::parse(config, path)?,
            None => {
                for file in sources::list(config)? {
                    match parse(config, &file)? {
                        Some(found) => parsed.push(found),
                        None => skipped.push(file.name),
                    }
                }
            }
        }
        if !skipped.is_empty() {
            self.report.notices.push(format!(
                "files of a kind nobody knows, not read: {}",
                listed(&skipped)
            ));
        }
        let mut conversations = Vec::new();
        for found in parsed {
            conversations.extend(found.conversations);
            self.report.files.push(found.report);
            self.report.notices.extend(found.notices);
        }
        detected::require_sure(&self.report.files, config)?;
        self.note_swapped_roles();
        self.note_empty(&conversations);
        if conversations.is_empty() {
            return Err(refusals::empty(config, &skipped));
        }
        Ok(conversations)
    }

    fn note_swapped_roles(&mut self) {
        let who = |asks: bool| {
            let roles = self.report.files.iter().flat_map(|f| &f.roles);
            roles
                .filter(move |r| r.asks == asks)
                .map(|r| r.name.to_lowercase())
        };
        let answering: Vec<String> = who(false).collect();
        let mut both: Vec<String> = who(true).filter(|name| answering.contains(name)).collect();
        both.sort();
        both.dedup();
        if !both.is_empty() {
            self.report.notices.push(format!(
                "{} asks in one file and answers in another; who speaks first in a file asks",
                both.join(", ")
            ));
        }
    }

    fn note_empty(&mut self, conversations: &[Conversation]) {
        let silent = |m: &Message| m.content.trim().is_empty() && !m.calls();
        let has_empty = |c: &&Conversation| c.messages.iter().any(silent);
        let empty: Vec<String> = conversations.iter().filter(has_empty).map(place).collect();
        if !empty.is_empty() {
            let count = empty.len();
            self.report.notices.push(format!(
                "{count} samples have a turn without a text: {}",
                listed(&empty)
            ));
        }
    }

    fn add(&mut self, config: &RunConfig, conversation: &Conversation, (row, left_out): Made) {
        let RowOrigin { file, line } = conversation.origin.clone();
        let tokens = row.ids.len() as u64;
        let here = Row { file, line, tokens };
        if self
            .report
            .longest
            .as_ref()
            .is_none_or(|longest| tokens > longest.tokens)
        {
            self.report.longest = Some(here.clone());
        }
        if row.open_end {
            self.open_ends.push(place(conversation));
        }
        if !left_out.is_empty() {
            self.left_out
                .push(format!("{} ({})", place(conversation), left_out.join(", ")));
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
        let targets = target_tokens(&row);
        if targets == 0 {
            self.nothing_to_learn.push(here);
            self.weighted_out |= !conversation.unlearned.is_empty();
        }
        self.report.samples += 1;
        self.report.tokens += row.ids.len() as u64;
        self.report.target_tokens += u64::from(targets);
        self.writer
            .push(&row.ids, &row.targets, conversation.origin.clone());
    }

    fn too_long(&mut self, row: Row, lost: u32) {
        self.report.long_rows.push(LongRow {
            row,
            lost_targets: u64::from(lost),
        });
    }

    fn finish(mut self, config: &RunConfig, template: Option<&ChatTemplate>) -> Result<Prepared> {
        if config.overflow == Overflow::Error && !self.report.long_rows.is_empty() {
            return Err(refusals::too_long(config, &self.report));
        }
        if !self.nothing_to_learn.is_empty() {
            let rows = &self.nothing_to_learn;
            return Err(refusals::nothing_to_learn(config, rows, self.weighted_out));
        }
        if let Some(template) = template.filter(|_| !self.open_ends.is_empty()) {
            return Err(refusals::no_stop_token(template, &self.open_ends));
        }
        if self.writer.rows() == 0 {
            return Err(Error::new(
                Code::EmptyData,
                "every sample is longer than max_seq_length",
            )
            .in_file(&config.train_data_dir)
            .why(format!(
                "`overflow: drop` left out all {} of them",
                self.report.long_rows.len()
            ))
            .fix("--set max_seq_length=NUMBER or --set overflow=truncate"));
        }
        if let Some(template) = template {
            self.note_template(template);
        }
        // What is kept out is kept out before rows are repeated.
        let (writer, validation) = split::keep_out(config, self.writer, &mut self.report)?;
        let writer = sources::mix(config, writer, &mut self.report)?;
        Ok(Prepared {
            writer,
            validation,
            report: self.report,
        })
    }

    fn note_template(&mut self, template: &ChatTemplate) {
        let name = template.file().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let notices = &mut self.report.notices;
        if !self.left_out.is_empty() {
            notices.push(format!(
                "the chat template ({name}) leaves out or changes text of {} samples: {}",
                self.left_out.len(),
                listed(&self.left_out)
            ));
        }
        if template.reads_clock() {
            notices.push(format!(
                "the chat template ({name}) writes today's date; it is told a fixed one, 2024-07-26, so that the same data gives the same tokens"
            ));
        }
    }
}

fn place(conversation: &Conversation) -> String {
    let RowOrigin { file, line } = &conversation.origin;
    format!("{file}:{line}")
}
