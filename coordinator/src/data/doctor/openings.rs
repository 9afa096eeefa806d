//! Do the answers open the same way?
//!
//! A model learns the form of an answer from few samples, and as fast that there are two. When most
//! answers share an opening, the others are named.

use std::collections::BTreeMap;

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::counted;

/// An opening has so many characters at least, and at most.
const LEAST: usize = 2;
const MOST: usize = 8;
/// Fewer answers have no form to speak of.
const ANSWERS: usize = 10;

#[derive(Default)]
pub(super) struct Openings {
    heads: Vec<(u32, String)>,
}

impl Check for Openings {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        if let Some(answer) = sample.answer() {
            let head = answer.trim_start().chars().take(MOST).collect();
            self.heads.push((index, head));
        }
    }

    fn findings(&self) -> Vec<Found> {
        let Some((opening, count)) = self.usual() else {
            return Vec::new();
        };
        let others: Vec<u32> = self
            .heads
            .iter()
            .filter(|(_, head)| !head.starts_with(&opening))
            .map(|(index, _)| *index)
            .collect();
        if others.is_empty() {
            return Vec::new();
        }
        let what = format!(
            "{} of {} open with `{opening}`, and {} not",
            count,
            counted(self.heads.len(), "answer", "answers"),
            counted(others.len(), "does", "do"),
        );
        vec![Found::each(Kind::Openings, what, others)]
    }
}

impl Openings {
    /// The longest opening that at least four of five answers share, and how many do.
    fn usual(&self) -> Option<(String, usize)> {
        if self.heads.len() < ANSWERS {
            return None;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, head) in &self.heads {
            let ends = head.char_indices().map(|(at, c)| at + c.len_utf8());
            for end in ends.skip(LEAST - 1) {
                *counts.entry(&head[..end]).or_default() += 1;
            }
        }
        let shared = |count: usize| count * 5 >= self.heads.len() * 4;
        let usual = counts.into_iter().filter(|(_, count)| shared(*count));
        let usual = usual.max_by_key(|(opening, count)| (opening.chars().count(), *count));
        usual.map(|(opening, count)| (opening.trim_end().to_owned(), count))
    }
}
