//! The walk of a run: from its files to its rows.
//!
//! In: sources, tokenizer, template. Out: rows and the report. Where personal data is masked,
//! placeholders that stand in the data already are reserved in a reading of their own before.

use shared::config::PrivacyMode;
use shared::error::Result;

use super::collector::{RowCollector, WalkOptions};
use super::preparer::Preparer;
use super::reserved;
use super::stations::Stations;
use crate::data::pieces::Pieces;
use crate::data::privacy::Privacy;
use crate::data::rows::Rows;

/// Walks over all samples, and collects their rows.
pub(crate) fn walk<'a>(preparer: &Preparer<'a>, options: WalkOptions<'a>) -> Result<Rows> {
    let sources = preparer.sources;
    let config = sources.config;
    let (pieces, beside) = Pieces::new(config)?;
    let mut collector = RowCollector::begin(config, options, pieces.position(), &beside)?;
    collector.note_tokenizer(preparer.tokenizer);
    let privacy = match config.privacy.mode {
        PrivacyMode::Off => None,
        PrivacyMode::Scan | PrivacyMode::Mask => Some(Privacy::new(&config.privacy)?),
    };
    let masked = config.privacy.mode == PrivacyMode::Mask;
    let mut treatment = match &privacy {
        Some(privacy) => Some(reserved::treatment(sources, privacy, masked)?),
        None => None,
    };
    let stations = Stations {
        sources,
        privacy: privacy.as_ref(),
        treatment: treatment.as_mut(),
        preparer: Some(preparer),
        skip: collector.skip(),
    };
    stations.pass(pieces, &mut |chunk| collector.take(chunk))?;
    collector.finish(treatment.map(|treatment| treatment.report()), &beside)
}
