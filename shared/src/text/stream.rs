//! Text that grows token by token, and never takes a character back.
//!
//! In: ids one at a time. Out: the text that no later token can change.
//! Keeps: all that was given out, joined, is the decode of all ids. Bytes of a character that is
//! spread over tokens wait until it is whole; a run of byte tokens (`<0xE4>`) waits until it ends,
//! because one bad byte turns the whole run into replacement characters.

use super::TextTokenizer;

/// Past this many ids the window is shortened, so that long texts cost no more per token.
const WINDOW: usize = 128;
const KEPT: usize = 8;
const REPLACEMENT: char = '\u{fffd}';

/// Decodes a growing list of ids.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a TextTokenizer,
    skip_special: bool,
    ids: Vec<u32>,
    given: usize,
}

impl<'a> StreamDecoder<'a> {
    /// Starts an empty text; `skip_special` leaves special tokens out.
    #[must_use]
    pub fn new(tokenizer: &'a TextTokenizer, skip_special: bool) -> Self {
        Self {
            tokenizer,
            skip_special,
            ids: Vec::new(),
            given: 0,
        }
    }

    /// Takes the next id and returns the text that is final now, often empty.
    pub fn push(&mut self, id: u32) -> String {
        if self.skip_special && self.tokenizer.is_special(id) {
            return String::new();
        }
        self.ids.push(id);
        if self.is_byte(id) {
            return String::new();
        }
        let text = self.text(&self.ids);
        let last_is_whole = !text.ends_with(REPLACEMENT);
        let new = self.take(text.trim_end_matches(REPLACEMENT));
        if last_is_whole && self.ids.len() > WINDOW {
            self.shorten();
        }
        new
    }

    /// The rest, whole or not.
    #[must_use]
    pub fn finish(mut self) -> String {
        let text = self.text(&self.ids);
        self.take(&text)
    }

    /// What `text` has beyond what was given out.
    fn take(&mut self, text: &str) -> String {
        let new = text.get(self.given..).unwrap_or_default().to_owned();
        self.given = self.given.max(text.len());
        new
    }

    /// Forgets old ids, where the few kept ones still decode to some text to continue from.
    fn shorten(&mut self) {
        let mut tail = self.ids.split_off(self.ids.len() - KEPT);
        if self.is_byte(tail[0]) {
            self.ids.append(&mut tail);
            return;
        }
        self.given = self.text(&tail).len();
        self.ids = tail;
    }

    fn is_byte(&self, id: u32) -> bool {
        self.tokenizer
            .token(id)
            .is_some_and(|t| t.len() == 6 && t.starts_with("<0x") && t.ends_with('>'))
    }

    /// The ids' text; should the decoder fail, the tokens as the vocabulary spells them.
    fn text(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, false).unwrap_or_else(|_| {
            ids.iter()
                .filter_map(|id| self.tokenizer.token(*id))
                .collect()
        })
    }
}
