//! The data doctor: what a person should look at before an hour of training is spent.
//!
//! In: every sample once, in order, as conversation and as tokens. Out: findings with file and
//! line, each with its reason and its remedy. Each check is an accumulator of its own that keeps a
//! few numbers per sample and never the text, so that what it needs does not grow with long samples.
//! Keeps: the same data gives the same findings, in the same order. Not here: what makes a run
//! impossible (`refusals`), personal data (`privacy`).

mod contradictions;
mod duplicates;
mod finding;
mod language;
mod lengths;
mod near;
mod openings;
mod overlap;
mod short;
mod text;
mod unknown;
mod widths;

use shared::dataset::RowOrigin;
use shared::text::{Message, TextTokenizer};

pub use finding::{Diagnosis, Finding, Kind};
pub(crate) use overlap::Overlap;

use super::report::DataReport;
use super::sample::{Conversation, Tokenized};

/// A sample as every check sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub messages: &'a [Message],
    /// The tools it may call.
    pub tools: Option<&'a serde_json::Value>,
    /// Token ids before any cut.
    pub ids: &'a [u32],
}

impl<'a> Seen<'a> {
    /// The last answer.
    fn answer(&self) -> Option<&'a str> {
        self.answers().map(|m| m.content.as_str()).next_back()
    }

    /// The answers, without those that only call tools.
    fn answers(&self) -> impl DoubleEndedIterator<Item = &'a Message> {
        let silent = |m: &&Message| m.content.trim().is_empty() && m.calls();
        let answers = self.messages.iter().filter(|m| m.role == "assistant");
        answers.filter(move |m| !silent(m))
    }
}

/// Something a person should look at, sought sample by sample.
trait Check {
    /// Takes the next sample in; `index` counts from 0.
    fn see(&mut self, index: u32, sample: &Seen<'_>);
    /// What it found; samples by their index.
    fn findings(&self) -> Vec<Found>;
}

/// A finding whose places are indexes of samples; those of one group belong together.
struct Found {
    kind: Kind,
    what: String,
    groups: Vec<Vec<u32>>,
}

impl Found {
    /// A finding about samples one by one.
    fn each(kind: Kind, what: String, samples: Vec<u32>) -> Self {
        let groups = samples.into_iter().map(|i| vec![i]).collect();
        Self { kind, what, groups }
    }
}

/// All checks over one pass.
pub(crate) struct Doctor<'a> {
    checks: Vec<Box<dyn Check + 'a>>,
    places: Vec<RowOrigin>,
}

impl<'a> Doctor<'a> {
    pub(crate) fn new(tokenizer: &'a TextTokenizer) -> Self {
        Self {
            checks: vec![
                Box::<duplicates::Duplicates>::default(),
                Box::<near::NearDuplicates>::default(),
                Box::<contradictions::Contradictions>::default(),
                Box::<short::ShortAnswers>::default(),
                Box::<openings::Openings>::default(),
                Box::<lengths::Lengths>::default(),
                Box::<language::Languages>::default(),
                Box::<widths::Widths>::default(),
                Box::new(unknown::Unknown::new(tokenizer)),
            ],
            places: Vec::new(),
        }
    }

    /// Takes the next sample in.
    pub(crate) fn see(&mut self, conversation: &Conversation, row: &Tokenized) {
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let seen = Seen {
            messages: &conversation.messages,
            tools: conversation.tools.as_ref(),
            ids: &row.ids,
        };
        for check in &mut self.checks {
            check.see(index, &seen);
        }
        self.places.push(conversation.origin.clone());
    }

    /// Every finding, those of the preparation first.
    pub(crate) fn findings(self, report: &DataReport) -> Vec<Finding> {
        let place = |index: u32| self.places.get(index as usize).cloned();
        let found = self.checks.iter().flat_map(|check| check.findings());
        let found = found.map(|found| Finding {
            kind: found.kind,
            what: found.what,
            places: found
                .groups
                .into_iter()
                .map(|group| group.into_iter().filter_map(place).collect())
                .collect(),
        });
        finding::cut_rows(report).into_iter().chain(found).collect()
    }
}

#[cfg(test)]
mod tests;
