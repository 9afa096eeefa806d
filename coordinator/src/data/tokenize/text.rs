//! Plain text to rows: all of it is learned.
//!
//! In: a text. Out: its tokens between what the tokenizer puts before a text and the token that ends one, cut into rows of
//! at most `max_seq_length`. Keeps: every token behind the first is predicted once: a row begins with the last token of
//! the row before, which is context there and no target. No text shares a row with another one.

use shared::config::SpecialTokensInText;
use shared::error::Result;
use shared::text::{Message, TextTokenizer};

use crate::data::config::DataConfig;
use crate::data::sample::{Notes, PLAIN, Tokenized};

/// The rows of a text; none where it says nothing.
pub(crate) fn rows(
    text: &str,
    tokenizer: &TextTokenizer,
    config: &DataConfig,
) -> Result<Vec<Tokenized>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let quoted: Vec<usize> = match config.formats.special_tokens {
        SpecialTokensInText::Plain => tokenizer.specials_in(text).map(|at| at.start).collect(),
        SpecialTokensInText::Keep => Vec::new(),
    };
    let mut ids = tokenizer.opening();
    ids.extend(tokenizer.encode_quoting(text, &quoted)?.ids);
    let end = tokenizer
        .eos_token()
        .and_then(|eos| tokenizer.token_id(eos));
    ids.extend(end);
    let spelled = tokenizer.spelled(&[Message::new(PLAIN, text)], None);
    let limit = usize::try_from(config.max_seq_length).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    let mut from = 0_usize;
    loop {
        let to = from.saturating_add(limit).min(ids.len());
        let mut targets = vec![1; to - from];
        if from > 0 {
            targets[0] = 0;
        }
        let mut notes = Notes::of(1);
        if from == 0 {
            notes.spelled.clone_from(&spelled);
        }
        rows.push(Tokenized {
            ids: ids[from..to].to_vec(),
            targets,
            open_end: false,
            notes,
        });
        if to == ids.len() {
            return Ok(rows);
        }
        from = to - 1;
    }
}
