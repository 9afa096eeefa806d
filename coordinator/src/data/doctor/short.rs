//! Answers that are empty, or one word.

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, is_han};

/// So many Chinese characters are about one word.
const WORD: usize = 2;

#[derive(Default)]
pub(super) struct ShortAnswers {
    empty: Vec<u32>,
    word: Vec<u32>,
}

impl Check for ShortAnswers {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let least = sample.answers().map(|m| words(&m.content)).min();
        match least {
            Some(0) => self.empty.push(index),
            Some(1) => self.word.push(index),
            _ => {}
        }
    }

    fn findings(&self) -> Vec<Found> {
        let mut found = Vec::new();
        if !self.empty.is_empty() {
            let what = counted(self.empty.len(), "sample has", "samples have");
            let what = format!("{what} an answer without a word");
            found.push(Found::each(Kind::EmptyAnswers, what, self.empty.clone()));
        }
        if !self.word.is_empty() {
            let what = counted(self.word.len(), "sample has", "samples have");
            let what = format!("{what} an answer of one word");
            found.push(Found::each(Kind::OneWordAnswers, what, self.word.clone()));
        }
        found
    }
}

/// Words of a text, 2 standing for any more.
fn words(text: &str) -> usize {
    let said = |word: &&str| word.chars().any(char::is_alphanumeric);
    let parts: Vec<&str> = text.split_whitespace().filter(said).collect();
    match parts[..] {
        [] => 0,
        [one] => {
            let chars = one.chars().filter(|c| c.is_alphanumeric());
            let han = one.chars().filter(|c| is_han(*c)).count();
            if han > WORD || (han > 0 && chars.count() > han) {
                2
            } else {
                1
            }
        }
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_in_chinese_and_english() {
        for (text, count) in [
            ("", 0),
            (" 。", 0),
            ("可以", 1),
            ("可以。", 1),
            ("Yes.", 1),
            ("不可以。", 2),
            ("Yes, always", 2),
            ("第3条", 2),
        ] {
            assert_eq!(words(text), count, "{text:?}");
        }
    }
}
