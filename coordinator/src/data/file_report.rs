//! What one file was found to be: its form, its samples, its roles.
//!
//! The readers fill it in; the report of a whole run holds one per file.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::listed::LISTED;

/// The form of a file's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Plain text with role prefixes.
    Dialogue,
    /// Objects of instruction, input and output.
    Alpaca,
    /// Conversations of from and value.
    ShareGpt,
    /// OpenAI's messages of role and content.
    Messages,
    /// Question and answer under other names.
    Pairs,
    /// Rows below a header: CSV or TSV.
    Table,
    /// Rows of a sheet of a workbook.
    Sheet,
    /// Rows that point at files.
    Metadata,
    /// Samples that come as token ids.
    Tokens,
    /// Plain text without speakers.
    Text,
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
            Self::Sheet => "spreadsheet",
            Self::Metadata => "metadata",
            Self::Tokens => "tokens",
            Self::Text => "plain text",
            Self::Mixed => "several JSON forms",
        })
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(count: &u64) -> bool {
    *count == 0
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

/// How sure it is who speaks, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certainty {
    /// In percent.
    pub percent: u8,
    /// In words.
    pub reason: String,
}

/// What one file gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Path below the data folder.
    pub file: String,
    /// The form that was detected.
    pub form: Form,
    /// Samples that were read from it.
    pub samples: u64,
    /// Roles of a dialogue, who asks first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleCount>,
    /// How sure it is who speaks in a dialogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// Names before a colon that were read as text, with how often they stand there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes_read_as_text: Vec<(String, u64)>,
    /// Columns or keys that were not needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
    /// In how many samples keys stand that not every sample has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unused_in: BTreeMap<String, u64>,
    /// Samples that say of themselves that they are not to be learned.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
    /// The first of them, with the field that says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_left_out: Vec<String>,
}

impl FileReport {
    pub(crate) fn new(file: &str, form: Form) -> Self {
        Self {
            file: file.to_owned(),
            form,
            samples: 0,
            roles: Vec::new(),
            certainty: None,
            prefixes_read_as_text: Vec::new(),
            unused: Vec::new(),
            unused_in: BTreeMap::new(),
            left_out: 0,
            first_left_out: Vec::new(),
        }
    }

    /// Counts a sample of this form.
    pub(crate) fn add_sample(&mut self, form: Form, unused: Vec<String>) {
        if self.samples == 0 {
            self.form = form;
        } else if self.form != form {
            self.form = Form::Mixed;
        }
        self.samples += 1;
        let mut counted: Vec<&String> = unused.iter().collect();
        counted.sort_unstable();
        counted.dedup();
        for name in counted {
            *self.unused_in.entry(name.clone()).or_default() += 1;
        }
        self.add_unused(unused);
    }

    /// Counts a sample that is left out because the field says so.
    pub(crate) fn leave_out(&mut self, place: String) {
        self.left_out += 1;
        if self.first_left_out.len() < LISTED {
            self.first_left_out.push(place);
        }
    }

    /// The keys that were not needed, with how many samples have them where that is not every one.
    #[must_use]
    pub fn unused_counted(&self) -> Vec<String> {
        let counted = |name: &String| match self.unused_in.get(name) {
            Some(rows) if *rows < self.samples => {
                format!("{name} (in {rows} of {} samples)", self.samples)
            }
            _ => name.clone(),
        };
        self.unused.iter().map(counted).collect()
    }

    /// Adds what a later part of the same file gave.
    pub(crate) fn add_part(&mut self, part: Self) {
        self.left_out += part.left_out;
        let room = LISTED.saturating_sub(self.first_left_out.len());
        let first = part.first_left_out.into_iter().take(room);
        self.first_left_out.extend(first);
        if part.samples == 0 {
            return;
        }
        let samples = self.samples + part.samples;
        self.add_sample(part.form, Vec::new());
        self.add_unused(part.unused);
        for (name, rows) in part.unused_in {
            *self.unused_in.entry(name).or_default() += rows;
        }
        self.samples = samples;
    }

    pub(crate) fn add_unused(&mut self, names: Vec<String>) {
        for name in names {
            if !self.unused.contains(&name) {
                self.unused.push(name);
            }
        }
    }
}
