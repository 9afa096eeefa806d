//! What the data turned out to be: for people as text, for programs as JSON.
//!
//! Keeps: every row that was cut or left out is in it, with file and line.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::config::Overflow;

use super::listed;
use super::privacy::PrivacyReport;
use super::sources::SourceReport;

/// The form of a file's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Plain text with role prefixes.
    Dialogue,
    /// Instruction, input, output.
    Alpaca,
    /// Conversations of from and value.
    ShareGpt,
    /// OpenAI's messages of role and content.
    Messages,
    /// Question and answer under other names.
    Pairs,
    /// CSV.
    Table,
    /// Rows that point at files.
    Metadata,
    /// Token ids.
    Tokens,
    /// Several JSON forms in one file.
    Mixed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dialogue => "dialogue",
            Self::Alpaca => "Alpaca",
            Self::ShareGpt => "ShareGPT",
            Self::Messages => "messages",
            Self::Pairs => "question and answer",
            Self::Table => "CSV",
            Self::Metadata => "metadata",
            Self::Tokens => "tokens",
            Self::Mixed => "several JSON forms",
        })
    }
}

/// A role of a dialogue file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleCount {
    /// As the file spells it.
    pub name: String,
    /// How often it speaks.
    pub turns: u64,
    /// Whether it asks; the others answer.
    pub asks: bool,
}

/// What one file gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Path below the data folder.
    pub file: String,
    /// The form that was detected.
    pub form: Form,
    /// Its samples.
    pub samples: u64,
    /// Roles of a dialogue, who asks first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleCount>,
    /// Names before a colon that were read as text, with how often they stand there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes_read_as_text: Vec<(String, u64)>,
    /// Columns or keys that were not needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

impl FileReport {
    pub(crate) fn new(file: &str, form: Form) -> Self {
        Self {
            file: file.to_owned(),
            form,
            samples: 0,
            roles: Vec::new(),
            prefixes_read_as_text: Vec::new(),
            unused: Vec::new(),
        }
    }

    pub(crate) fn add_unused(&mut self, names: Vec<String>) {
        for name in names {
            if !self.unused.contains(&name) {
                self.unused.push(name);
            }
        }
    }
}

/// A row and its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Path below the data folder.
    pub file: String,
    /// First line of the sample.
    pub line: u64,
    /// Tokens before any cut.
    pub tokens: u64,
}

/// A row longer than `max_seq_length`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongRow {
    /// Which row.
    #[serde(flatten)]
    pub row: Row,
    /// Target tokens that are not learned.
    pub lost_targets: u64,
}

impl fmt::Display for LongRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            row: Row { file, line, tokens },
            lost_targets,
        } = self;
        write!(
            f,
            "{file}:{line} ({tokens} tokens, {lost_targets} targets lost)"
        )
    }
}

/// What the whole data turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReport {
    /// One entry per file that was read.
    pub files: Vec<FileReport>,
    /// Rows of the prepared dataset.
    pub samples: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Their tokens that are learned.
    pub target_tokens: u64,
    /// The longest row, before any cut.
    pub longest: Option<Row>,
    /// Longest row allowed.
    pub max_seq_length: u32,
    /// What happened to longer ones.
    pub overflow: Overflow,
    /// The longer ones.
    pub long_rows: Vec<LongRow>,
    /// What each of `data_sources` gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceReport>,
    /// The personal data found, unless nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyReport>,
    /// What a person should know.
    pub notices: Vec<String>,
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "{}: {}, {} samples", file.file, file.form, file.samples)?;
            let role = |r: &RoleCount| {
                let does = if r.asks { "asks" } else { "answers" };
                format!("{} {does} ({} turns)", r.name, r.turns)
            };
            if !file.roles.is_empty() {
                writeln!(
                    f,
                    "  roles: {}",
                    file.roles.iter().map(role).collect::<Vec<_>>().join(", ")
                )?;
            }
            if !file.prefixes_read_as_text.is_empty() {
                let text: Vec<String> = file
                    .prefixes_read_as_text
                    .iter()
                    .map(|(n, c)| format!("{n} ({c})"))
                    .collect();
                writeln!(f, "  read as text, not as roles: {}", listed(&text))?;
            }
            if !file.unused.is_empty() {
                writeln!(f, "  not used: {}", listed(&file.unused))?;
            }
        }
        for SourceReport {
            path,
            weight,
            samples,
            rows,
        } in &self.sources
        {
            writeln!(
                f,
                "source {path}, weight {weight}: {samples} samples, {rows} rows"
            )?;
        }
        writeln!(
            f,
            "{} samples, {} tokens, {} of them learned",
            self.samples, self.tokens, self.target_tokens
        )?;
        if let Some(Row { file, line, tokens }) = &self.longest {
            writeln!(
                f,
                "longest: {file}:{line} with {tokens} of {} tokens",
                self.max_seq_length
            )?;
        }
        if !self.long_rows.is_empty() {
            let lost: u64 = self.long_rows.iter().map(|r| r.lost_targets).sum();
            let done = if self.overflow == Overflow::Drop {
                "left out"
            } else {
                "cut"
            };
            writeln!(
                f,
                "{} rows are longer than max_seq_length={} and were {done}, {lost} target tokens lost: {}",
                self.long_rows.len(),
                self.max_seq_length,
                listed(&self.long_rows)
            )?;
        }
        if let Some(privacy) = &self.privacy {
            writeln!(f, "{privacy}")?;
        }
        for notice in &self.notices {
            writeln!(f, "note: {notice}")?;
        }
        Ok(())
    }
}
