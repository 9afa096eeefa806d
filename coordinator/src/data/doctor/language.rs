//! Answers in another language than the others', told by their script.

use std::collections::BTreeMap;

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, is_han};

/// Fewer letters tell nothing.
const LETTERS: usize = 8;
/// Fewer answers have no common language.
const ANSWERS: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Script {
    Chinese,
    Japanese,
    Korean,
    Latin,
    Cyrillic,
    Arabic,
}

impl Script {
    fn of(c: char) -> Option<Self> {
        Some(match u32::from(c) {
            _ if is_han(c) => Self::Chinese,
            0x3040..=0x30ff => Self::Japanese,
            0x1100..=0x11ff | 0xac00..=0xd7af => Self::Korean,
            0x0400..=0x052f => Self::Cyrillic,
            0x0600..=0x06ff => Self::Arabic,
            0x0041..=0x005a | 0x0061..=0x007a | 0x00c0..=0x024f => Self::Latin,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Chinese => "Chinese",
            Self::Japanese => "Japanese",
            Self::Korean => "Korean",
            Self::Latin => "Latin",
            Self::Cyrillic => "Cyrillic",
            Self::Arabic => "Arabic",
        }
    }
}

#[derive(Default)]
pub(super) struct Languages(Vec<(u32, Script)>);

impl Check for Languages {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        if let Some(script) = sample.answer().and_then(script) {
            self.0.push((index, script));
        }
    }

    fn findings(&self) -> Vec<Found> {
        let mut counts: BTreeMap<Script, usize> = BTreeMap::new();
        for (_, script) in &self.0 {
            *counts.entry(*script).or_default() += 1;
        }
        let Some((usual, count)) = counts.into_iter().max_by_key(|(_, n)| *n) else {
            return Vec::new();
        };
        // Data of two languages by intention is no finding.
        let all = self.0.len();
        if all < ANSWERS || count * 10 < all * 9 || count == all {
            return Vec::new();
        }
        let others = self.0.iter().filter(|(_, script)| *script != usual);
        let others: Vec<u32> = others.map(|(index, _)| *index).collect();
        let what = format!(
            "{} not in {} script, as {count} of {all} are",
            counted(others.len(), "answer is", "answers are"),
            usual.name(),
        );
        vec![Found::each(Kind::OtherLanguage, what, others)]
    }
}

/// The script of most letters. A Chinese character says about as much as three Latin letters; a text
/// with kana is Japanese whatever else is in it.
fn script(text: &str) -> Option<Script> {
    let mut counts: BTreeMap<Script, usize> = BTreeMap::new();
    for script in text.chars().filter_map(Script::of) {
        let weight = match script {
            Script::Chinese | Script::Korean => 3,
            Script::Japanese => 30,
            _ => 1,
        };
        *counts.entry(script).or_default() += weight;
    }
    let (script, letters) = counts.into_iter().max_by_key(|(_, n)| *n)?;
    (letters >= LETTERS).then_some(script)
}
