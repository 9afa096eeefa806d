//! Personal data in the texts: found, counted, and replaced by placeholders where that is asked.
//!
//! `digits` checksums · `folded` a text as the rules read it · `context` what stands beside ·
//! `numbers`, `phones`, `medical`, `addresses` (with `places`), `names` (with `surnames`, `english`) the rules ·
//! `pieces` (with `raw`) where texts stand in a sample ·
//! `findings` which of two counts · `scan` all rules over a sample · `masker` placeholders · `report`
//! counts. Keeps: no value in a report, a message or an error; the result does not depend on the
//! number of threads. Not here: the configuration's keys (`shared/config`).

mod addresses;
mod context;
mod digits;
mod english;
mod findings;
mod folded;
mod masker;
mod medical;
mod names;
mod numbers;
mod phones;
mod pieces;
mod places;
mod raw;
mod report;
mod scan;
mod surnames;

use shared::config::{PrivacyConfig, PrivacyMode};
use shared::error::{Code, Error, Result};

use super::Conversation;

pub use findings::{Finding, Kind};
pub use masker::Masker;
pub use report::{KindReport, Place, PrivacyReport};
pub use scan::Privacy;

/// Changes whenever the same texts would give other findings.
pub(super) const VERSION: &str = "privacy-1";

/// Does with the conversations what the configuration says; the report of it, unless it is `off`.
///
/// # Errors
/// As [`Privacy::new`].
pub(crate) fn treat(
    config: &PrivacyConfig,
    conversations: &mut [Conversation],
) -> Result<Option<PrivacyReport>> {
    if config.mode == PrivacyMode::Off {
        return Ok(None);
    }
    let privacy = Privacy::new(config)?;
    let found = scan_samples(&privacy, conversations)?;
    let mut report = PrivacyReport {
        masked: config.mode == PrivacyMode::Mask,
        ..PrivacyReport::default()
    };
    let mut masker = Masker::new(&privacy);
    if report.masked {
        for conversation in &mut *conversations {
            pieces::visit(conversation, &mut |piece| {
                masker.reserve(piece.value());
                None
            });
        }
    }
    for (conversation, found) in conversations.iter_mut().zip(found) {
        let origin = conversation.origin.clone();
        let mut found = found.into_iter();
        pieces::visit(conversation, &mut |piece| {
            let findings = found.next().unwrap_or_default();
            report.add(&privacy, &origin, &findings);
            let replaced = report.masked && !findings.is_empty();
            replaced.then(|| masker.replace(piece.value(), &findings).into_owned())
        });
    }
    report.sort();
    Ok(Some(report))
}

/// What each piece of each conversation holds; all cores look, the order is that of the samples.
fn scan_samples(
    privacy: &Privacy,
    conversations: &mut [Conversation],
) -> Result<Vec<Vec<Vec<Finding>>>> {
    let one = |conversation: &mut Conversation| {
        let mut all = Vec::new();
        pieces::visit(conversation, &mut |piece| {
            all.push(piece.clone());
            None
        });
        let texts: Vec<&str> = all.iter().map(|piece| piece.text.as_str()).collect();
        let found = privacy.scan_all(&texts);
        let values = found.into_iter().zip(&all);
        values.map(|(found, piece)| piece.of_value(found)).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let count = conversations.len();
    let share = count.div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = conversations
            .chunks_mut(share)
            .map(|part| scope.spawn(move || part.iter_mut().map(one).collect::<Vec<_>>()))
            .collect();
        let mut all = Vec::with_capacity(count);
        for part in parts {
            all.extend(part.join().map_err(|_| {
                Error::new(
                    Code::Internal,
                    "a thread that looks for personal data ended without a result",
                )
            })?);
        }
        Ok(all)
    })
}
