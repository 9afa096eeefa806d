//! What a sample is on its way: a conversation, then a row of tokens.
//!
//! Every station below takes or gives one of these; this file needs none of them.

use shared::dataset::RowOrigin;
use shared::text::Message;

/// Stands in the place of a role where nobody speaks; no reader takes a speaker for it.
pub(crate) const PLAIN: &str = "text";

/// A sample as it was read: its turns, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The turns in order.
    pub messages: Vec<Message>,
    /// File and line of the first turn.
    pub origin: RowOrigin,
    /// The tools it may call, a list, as the template sees them.
    pub tools: Option<serde_json::Value>,
    /// Which messages are answers of weight 0, not to be learned.
    pub unlearned: Vec<usize>,
    /// Which other messages are marked as not to be learned, whatever `loss_on` says.
    pub unlearned_prompts: Vec<usize>,
    /// A sample that comes as tokens has these and no turns.
    pub tokens: Option<Tokens>,
}

impl Conversation {
    /// Turns without tools, all of weight 1.
    pub(crate) fn new(messages: Vec<Message>, origin: RowOrigin) -> Self {
        Self {
            messages,
            origin,
            tools: None,
            unlearned: Vec::new(),
            unlearned_prompts: Vec::new(),
            tokens: None,
        }
    }

    /// Text without speakers, of which all is learned.
    pub(crate) fn plain(text: String, origin: RowOrigin) -> Self {
        Self::new(vec![Message::new(PLAIN, text)], origin)
    }

    /// The text of a sample without speakers.
    pub(crate) fn plain_text(&self) -> Option<&str> {
        match &self.messages[..] {
            [one] if one.role == PLAIN => Some(&one.content),
            _ => None,
        }
    }

    /// `FILE:LINE` of the sample, for a message.
    pub(crate) fn place(&self) -> String {
        let RowOrigin { file, line } = &self.origin;
        format!("{file}:{line}")
    }
}

/// The tokens of a sample that was tokenized by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids without padding.
    pub ids: Vec<u32>,
    /// 1 where a token is learned; nothing where no labels came.
    pub targets: Option<Vec<u8>>,
    /// Tokens of padding that were taken off.
    pub padding: usize,
}

/// A tokenized sample before it is cut to length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokenized {
    pub ids: Vec<u32>,
    /// 1 for each token that is learned.
    pub targets: Vec<u8>,
    /// An answer ends without a special token.
    pub open_end: bool,
    /// What is to be said about its rendering.
    pub notes: Notes,
}

/// What a chat template did with a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// It rendered so many messages of the sample.
    pub messages: usize,
    /// Roles whose text it left out.
    pub left_out: Vec<String>,
    /// It left out a thought that a field of a learned answer holds.
    pub thought: bool,
    /// It wrote arguments of a call, given as text, as a quoted and escaped text.
    pub escaped: bool,
    /// It left out calls of tools.
    pub calls: bool,
    /// It left out tools.
    pub tools: bool,
    /// What its prompt has behind the place where the answers begin.
    pub unsaid: Option<String>,
    /// It wrote an empty thought before an answer that has none.
    pub empty_thought: bool,
    /// Special tokens that the texts spell.
    pub spelled: Vec<String>,
}

impl Notes {
    /// Of a rendering of the first messages.
    pub(crate) fn of(messages: usize) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}
