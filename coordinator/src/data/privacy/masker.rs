//! Placeholders: the same value gets the same one, in the order of first appearance.
//!
//! In: texts in the order of the run. Out: the texts with `[PHONE_1]` in the place of each finding.
//! Keeps: numbers depend on the order of the texts alone; a placeholder that an earlier masking left
//! stays, and its number is not given again once it was reserved.

use std::borrow::Cow;
use std::collections::HashMap;

use shared::config::PrivacyKind;

use super::findings::{Finding, Kind};
use super::folded::fold;
use super::scan::Privacy;

/// Gives placeholders and remembers them.
#[derive(Debug)]
pub struct Masker<'a> {
    privacy: &'a Privacy,
    given: HashMap<(Kind, String), u64>,
    last: HashMap<String, u64>,
}

impl<'a> Masker<'a> {
    /// No placeholder is given yet.
    #[must_use]
    pub fn new(privacy: &'a Privacy) -> Self {
        Self {
            privacy,
            given: HashMap::new(),
            last: HashMap::new(),
        }
    }

    /// Leaves the numbers alone that placeholders in this text have already.
    pub fn reserve(&mut self, text: &str) {
        for found in self.privacy.placeholders(text) {
            if let Some((word, number)) = found.trim_matches(['[', ']']).rsplit_once('_') {
                let number = number.parse().unwrap_or(0);
                let last = self.last.entry(word.to_owned()).or_default();
                *last = number.max(*last);
            }
        }
    }

    /// The text with placeholders.
    pub fn mask<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let findings = self.privacy.scan(text);
        self.replace(text, &findings)
    }

    /// The text with placeholders in the place of these findings.
    pub fn replace<'t>(&mut self, text: &'t str, findings: &[Finding]) -> Cow<'t, str> {
        if findings.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for Finding { kind, span } in findings {
            masked.push_str(&text[at..span.start]);
            masked.push_str(&self.placeholder(*kind, &text[span.clone()]));
            at = span.end;
        }
        masked.push_str(&text[at..]);
        Cow::Owned(masked)
    }

    fn placeholder(&mut self, kind: Kind, value: &str) -> String {
        let word = self.privacy.word(kind);
        let number = self
            .given
            .entry((kind, canonical(kind, value)))
            .or_insert_with(|| {
                let last = self.last.entry(word.to_owned()).or_default();
                *last = last.saturating_add(1);
                *last
            });
        format!("[{word}_{number}]")
    }
}

/// One spelling for all of the same value: `+86 138-0013-8000` is `13800138000`.
fn canonical(kind: Kind, value: &str) -> String {
    use PrivacyKind::{BankCards, Emails, Ids, Phones, Plates};
    let folded = value.chars().map(fold);
    match kind {
        Kind::Known(Phones) => {
            let digits: String = folded.filter(char::is_ascii_digit).collect();
            let local = digits.trim_start_matches("00").strip_prefix("86");
            match local {
                Some(local) if local.len() == 11 && local.starts_with('1') => local.to_owned(),
                _ => digits,
            }
        }
        Kind::Known(Ids | BankCards | Plates) => folded
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_uppercase)
            .collect(),
        Kind::Known(Emails) => folded.flat_map(char::to_lowercase).collect(),
        _ => folded.filter(|c| !c.is_whitespace()).collect(),
    }
}
