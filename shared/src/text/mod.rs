//! Text both ways: tokenizer and chat template of a Hugging Face folder.
//!
//! In: the base model's folder. Out: token ids with byte offsets, rendered conversations, text
//! that grows token by token. Keeps: the same ids and renderings as the Python implementation, no
//! special token beyond those the template writes, and no dependence on the day it runs.
//! Not here: what is a conversation and what is learned from it (`coordinator/data`).

mod functions;
mod special;
mod stream;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod tokenizer;

use serde::{Deserialize, Serialize};

pub use stream::StreamDecoder;
pub use template::ChatTemplate;
pub use tokenizer::{Encoded, TextTokenizer};

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Message {
    /// A turn.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}
