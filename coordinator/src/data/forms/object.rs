//! What a JSON object, or a row of a Parquet file, was read as.

use serde_json::Value;
use shared::dataset::RowOrigin;
use shared::error::Result;
use shared::text::Message;

use super::at::At;
use crate::data::excerpt::excerpt;
use crate::data::file_report::{FileReport, Form};
use crate::data::sample::{Conversation, Tokens};

/// The parts of a sample that stand in one object.
#[derive(Debug)]
pub(crate) struct Object {
    pub form: Form,
    pub messages: Vec<Message>,
    /// The list of tools, as it is written.
    pub tools: Option<Value>,
    /// Answers of weight 0, by their place among the messages.
    pub unlearned: Vec<usize>,
    /// Other messages that are marked as not to be learned.
    pub unlearned_prompts: Vec<usize>,
    /// Which field says that the whole sample is not to be learned.
    pub left_out: Option<String>,
    /// The tokens of a sample that comes as such.
    pub tokens: Option<Tokens>,
    /// Keys that were not needed.
    pub unused: Vec<String>,
}

impl Object {
    /// Turns without tools, all of weight 1.
    pub(super) fn new(form: Form, messages: Vec<Message>) -> Self {
        Self {
            form,
            messages,
            tools: None,
            unlearned: Vec::new(),
            unlearned_prompts: Vec::new(),
            left_out: None,
            tokens: None,
            unused: Vec::new(),
        }
    }

    /// The sample that begins in this line of the file, unless it is to be left out; the file's report counts it.
    pub(super) fn into_sample(
        mut self,
        file: &str,
        line: u64,
        report: &mut FileReport,
    ) -> Option<Conversation> {
        if let Some(field) = &self.left_out {
            report.leave_out(format!("{file}:{line} ({field})"));
            return None;
        }
        report.add_sample(self.form, std::mem::take(&mut self.unused));
        Some(self.into_conversation(file, line))
    }

    fn into_conversation(self, file: &str, line: u64) -> Conversation {
        Conversation {
            messages: self.messages,
            origin: RowOrigin {
                file: file.to_owned(),
                line,
            },
            tools: self.tools,
            unlearned: self.unlearned,
            unlearned_prompts: self.unlearned_prompts,
            tokens: self.tokens,
        }
    }
}

/// The text that a field must be.
pub(super) fn text(value: &Value, name: &str, at: At<'_>) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        at.unknown(format!("{name} is no text"))
            .why(format!("it is {}", excerpt(&value.to_string())))
            .fix("write it as a string")
    })
}
