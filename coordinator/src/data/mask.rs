//! Text and learned spans to tokens and targets.
//!
//! In: a rendered conversation. Out: ids, and 1 for each token that is learned: a token belongs
//! where it starts. Keeps: the token that ends a turn is inside its span; where no special token
//! does, the row says so, because a model trained on it would not learn to stop.

use shared::error::Result;
use shared::text::{Encoded, TextTokenizer};

use super::render::Rendered;

/// A row before it is cut to length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokenized {
    pub ids: Vec<u32>,
    pub targets: Vec<u8>,
    /// An answer ends without a special token.
    pub open_end: bool,
}

/// Tokenizes and masks.
pub(crate) fn mask(tokenizer: &TextTokenizer, rendered: &Rendered) -> Result<Tokenized> {
    let Encoded { ids, offsets } = tokenizer.encode(&rendered.text)?;
    let mut targets = vec![0; ids.len()];
    let mut open_end = false;
    for span in &rendered.spans {
        let inside = |i: &usize| span.contains(&offsets[*i].0);
        let first = offsets.partition_point(|o| o.0 < span.start);
        let mut last = None;
        for index in (first..ids.len()).take_while(inside) {
            targets[index] = 1;
            last = Some(index);
        }
        let text_end = rendered.text[..span.end].trim_end().len();
        let ends = last.and_then(|last| {
            (first..=last)
                .rev()
                .find(|&i| offsets[i].0 < text_end)
                .map(|i| ids[i])
        });
        open_end |= !ends.is_some_and(|id| tokenizer.is_special(id));
    }
    Ok(Tokenized {
        ids,
        targets,
        open_end,
    })
}
