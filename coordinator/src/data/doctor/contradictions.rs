//! One question, unlike answers.

use std::collections::BTreeMap;

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, folded_key};

/// By what is asked: the answers, and the first sample that gives each.
#[derive(Default)]
pub(super) struct Contradictions(BTreeMap<[u8; 16], BTreeMap<[u8; 16], u32>>);

impl Check for Contradictions {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let Some((answer, asked)) = sample.messages.split_last() else {
            return;
        };
        let answers = self.0.entry(folded_key(asked, sample.tools)).or_default();
        let answer = folded_key(std::slice::from_ref(answer), None);
        answers.entry(answer).or_insert(index);
    }

    fn findings(&self) -> Vec<Found> {
        let several = self.0.values().filter(|answers| answers.len() > 1);
        let mut groups: Vec<Vec<u32>> = several
            .map(|answers| answers.values().copied().collect())
            .collect();
        if groups.is_empty() {
            return Vec::new();
        }
        for group in &mut groups {
            group.sort_unstable();
        }
        groups.sort();
        let what = counted(groups.len(), "question has", "questions have");
        vec![Found {
            kind: Kind::Contradictions,
            what: format!("{what} more than one answer"),
            groups,
        }]
    }
}
