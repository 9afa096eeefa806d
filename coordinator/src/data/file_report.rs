//! What one file was found to be: its form, its samples, its roles.
//!
//! The readers fill it in; the report of a whole run holds one per file.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// Samples that were read from it.
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

    /// Counts a sample of this form.
    pub(crate) fn add_sample(&mut self, form: Form, unused: Vec<String>) {
        if self.samples == 0 {
            self.form = form;
        } else if self.form != form {
            self.form = Form::Mixed;
        }
        self.samples += 1;
        self.add_unused(unused);
    }

    /// Adds what a later part of the same file gave.
    pub(crate) fn add_part(&mut self, part: Self) {
        if part.samples == 0 {
            return;
        }
        let samples = self.samples + part.samples;
        self.add_sample(part.form, part.unused);
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
