//! A text as the rules read it: full-width letters and digits as ASCII, placeholders as one mark.
//!
//! In: a text. Out: the folded text, and the way from its bytes back to those of the original.
//! Keeps: a found value and its placeholder are the same mark, so a masked text reads like the text
//! in which everything was found. That is why masking twice changes nothing more.

use std::ops::Range;

use regex::Regex;

/// Stands where something was found already.
pub(super) const MARK: char = '\u{fffc}';
/// A placeholder of this or an earlier masking.
pub(super) const PLACEHOLDER: &str = r"\[[A-Z][A-Z0-9_]*_[0-9]+\]";

/// A text as the rules read it, and where each byte of it comes from.
#[derive(Clone, Debug)]
pub(super) struct Folded {
    /// What the rules read.
    pub text: String,
    /// For each of its bytes the byte of the original where that character began, and the end.
    origin: Vec<usize>,
}

impl Folded {
    /// Folds a text; `placeholder` is [`PLACEHOLDER`].
    pub(super) fn new(text: &str, placeholder: &Regex) -> Self {
        let mut folded = Self {
            text: String::with_capacity(text.len()),
            origin: Vec::with_capacity(text.len() + 1),
        };
        let mut at = 0;
        for found in placeholder.find_iter(text) {
            folded.take(text, at..found.start());
            folded.push(MARK, found.start());
            at = found.end();
        }
        folded.take(text, at..text.len());
        folded.origin.push(text.len());
        folded
    }

    /// The bytes of the original behind these of the folded text.
    pub(super) fn original(&self, span: &Range<usize>) -> Range<usize> {
        self.origin[span.start]..self.origin[span.end]
    }

    /// Puts one mark in the place of each span; they are in order and do not overlap.
    pub(super) fn mark(&mut self, spans: &[Range<usize>]) {
        let mut marked = Self {
            text: String::with_capacity(self.text.len()),
            origin: Vec::with_capacity(self.origin.len()),
        };
        let mut at = 0;
        for span in spans {
            marked.keep(self, at..span.start);
            marked.push(MARK, self.origin[span.start]);
            at = span.end;
        }
        marked.keep(self, at..self.text.len());
        marked.origin.extend(self.origin.last());
        *self = marked;
    }

    fn take(&mut self, text: &str, span: Range<usize>) {
        for (place, c) in text[span.clone()].char_indices() {
            self.push(fold(c), span.start + place);
        }
    }

    fn keep(&mut self, from: &Self, span: Range<usize>) {
        self.text.push_str(&from.text[span.clone()]);
        self.origin.extend_from_slice(&from.origin[span]);
    }

    fn push(&mut self, c: char, origin: usize) {
        self.text.push(c);
        self.origin
            .extend(std::iter::repeat_n(origin, c.len_utf8()));
    }
}

/// The character that the rules are written for.
pub(super) fn fold(c: char) -> char {
    match c {
        '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' | '＠' | '．' | '－' | '＋' | '＿' => {
            char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c)
        }
        '\u{3000}' | '\u{a0}' | '\u{2002}' | '\u{2003}' | '\u{2009}' | '\u{202f}' => ' ',
        '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2212}' => '-',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_leads_back_to_the_original() {
        let placeholder = Regex::new(PLACEHOLDER).unwrap();
        let text = "电话１３８，见[PHONE_12]。";
        let mut folded = Folded::new(text, &placeholder);
        assert_eq!(folded.text, format!("电话138，见{MARK}。"));
        let digits = folded.text.find("138").unwrap();
        let span = digits..digits + 3;
        assert_eq!(&text[folded.original(&span)], "１３８");
        folded.mark(&[span]);
        assert_eq!(folded.text, format!("电话{MARK}，见{MARK}。"));
        let last = folded.text.rfind(MARK).unwrap();
        assert_eq!(
            &text[folded.original(&(last..last + MARK.len_utf8()))],
            "[PHONE_12]"
        );
    }
}
