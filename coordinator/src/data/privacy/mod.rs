//! Personal data in the texts: found, counted, and replaced by placeholders where that is asked.
//!
//! `digits` checksums · `folded` a text as the rules read it · `context` what stands beside ·
//! `numbers`, `phones`, `medical`, `addresses` (with `places`), `names` (with `surnames`,
//! `given`, `words`, `lists`, `free`, `titled`, `foreign`, `english`, `english_free`) the rules ·
//! `texts` (with `raw`) where texts stand in a sample ·
//! `findings` which of two counts · `scan` all rules over a sample · `masker` placeholders · `report`
//! counts. Keeps: no value in a report, a message or an error; the result does not depend on the
//! number of threads. Not here: the configuration's keys (`shared/config`).

mod addresses;
mod context;
mod cues;
mod digits;
mod english;
mod english_free;
mod english_things;
mod findings;
mod folded;
mod foreign;
mod free;
mod given;
mod lists;
mod masker;
mod medical;
mod names;
mod numbers;
mod phones;

mod places;
mod raw;
mod report;
mod scan;
mod surnames;
mod texts;
mod titled;
mod words;

use super::sample::Conversation;

pub use findings::{Finding, Kind};
pub use masker::Masker;
pub use report::{KindReport, Place, PrivacyReport};
pub use scan::Privacy;

/// Changes whenever the same texts would give other findings.
pub(super) const VERSION: &str = "privacy-2";

/// What each text of a sample holds.
pub(crate) type Found = Vec<Vec<Finding>>;

impl Privacy {
    /// Looks for personal data in all texts of a sample, which stays as it is.
    pub(crate) fn look(&self, sample: &mut Conversation) -> Found {
        let mut all = Vec::new();
        texts::visit(sample, &mut |piece| {
            all.push(piece.clone());
            None
        });
        let texts: Vec<&str> = all.iter().map(|piece| piece.text.as_str()).collect();
        let found = self.scan_all(&texts);
        let values = found.into_iter().zip(&all);
        values.map(|(found, piece)| piece.of_value(found)).collect()
    }

    /// Placeholders that stand in a sample already.
    pub(crate) fn reserved_in(&self, sample: &mut Conversation) -> Vec<String> {
        let mut all = Vec::new();
        texts::visit(sample, &mut |piece| {
            all.extend(self.placeholders(piece.value()).map(str::to_owned));
            None
        });
        all
    }
}

/// What is done with the personal data of one sample after another.
pub(crate) struct Treatment<'a> {
    privacy: &'a Privacy,
    masker: Masker<'a>,
    report: PrivacyReport,
}

impl<'a> Treatment<'a> {
    /// Counts what is found, and replaces it where it is to be `masked`.
    pub(crate) fn new(privacy: &'a Privacy, masked: bool) -> Self {
        let report = PrivacyReport {
            masked,
            ..PrivacyReport::default()
        };
        Self {
            privacy,
            masker: Masker::new(privacy),
            report,
        }
    }

    /// Leaves a placeholder alone that stands in the data already.
    pub(crate) fn reserve(&mut self, placeholder: &str) {
        self.masker.reserve(placeholder);
    }

    /// Takes the next sample and what was found in it.
    pub(crate) fn treat(&mut self, sample: &mut Conversation, found: Found) {
        let origin = sample.origin.clone();
        let mut found = found.into_iter();
        texts::visit(sample, &mut |piece| {
            let findings = found.next().unwrap_or_default();
            self.report.add(self.privacy, &origin, &findings);
            let replaced = self.report.masked && !findings.is_empty();
            replaced.then(|| self.masker.replace(piece.value(), &findings).into_owned())
        });
    }

    /// The report, once every sample was treated.
    pub(crate) fn report(mut self) -> PrivacyReport {
        self.report.finish();
        self.report
    }
}
