//! Text both ways: tokenizer and chat template of a Hugging Face folder.
//!
//! In: the base model's folder. Out: token ids with byte offsets, rendered conversations, text
//! that grows token by token. Keeps: the same ids and renderings as the Python implementation, no
//! special token beyond those the template writes, and no dependence on the day it runs.
//! Not here: what is a conversation and what is learned from it (`coordinator/data`).

mod control;
mod functions;
mod generation;
mod jinja;
mod json;
mod methods;
mod python;
mod sources;
mod special;
mod stop;
mod stream;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod tokenizer;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use stop::stop_ids;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Marked};
pub use tokenizer::{Encoded, TextTokenizer};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text; empty where a message only calls tools.
    pub content: String,
    /// The fields of a message of a sample with tools, in their order, as the template sees them;
    /// role and content have their places among them, and no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Map<String, Value>>,
}

impl Message {
    /// A message of this role with this content, without further fields.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
            fields: None,
        }
    }

    /// Whether it calls tools.
    #[must_use]
    pub fn calls(&self) -> bool {
        let calls = self.fields.as_ref().and_then(|f| f.get("tool_calls"));
        calls
            .and_then(Value::as_array)
            .is_some_and(|calls| !calls.is_empty())
    }
}
