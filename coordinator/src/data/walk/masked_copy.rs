//! All samples with placeholders in the place of personal data, and no rows.

use shared::error::Result;

use super::reserved;
use super::stations::Stations;
use crate::data::pieces::Pieces;
use crate::data::privacy::{Privacy, PrivacyReport};
use crate::data::rows::Rows;
use crate::data::sample::Conversation;
use crate::data::sources::Sources;

/// Shows every masked sample in order; what was replaced, and the notices about the files.
pub(crate) fn masked(
    sources: &Sources<'_>,
    privacy: &Privacy,
    see: &mut dyn FnMut(Conversation) -> Result<()>,
) -> Result<(PrivacyReport, Vec<String>)> {
    let (pieces, beside) = Pieces::new(sources.config)?;
    let mut rows = Rows::new(sources.config, None);
    rows.note_beside(&beside);
    let mut treatment = reserved::treatment(sources, privacy, true)?;
    let stations = Stations {
        sources,
        privacy: Some(privacy),
        // Nothing follows that would need cores: the collector treats each sample as it goes out.
        treatment: None,
        preparer: None,
        skip: 0,
    };
    stations.pass(pieces, &mut |chunk| {
        rows.note_file(chunk.report, chunk.notices);
        for (mut sample, found) in chunk.samples.into_iter().zip(chunk.found) {
            rows.notice(&sample);
            treatment.treat(&mut sample, found);
            see(sample)?;
        }
        chunk.error.map_or(Ok(()), Err)
    })?;
    rows.end(sources.config, &beside)?;
    Ok((treatment.report(), rows.stats.report.notices))
}
