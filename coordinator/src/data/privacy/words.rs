//! Chinese text as words, with what the dictionary knows of each.
//!
//! In: text. Out: its words with their classes, and how surprising a word is. The dictionary is read when the
//! first Chinese text comes by, once per process; a run that looks for no names never reads it.

use std::sync::OnceLock;

use jieba_rs::Jieba;

use super::context::is_han;

static DICTIONARY: OnceLock<Jieba> = OnceLock::new();
/// What all frequencies of the dictionary add up to.
const TOTAL: f64 = 60_101_967.0;

/// A word of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'t> {
    pub text: &'t str,
    /// Its class in the dictionary: `nr` persons, `n` nouns, `v` verbs.
    pub class: &'t str,
    /// Its first byte in the text.
    pub start: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(super) fn is_han(&self) -> bool {
        self.text.starts_with(is_han)
    }

    /// More characters than one.
    pub(super) fn is_long(&self) -> bool {
        self.text.chars().nth(1).is_some()
    }
}

fn dictionary() -> &'static Jieba {
    DICTIONARY.get_or_init(Jieba::new)
}

/// The words of a text as the dictionary cuts it; what it does not know stays single characters.
pub(super) fn cut(text: &str) -> Vec<Word<'_>> {
    let words = dictionary().tag(text, false).into_iter();
    words
        .map(|word| Word {
            text: word.word,
            class: word.tag,
            start: word.byte_start,
        })
        .collect()
}

/// The logarithm of a word's share among all words.
pub(super) fn share(word: &str) -> f64 {
    let count = dictionary().suggest_freq(word);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (f64::from(count) / TOTAL).ln()
}

/// The same for several words.
pub(super) fn share_of(words: &[Word<'_>]) -> f64 {
    words.iter().map(|word| share(word.text)).sum()
}

/// The dictionary has this word as a whole, and not as a person.
pub(super) fn is_word(word: &str) -> bool {
    let dictionary = dictionary();
    dictionary.has_word(word)
        && match dictionary.tag(word, false).as_slice() {
            [only] => !only.tag.starts_with("nr"),
            _ => false,
        }
}
