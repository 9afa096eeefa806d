//! Characters the tokenizer has no token for.
//!
//! A `<unk>` loses the character for good. One byte by byte (`<0xE4>`) costs three tokens, and with
//! few samples the model does not learn to write it.

use std::collections::BTreeMap;

use shared::text::TextTokenizer;

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::counted;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    Bytes,
    Whole,
}

pub(super) struct Unknown<'a> {
    tokenizer: &'a TextTokenizer,
    known: BTreeMap<u32, Loss>,
    lost: Vec<u32>,
    bytes: Vec<u32>,
}

impl<'a> Unknown<'a> {
    pub(super) fn new(tokenizer: &'a TextTokenizer) -> Self {
        Self {
            tokenizer,
            known: BTreeMap::new(),
            lost: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn loss(&mut self, id: u32) -> Loss {
        let tokenizer = self.tokenizer;
        *self.known.entry(id).or_insert_with(|| {
            let token = tokenizer.token(id).unwrap_or_default();
            let byte = token
                .strip_prefix("<0x")
                .and_then(|rest| rest.strip_suffix('>'));
            match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                _ if matches!(token.as_str(), "<unk>" | "[UNK]" | "<|unk|>") => Loss::Whole,
                // A line break by its byte is how these tokenizers write it.
                Some(byte) if !byte.is_ascii() => Loss::Bytes,
                _ => Loss::None,
            }
        })
    }
}

impl Check for Unknown<'_> {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let losses: Vec<Loss> = sample.ids.iter().map(|id| self.loss(*id)).collect();
        if losses.contains(&Loss::Whole) {
            self.lost.push(index);
        } else if losses.contains(&Loss::Bytes) {
            self.bytes.push(index);
        }
    }

    fn findings(&self) -> Vec<Found> {
        let mut found = Vec::new();
        if !self.lost.is_empty() {
            let what = format!(
                "{} characters that the tokenizer replaces by <unk>",
                counted(self.lost.len(), "sample has", "samples have")
            );
            found.push(Found::each(Kind::UnknownTokens, what, self.lost.clone()));
        }
        if !self.bytes.is_empty() {
            let what = format!(
                "{} characters that the tokenizer writes byte by byte",
                counted(self.bytes.len(), "sample has", "samples have")
            );
            found.push(Found::each(Kind::ByteTokens, what, self.bytes.clone()));
        }
        found
    }
}
