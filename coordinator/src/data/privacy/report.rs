//! How much personal data there is, of which kind, in which rows: never what it says.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use shared::config::PrivacyKind;
use shared::dataset::RowOrigin;

use super::findings::Finding;
use super::scan::Privacy;
use crate::data::listed::{KEPT, listed_of};

/// What was found in the whole data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyReport {
    /// It was replaced by placeholders.
    pub masked: bool,
    /// One entry per kind that was found.
    pub kinds: Vec<KindReport>,
    /// Samples that hold something and stand in no kind's list, because so many do.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unlisted: u64,
    /// Samples so far that hold something, and the last of them.
    #[serde(skip)]
    pub(super) seen: (u64, Option<Place>),
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// What was found of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindReport {
    /// Word of its placeholders.
    pub kind: String,
    /// How often it was found.
    pub count: u64,
    /// The samples that hold it, of very many the first.
    pub rows: Vec<Place>,
}

/// Where a sample begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path below the data folder.
    pub file: String,
    /// First line of the sample.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl PrivacyReport {
    /// Counts what a sample holds.
    pub(super) fn add(&mut self, privacy: &Privacy, origin: &RowOrigin, findings: &[Finding]) {
        let place = Place {
            file: origin.file.clone(),
            line: origin.line,
        };
        if !findings.is_empty() && self.seen.1.as_ref() != Some(&place) {
            self.seen = (self.seen.0 + 1, Some(place.clone()));
        }
        for finding in findings {
            let word = privacy.word(finding.kind);
            let at = match self.kinds.iter().position(|kind| kind.kind == word) {
                Some(at) => at,
                None => {
                    self.kinds.push(KindReport {
                        kind: word.to_owned(),
                        count: 0,
                        rows: Vec::new(),
                    });
                    self.kinds.len() - 1
                }
            };
            let kind = &mut self.kinds[at];
            kind.count += 1;
            if kind.rows.len() < KEPT && kind.rows.last() != Some(&place) {
                kind.rows.push(place.clone());
            }
        }
    }

    /// All is seen: puts the kinds into one order, whatever was found first, and counts what is not
    /// listed.
    pub(super) fn finish(&mut self) {
        let (samples, _) = std::mem::take(&mut self.seen);
        // A sample may come twice, from rows of a metadata file; that is no sample that is left out.
        if self.kinds.iter().any(|kind| kind.rows.len() >= KEPT) {
            self.unlisted = samples.saturating_sub(self.places().len() as u64);
        }
        let order = |kind: &KindReport| {
            let known = PrivacyKind::ALL
                .iter()
                .position(|known| known.placeholder() == kind.kind);
            (known.unwrap_or(usize::MAX), kind.kind.clone())
        };
        self.kinds.sort_by_key(order);
    }

    fn places(&self) -> Vec<&Place> {
        let mut seen = BTreeSet::new();
        let rows = self.kinds.iter().flat_map(|kind| &kind.rows);
        rows.filter(|place| seen.insert(*place)).collect()
    }
}

impl fmt::Display for PrivacyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds.is_empty() {
            return f.write_str("personal data: none found");
        }
        let places = self.places();
        let counts: Vec<String> = self.kinds.iter().map(KindReport::said).collect();
        let done = if self.masked { ", masked" } else { "" };
        write!(
            f,
            "personal data{done}: {} ({})",
            counts.join(", "),
            listed_of(&places, places.len() as u64 + self.unlisted)
        )
    }
}

impl KindReport {
    fn said(&self) -> String {
        let known = PrivacyKind::ALL
            .iter()
            .find(|kind| kind.placeholder() == self.kind);
        let (one, many) = match known {
            Some(kind) => words(*kind),
            None => (self.kind.as_str(), self.kind.as_str()),
        };
        format!(
            "{} {}",
            self.count,
            if self.count == 1 { one } else { many }
        )
    }
}

fn words(kind: PrivacyKind) -> (&'static str, &'static str) {
    match kind {
        PrivacyKind::Ids => ("ID number", "ID numbers"),
        PrivacyKind::Passports => ("passport", "passports"),
        PrivacyKind::Phones => ("phone", "phones"),
        PrivacyKind::BankCards => ("bank card", "bank cards"),
        PrivacyKind::Emails => ("e-mail address", "e-mail addresses"),
        PrivacyKind::Addresses => ("address", "addresses"),
        PrivacyKind::Plates => ("licence plate", "licence plates"),
        PrivacyKind::Names => ("name", "names"),
        PrivacyKind::MedicalRecords => ("medical record", "medical records"),
        PrivacyKind::Amounts => ("amount", "amounts"),
    }
}
