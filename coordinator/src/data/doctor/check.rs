//! A check: what it sees of a sample, and what it says in the end.

use shared::text::Message;

use super::finding::Kind;

/// A sample as every check sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub messages: &'a [Message],
    /// The tools it may call.
    pub tools: Option<&'a serde_json::Value>,
    /// Token ids before any cut.
    pub ids: &'a [u32],
}

impl<'a> Seen<'a> {
    /// What the last message of the assistant says.
    pub fn answer(&self) -> Option<&'a str> {
        self.answers().map(|m| m.content.as_str()).next_back()
    }

    /// The answers, without those that only call tools.
    pub fn answers(&self) -> impl DoubleEndedIterator<Item = &'a Message> {
        let silent = |m: &&Message| m.content.trim().is_empty() && m.calls();
        let answers = self.messages.iter().filter(|m| m.role == "assistant");
        answers.filter(move |m| !silent(m))
    }
}

/// Something a person should look at, sought sample by sample.
pub(super) trait Check {
    /// Takes the next sample in; `index` counts from 0.
    fn see(&mut self, index: u32, sample: &Seen<'_>);
    /// What it found; samples by their index.
    fn findings(&self) -> Vec<Found>;
}

/// A finding whose places are indexes of samples; those of one group belong together.
pub(super) struct Found {
    pub kind: Kind,
    pub what: String,
    pub groups: Vec<Vec<u32>>,
}

impl Found {
    /// A finding about samples one by one.
    pub fn each(kind: Kind, what: String, samples: Vec<u32>) -> Self {
        let groups = samples.into_iter().map(|i| vec![i]).collect();
        Self { kind, what, groups }
    }
}
