//! What is done about personal data in the training texts, as the configuration says it.
//!
//! In: the keys `privacy`, `privacy_kinds`, `privacy_rules`. Out: a [`PrivacyConfig`].
//! Keeps: a rule's pattern compiles and never matches the empty text. Not here: how personal data
//! is found (`coordinator/data/privacy`).

use serde::{Deserialize, Serialize};

/// What is done about personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyConfig {
    /// Nothing, a report, or placeholders.
    pub mode: PrivacyMode,
    /// The kinds looked for; nothing stands for all but amounts.
    pub kinds: Option<Vec<PrivacyKind>>,
    /// What the user looks for besides.
    pub rules: Vec<PrivacyRule>,
}

/// What happens to personal data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyMode {
    /// Nobody looks.
    #[default]
    Off,
    /// Counted and reported.
    Scan,
    /// Replaced by placeholders before anything is learned, and reported.
    Mask,
}

/// A kind of personal data that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyKind {
    /// Resident identity numbers.
    Ids,
    /// Passports and travel permits.
    Passports,
    /// Telephone numbers.
    Phones,
    /// Bank cards.
    BankCards,
    /// E-mail addresses.
    Emails,
    /// Postal addresses with a road and a number.
    Addresses,
    /// Licence plates.
    Plates,
    /// Names of people.
    Names,
    /// Numbers of medical records.
    MedicalRecords,
    /// Amounts of money.
    Amounts,
}

/// A rule of the user's: `NAME=REGEX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyRule {
    /// Word of its placeholders, in capitals.
    pub name: String,
    /// What it matches.
    pub pattern: String,
}

impl PrivacyKind {
    /// All of them, the most specific first.
    pub const ALL: &'static [Self] = &[
        Self::Ids,
        Self::BankCards,
        Self::Emails,
        Self::Plates,
        Self::Passports,
        Self::MedicalRecords,
        Self::Phones,
        Self::Addresses,
        Self::Names,
        Self::Amounts,
    ];

    /// Word of its placeholders.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Ids => "ID",
            Self::Passports => "PASSPORT",
            Self::Phones => "PHONE",
            Self::BankCards => "CARD",
            Self::Emails => "EMAIL",
            Self::Addresses => "ADDRESS",
            Self::Plates => "PLATE",
            Self::Names => "NAME",
            Self::MedicalRecords => "RECORD",
            Self::Amounts => "AMOUNT",
        }
    }
}
