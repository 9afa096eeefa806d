//! The data doctor: what a person should look at before an hour of training is spent.
//!
//! In: every sample once, in order, as conversation and as tokens. Out: findings with file and
//! line, each with its reason and its remedy. Each check is an accumulator of its own that keeps a
//! few numbers per sample and never the text, so that what it needs does not grow with long samples.
//! Keeps: the same data gives the same findings, in the same order. Not here: what makes a run
//! impossible (`refusals`), personal data (`privacy`).

mod check;
mod contradictions;
mod damaged;
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
use shared::text::TextTokenizer;

use super::sample::{Conversation, Tokenized};
use check::{Check, Seen};
pub use finding::{Finding, Kind};
pub(crate) use overlap::Overlap;

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
                Box::<damaged::Damaged>::default(),
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

    /// What all checks found, check by check.
    pub(crate) fn findings(self) -> Vec<Finding> {
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
        found.collect()
    }
}

#[cfg(test)]
mod tests;
