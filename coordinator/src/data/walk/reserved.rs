//! A reading of its own, before any placeholder is given: which ones stand in the data already.

use shared::error::Result;

use super::chunk::Chunk;
use crate::data::listed::Places;
use crate::data::parallel::ordered;
use crate::data::pieces::{Piece, Pieces};
use crate::data::privacy::{Privacy, Treatment};
use crate::data::rows::refusals;
use crate::data::sample::Conversation;
use crate::data::sources::Sources;

/// A treatment that knows the placeholders of the data.
///
/// # Errors
/// [`shared::error::Code::TokensNotMasked`] when samples that come as tokens are to be masked, and
/// those of reading.
pub(super) fn treatment<'p>(
    sources: &Sources<'_>,
    privacy: &'p Privacy,
    masked: bool,
) -> Result<Treatment<'p>> {
    let mut treatment = Treatment::new(privacy, masked);
    if !masked {
        return Ok(treatment);
    }
    let pieces = (0_u64..).zip(Pieces::new(sources.config)?.0);
    let look = |(index, piece): (u64, Result<Piece>)| {
        let mut chunk = Chunk::parse(sources, index, piece);
        let tokens = chunk.samples.iter().filter(|s| s.tokens.is_some());
        let tokens: Vec<String> = tokens.map(Conversation::place).collect();
        let texts = chunk.samples.iter_mut();
        let placeholders: Vec<String> = texts.flat_map(|s| privacy.reserved_in(s)).collect();
        (placeholders, tokens, chunk.error)
    };
    let mut unreadable = Places::default();
    ordered(pieces, look, &mut |(placeholders, tokens, error)| {
        placeholders.iter().for_each(|text| treatment.reserve(text));
        tokens
            .into_iter()
            .for_each(|place| unreadable.add(|| place));
        error.map_or(Ok(()), Err)
    })?;
    if unreadable.count > 0 {
        return Err(refusals::tokens_not_masked(sources.config, &unreadable));
    }
    Ok(treatment)
}
