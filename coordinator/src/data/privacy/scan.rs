//! The rules of a run over the texts of a sample.
//!
//! In: what the configuration asks for; texts. Out: findings, in order and without overlap.
//! Keeps: whatever is found is marked and the rules read again until nothing more is found, and a
//! value found once is found wherever it stands in the sample. So a masked text holds nothing that
//! these rules find.

use std::ops::Range;

use regex::Regex;
use shared::config::{PrivacyConfig, PrivacyKind};
use shared::error::{Code, Error, Result};

use super::addresses::Addresses;
use super::context::{apart, is_han};
use super::findings::{Finding, Kind, settle};
use super::folded::{Folded, MARK, PLACEHOLDER};
use super::medical::{Amounts, Passports, Records};
use super::names::Names;
use super::numbers::{Cards, Emails, Ids, Plates};
use super::phones::Phones;

type Find = Box<dyn Fn(&str) -> Vec<Range<usize>> + Send + Sync>;

/// What a run looks for.
pub struct Privacy {
    known: Vec<(PrivacyKind, Find)>,
    rules: Vec<(String, Regex)>,
    placeholder: Regex,
}

impl std::fmt::Debug for Privacy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<PrivacyKind> = self.known.iter().map(|(kind, _)| *kind).collect();
        f.debug_struct("Privacy")
            .field("kinds", &kinds)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

impl Privacy {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`Code::OutOfRange`] for a pattern that is no regular expression; the loader of the
    /// configuration has refused it already, with its line.
    pub fn new(config: &PrivacyConfig) -> Result<Self> {
        let wanted = |kind: &PrivacyKind| match &config.kinds {
            Some(kinds) => kinds.contains(kind),
            None => *kind != PrivacyKind::Amounts,
        };
        let mut known = Vec::new();
        for kind in PrivacyKind::ALL.iter().copied().filter(wanted) {
            let find = finder(kind).map_err(|e| {
                Error::new(
                    Code::Internal,
                    format!("a built-in rule does not compile: {e}"),
                )
            })?;
            known.push((kind, find));
        }
        let mut rules = Vec::new();
        for rule in &config.rules {
            let regex = Regex::new(&rule.pattern).map_err(|e| {
                let what = format!("`privacy_rules`: `{}` is no regular expression", rule.name);
                Error::new(Code::OutOfRange, what).why(e.to_string())
            })?;
            rules.push((rule.name.clone(), regex));
        }
        let placeholder = Regex::new(PLACEHOLDER)
            .map_err(|e| Error::new(Code::Internal, format!("the placeholder's form: {e}")))?;
        Ok(Self {
            known,
            rules,
            placeholder,
        })
    }

    /// What one text holds.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Finding> {
        self.scan_all(&[text]).pop().unwrap_or_default()
    }

    /// What the texts of one sample hold; a value found in one is looked for in all.
    #[must_use]
    pub fn scan_all(&self, texts: &[&str]) -> Vec<Vec<Finding>> {
        let mut folded: Vec<Folded> = texts
            .iter()
            .map(|text| Folded::new(text, &self.placeholder))
            .collect();
        let mut found: Vec<Vec<Finding>> = vec![Vec::new(); texts.len()];
        let mut values: Vec<(Kind, String)> = Vec::new();
        // A text in which the rules found nothing is read by them no more: it has not changed.
        let mut open = vec![true; texts.len()];
        let mut news = true;
        while std::mem::take(&mut news) {
            for ((text, found), open) in folded.iter_mut().zip(&mut found).zip(&mut open) {
                let mut hits = if *open {
                    self.apply(&text.text)
                } else {
                    Vec::new()
                };
                hits.extend(again(&text.text, &values));
                let hits = settle(hits);
                *open = !hits.is_empty();
                if hits.is_empty() {
                    continue;
                }
                news = true;
                for Finding { kind, span } in &hits {
                    let value = &text.text[span.clone()];
                    if looked_for(value) && !values.iter().any(|(k, v)| k == kind && v == value) {
                        values.push((*kind, value.to_owned()));
                    }
                    found.push(Finding {
                        kind: *kind,
                        span: text.original(span),
                    });
                }
                let spans: Vec<Range<usize>> = hits.into_iter().map(|hit| hit.span).collect();
                text.mark(&spans);
            }
        }
        for found in &mut found {
            found.sort_by_key(|finding| finding.span.start);
        }
        found
    }

    /// The word of a kind's placeholders.
    #[must_use]
    pub fn word(&self, kind: Kind) -> &str {
        match kind {
            Kind::Known(kind) => kind.placeholder(),
            Kind::Rule(place) => self.rules.get(place).map_or("RULE", |(name, _)| name),
        }
    }

    /// Placeholders that stand in the text already.
    pub(super) fn placeholders<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.placeholder.find_iter(text).map(|found| found.as_str())
    }

    fn apply(&self, text: &str) -> Vec<Finding> {
        let mut hits = Vec::new();
        for (kind, find) in &self.known {
            let kind = Kind::Known(*kind);
            let spans = find(text).into_iter();
            hits.extend(spans.map(|span| Finding { kind, span }));
        }
        hits.retain(|hit| !text[hit.span.clone()].contains(MARK));
        for (place, (_, regex)) in self.rules.iter().enumerate() {
            let kind = Kind::Rule(place);
            let mut start = 0;
            for part in text.split_inclusive(MARK) {
                let matches = regex.find_iter(part.trim_end_matches(MARK));
                hits.extend(matches.map(|found| Finding {
                    kind,
                    span: start + found.start()..start + found.end(),
                }));
                start += part.len();
            }
        }
        hits
    }
}

/// A value that is looked for in the whole sample. A family name alone is a word too often.
fn looked_for(value: &str) -> bool {
    let mut characters = value.chars();
    !(characters.next().is_some_and(is_han) && characters.next().is_none())
}

/// Where values that were found stand again.
fn again(text: &str, values: &[(Kind, String)]) -> Vec<Finding> {
    let mut hits = Vec::new();
    for (kind, value) in values {
        for (start, _) in text.match_indices(value.as_str()) {
            let span = start..start + value.len();
            let inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            let word = inside(value.chars().next()) || inside(value.chars().next_back());
            if !word || apart(text, &span) {
                hits.push(Finding { kind: *kind, span });
            }
        }
    }
    hits
}

/// What a kind's rules need at least is asked first, because most texts have none of it.
fn finder(kind: PrivacyKind) -> std::result::Result<Find, regex::Error> {
    macro_rules! with {
        ($rules:ident, $needs:expr) => {{
            let rules = $rules::new()?;
            Box::new(move |text: &str| {
                if text.contains($needs) {
                    rules.find(text)
                } else {
                    Vec::new()
                }
            })
        }};
    }
    let digit = |c: char| c.is_ascii_digit();
    Ok(match kind {
        PrivacyKind::Ids => with!(Ids, digit),
        PrivacyKind::Passports => with!(Passports, digit),
        PrivacyKind::Phones => with!(Phones, digit),
        PrivacyKind::BankCards => with!(Cards, digit),
        PrivacyKind::Emails => with!(Emails, '@'),
        PrivacyKind::Addresses => with!(Addresses, |_: char| true),
        PrivacyKind::Plates => with!(Plates, digit),
        PrivacyKind::Names => with!(Names, |_: char| true),
        PrivacyKind::MedicalRecords => with!(Records, digit),
        PrivacyKind::Amounts => with!(Amounts, |_: char| true),
    })
}
