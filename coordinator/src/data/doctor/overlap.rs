//! Validation samples that are trained on.
//!
//! In: every sample of the validation data, then every sample of the training data. Out: which of
//! the one stand in the other: token for token as they are after the cut to length, or up to case,
//! width, white space and punctuation. Keeps: two keys and a place per validation sample, and the
//! places of what stands in both.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::Overflow;
use shared::dataset::RowOrigin;

use super::finding::{Finding, Kind};
use super::text::folded_key;
use crate::data::sample::{Conversation, Tokenized};

/// What the places of validation data begin with.
const ROOT: &str = "validation_dir";

type Key = [u8; 16];

/// Validation samples under one key, and the training samples that have it too.
#[derive(Default)]
struct Group {
    evaluated: Vec<usize>,
    trained: Vec<RowOrigin>,
}

/// What the two have in common.
pub(crate) struct Overlap {
    limit: usize,
    overflow: Overflow,
    places: Vec<RowOrigin>,
    exact: BTreeMap<Key, Group>,
    folded: BTreeMap<Key, Group>,
}

impl Overlap {
    /// Rows are compared as they are trained: cut to `max_seq_length` where `overflow` says so.
    pub(crate) fn new(max_seq_length: u32, overflow: Overflow) -> Self {
        Self {
            limit: usize::try_from(max_seq_length).unwrap_or(usize::MAX),
            overflow,
            places: Vec::new(),
            exact: BTreeMap::new(),
            folded: BTreeMap::new(),
        }
    }

    /// Takes a sample of the validation data in.
    pub(crate) fn evaluated(&mut self, sample: &Conversation, row: &Tokenized) {
        let Some(exact) = self.row(row) else { return };
        let index = self.places.len();
        let RowOrigin { file, line } = &sample.origin;
        self.places.push(RowOrigin {
            file: format!("{ROOT}/{file}"),
            line: *line,
        });
        let groups = [
            Some(self.exact.entry(exact).or_default()),
            said(sample).map(|key| self.folded.entry(key).or_default()),
        ];
        for group in groups.into_iter().flatten() {
            group.evaluated.push(index);
        }
    }

    /// Takes a sample of the training data in, when all validation data is known.
    pub(crate) fn trained(&mut self, sample: &Conversation, row: &Tokenized) {
        if self.places.is_empty() {
            return;
        }
        let Some(exact) = self.row(row) else { return };
        let group = match self.exact.get_mut(&exact) {
            Some(group) => Some(group),
            None => said(sample).and_then(|key| self.folded.get_mut(&key)),
        };
        if let Some(group) = group {
            group.trained.push(sample.origin.clone());
        }
    }

    /// Key of the row that is made of a sample; none when it is too long to be one.
    fn row(&self, row: &Tokenized) -> Option<Key> {
        let fits = row.ids.len() <= self.limit;
        if !fits && self.overflow != Overflow::Truncate {
            return None;
        }
        let length = row.ids.len().min(self.limit);
        let mut hasher = blake3::Hasher::new();
        for id in row.ids.iter().take(length) {
            hasher.update(&id.to_le_bytes());
        }
        hasher.update(&row.targets[..row.targets.len().min(length)]);
        hasher.update(&(length as u64).to_le_bytes());
        hasher.finalize().as_bytes().first_chunk().copied()
    }

    /// The finding, where any sample is in both.
    pub(crate) fn finding(self) -> Option<Finding> {
        let both = |groups: BTreeMap<Key, Group>| {
            let mut both: Vec<Group> = groups.into_values().collect();
            both.retain(|group| !group.trained.is_empty());
            both.sort_by_key(|group| group.evaluated.first().copied());
            both
        };
        let (exact, folded) = (both(self.exact), both(self.folded));
        let samples = |groups: &[Group]| -> BTreeSet<usize> {
            let all = groups.iter().flat_map(|group| &group.evaluated);
            all.copied().collect()
        };
        let (same, near) = (samples(&exact), samples(&folded));
        let near = near.difference(&same).count();
        let (same, all) = (same.len(), self.places.len());
        let known = match (same, near) {
            (0, 0) if folded.is_empty() => return None,
            (_, 0) => format!("{same} token for token"),
            (0, _) => format!("{near} but for case, width, white space and punctuation"),
            _ => format!(
                "{same} token for token, {near} but for case, width, white space and punctuation"
            ),
        };
        let groups = exact.into_iter().chain(folded);
        let places = groups.map(|group| {
            let evaluated = group.evaluated.iter();
            let evaluated = evaluated.filter_map(|index| self.places.get(*index).cloned());
            group.trained.iter().cloned().chain(evaluated).collect()
        });
        Some(Finding {
            kind: Kind::Overlap,
            what: format!(
                "{} of {all} validation samples stand in the training data too: {known}",
                same + near
            ),
            places: places.collect(),
        })
    }
}

/// Key of what is said; samples that come as tokens say nothing.
fn said(sample: &Conversation) -> Option<Key> {
    let says = !sample.messages.is_empty();
    says.then(|| folded_key(&sample.messages, sample.tools.as_ref()))
}
