//! Text and learned spans to tokens and targets.
//!
//! In: a rendered conversation. Out: ids, and 1 for each token that is learned. A token belongs where
//! it starts; a range that the template itself marks takes every token it touches, as transformers'
//! `assistant_masks` do. Keeps: the token that ends a turn is inside its span; where no special token
//! does, the row says so, because a model trained on it would not learn to stop.

use std::ops::Range;

use shared::error::Result;
use shared::text::{Encoded, TextTokenizer};

use super::render::Rendered;
use crate::data::sample::Tokenized;

/// Tokenizes a rendered conversation, and marks the tokens that are learned.
pub(crate) fn mask(tokenizer: &TextTokenizer, rendered: Rendered) -> Result<Tokenized> {
    let Encoded { ids, offsets } = tokenizer.encode_quoting(&rendered.text, &rendered.quoted)?;
    let mut targets = vec![0; ids.len()];
    let mut open_end = false;
    let tokens = |span: &Range<usize>| {
        if rendered.marked {
            touched(&offsets, &rendered.text, span)
        } else {
            started(&offsets, span)
        }
    };
    for span in &rendered.spans {
        targets[tokens(span)].fill(1);
    }
    for hole in &rendered.holes {
        targets[tokens(hole)].fill(0);
    }
    for span in &rendered.ends {
        let text_end = rendered.text[..span.end].trim_end().len();
        let mut backwards = tokens(span).rev();
        let last = backwards.find(|&i| offsets[i].0 < text_end);
        open_end |= !last.is_some_and(|i| tokenizer.is_special(ids[i]));
    }
    Ok(Tokenized {
        ids,
        targets,
        open_end,
        notes: rendered.notes,
    })
}

/// The tokens that start in a range.
fn started(offsets: &[(usize, usize)], span: &Range<usize>) -> Range<usize> {
    let first = offsets.partition_point(|o| o.0 < span.start);
    let inside = offsets[first..].iter().take_while(|o| o.0 < span.end);
    first..first + inside.count()
}

/// From the token that holds a range's first character to the one that holds its last; of several
/// tokens that make up a character, the first.
fn touched(offsets: &[(usize, usize)], text: &str, span: &Range<usize>) -> Range<usize> {
    // Ends never fall, so the first that lies behind a place is found by halving.
    let holder = |at: usize| {
        let first = offsets.partition_point(|o| o.1 <= at);
        offsets.get(first).filter(|o| o.0 <= at).map(|_| first)
    };
    let last = text[span.clone()].chars().next_back();
    let last = last.and_then(|letter| holder(span.end - letter.len_utf8()));
    match (holder(span.start), last) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_across_a_border_belongs_where_it_starts_or_to_the_block_it_touches() {
        let offsets = [(0, 2), (2, 5), (5, 6), (6, 9)];
        assert_eq!(started(&offsets, &(3..6)), 2..3);
        assert_eq!(touched(&offsets, "abcdefghi", &(3..6)), 1..3);
        assert_eq!(started(&offsets, &(3..3)), 2..2);
        assert!(touched(&offsets, "abcdefghi", &(3..3)).is_empty());
    }

    #[test]
    fn a_character_of_several_tokens_counts_from_its_first() {
        let offsets = [(0, 1), (1, 5), (1, 5), (1, 5), (5, 6)];
        assert_eq!(touched(&offsets, "a😀b", &(0..5)), 0..2);
        assert_eq!(started(&offsets, &(0..5)), 0..4);
    }
}
