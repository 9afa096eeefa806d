//! Samples that are there twice, up to case, width, white space and punctuation.

use std::collections::BTreeMap;

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, folded_key, key};

#[derive(Default)]
pub(super) struct Duplicates(BTreeMap<[u8; 16], Vec<u32>>);

impl Check for Duplicates {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let key = if sample.messages.is_empty() {
            key(std::iter::once(format!("{:?}", sample.ids).as_str()))
        } else {
            folded_key(sample.messages, sample.tools)
        };
        self.0.entry(key).or_default().push(index);
    }

    fn findings(&self) -> Vec<Found> {
        let mut groups: Vec<_> = self.0.values().filter(|g| g.len() > 1).cloned().collect();
        if groups.is_empty() {
            return Vec::new();
        }
        groups.sort();
        let repeated = groups.iter().map(|g| g.len() - 1).sum();
        let what = counted(repeated, "sample repeats", "samples repeat");
        vec![Found {
            kind: Kind::Duplicates,
            what: format!("{what} an earlier one"),
            groups,
        }]
    }
}
