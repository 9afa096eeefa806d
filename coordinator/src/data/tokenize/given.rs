//! Samples that came as tokens to rows: nothing is rendered, and labels say what is learned.

use shared::config::LossOn;
use shared::error::{Code, Error, Result};
use shared::text::TextTokenizer;

use crate::data::sample::{Notes, Tokenized, Tokens};

/// The row of a sample that came as tokens.
pub(crate) fn row(
    tokens: &Tokens,
    tokenizer: &TextTokenizer,
    loss_on: LossOn,
) -> Result<Tokenized> {
    let unknown = |id: &&u32| tokenizer.token(**id).is_none();
    if let Some(id) = tokens.ids.iter().find(unknown) {
        return Err(
            Error::new(Code::BadTokens, format!("the tokenizer has no token {id}"))
                .why("the sample was tokenized with another tokenizer, or the id is a mistake")
                .fix("tokenize with the base model's tokenizer, or give texts"),
        );
    }
    let targets = match (&tokens.targets, loss_on) {
        (Some(targets), _) => targets.clone(),
        (None, LossOn::All) => vec![1; tokens.ids.len()],
        (None, _) => {
            return Err(Error::new(Code::BadTokens, "`input_ids` without `labels`")
                .why("which tokens are the answer cannot be told")
                .fix("add `labels`, -100 where nothing is learned")
                .fix("or --set loss_on=all learns every token"));
        }
    };
    Ok(Tokenized {
        ids: tokens.ids.clone(),
        targets,
        open_end: false,
        notes: Notes::default(),
    })
}
