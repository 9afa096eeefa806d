//! What stands beside a match: neighbours and the words before it.
//!
//! The `regex` crate has no look-around, so boundaries are looked at by hand. Chinese characters
//! are never a boundary's obstacle: nothing separates them from a number.

use std::ops::Range;

use regex::{Captures, Regex};

/// Calls `accept` for each match and keeps the spans it returns; after a refusal the search goes on
/// one character further, so that a wrong start never hides a right one.
pub(super) fn each(
    regex: &Regex,
    text: &str,
    mut accept: impl FnMut(&Captures<'_>) -> Option<Range<usize>>,
) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    // Where nothing matches, which is most often, no room for groups is needed.
    while let Some(whole) = regex.find_at(text, at) {
        let Some(captures) = regex.captures_at(text, whole.start()) else {
            break;
        };
        match accept(&captures) {
            Some(span) => {
                at = span.end.max(whole.start() + 1);
                found.push(span);
            }
            None => at = whole.start() + 1,
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
        if at >= text.len() {
            break;
        }
    }
    found
}

/// The character before a byte of the text.
pub(super) fn left(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// The character after a byte of the text.
pub(super) fn right(text: &str, at: usize) -> Option<char> {
    text[at..].chars().next()
}

/// Neither a digit, nor a digit behind a point, hyphen or slash touches the span.
pub(super) fn alone(text: &str, span: &Range<usize>) -> bool {
    let joined = |c: char| matches!(c, '.' | '-' | '/' | '_' | ',');
    let touches = |near: Option<char>, far: Option<char>| match near {
        Some(c) if c.is_ascii_digit() => true,
        Some(c) if joined(c) => far.is_some_and(|far| far.is_ascii_digit()),
        _ => false,
    };
    let mut before = text[..span.start].chars().rev();
    let mut after = text[span.end..].chars();
    !touches(before.next(), before.next()) && !touches(after.next(), after.next())
}

/// No ASCII letter or digit touches the span.
pub(super) fn apart(text: &str, span: &Range<usize>) -> bool {
    let touches = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    !touches(left(text, span.start)) && !touches(right(text, span.end))
}

/// The last `most` characters before, in lower case, back to the end of a sentence.
pub(super) fn before(text: &str, at: usize, most: usize) -> String {
    let ends = |c: &char| matches!(c, '。' | '！' | '？' | '；' | ';' | '\n');
    let near: Vec<char> = text[..at]
        .chars()
        .rev()
        .take(most)
        .take_while(|c| !ends(c))
        .collect();
    near.into_iter().rev().collect::<String>().to_lowercase()
}

/// One of the words stands in the text.
pub(super) fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// The digits of a text, without what stands between them.
pub(super) fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether a character is Chinese.
pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}')
}
