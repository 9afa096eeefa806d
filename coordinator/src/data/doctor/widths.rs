//! The same signs in two widths: `ＡＢ１２` beside `AB12`, `，` beside `,` in Chinese text.
//!
//! Each width has tokens of its own, so the model meets every number twice and half as often.

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, half_width, is_han};

#[derive(Default)]
pub(super) struct Widths {
    letters: Both,
    signs: Both,
}

/// Samples with the full and with the half width.
#[derive(Default)]
struct Both {
    full: Vec<u32>,
    half: Vec<u32>,
}

impl Both {
    fn note(&mut self, index: u32, full: bool, half: bool) {
        if full {
            self.full.push(index);
        }
        if half {
            self.half.push(index);
        }
    }

    fn found(&self, name: &str) -> Option<Found> {
        let (rarer, which) = if self.full.len() <= self.half.len() {
            (&self.full, "full")
        } else {
            (&self.half, "half")
        };
        let other = if which == "full" { "half" } else { "full" };
        let usual = self.full.len().max(self.half.len());
        if rarer.is_empty() {
            return None;
        }
        let what = format!(
            "{} {name} of {which} width, {} of {other} width",
            counted(rarer.len(), "sample has", "samples have"),
            counted(usual, "has those", "have those"),
        );
        Some(Found::each(Kind::MixedWidths, what, rarer.clone()))
    }
}

impl Check for Widths {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let [mut letters, mut signs] = [(false, false); 2];
        for message in sample.messages {
            let mut before = ' ';
            for c in message.content.chars() {
                let full = half_width(c) != c && c != '\u{3000}';
                if half_width(c).is_ascii_alphanumeric() {
                    letters.0 |= full;
                    letters.1 |= !full;
                } else if is_han(before) && is_sign(half_width(c)) {
                    signs.0 |= full;
                    signs.1 |= !full;
                }
                before = c;
            }
        }
        self.letters.note(index, letters.0, letters.1);
        self.signs.note(index, signs.0, signs.1);
    }

    fn findings(&self) -> Vec<Found> {
        let letters = self.letters.found("letters or digits");
        let signs = self.signs.found("signs after Chinese characters");
        letters.into_iter().chain(signs).collect()
    }
}

const fn is_sign(c: char) -> bool {
    matches!(c, ',' | ';' | ':' | '?' | '!' | '(' | ')')
}
