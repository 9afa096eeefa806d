//! What is done about personal data in the training texts, as the configuration says it.
//!
//! The types of the keys `privacy`, `privacy_kinds`, `privacy_rules`.
//! Keeps: a rule's pattern compiles and never matches the empty text. Not here: how personal data
//! is found (`coordinator/data/privacy`).

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// What happens to personal data.
    #[derive(Default)]
    PrivacyMode {
        /// Personal data is neither looked for nor replaced.
        #[default]
        Off = "off",
        /// Personal data is counted and reported, and stays.
        Scan = "scan",
        /// Replaced by placeholders before anything is learned, and reported.
        Mask = "mask",
    }
}

words! {
    /// A kind of personal data that is built in.
    #[derive(PartialOrd, Ord, Hash)]
    PrivacyKind {
        /// Resident identity numbers.
        Ids = "ids",
        /// Passports and travel permits.
        Passports = "passports",
        /// Telephone numbers, mobile, landline and international.
        Phones = "phones",
        /// Bank card numbers of 13 to 19 digits.
        BankCards = "bank_cards",
        /// E-mail addresses, `name@host.tld`.
        Emails = "emails",
        /// Postal addresses with a road and a number.
        Addresses = "addresses",
        /// Licence plates of vehicles in mainland China.
        Plates = "plates",
        /// Names of people in the text.
        Names = "names",
        /// Numbers of medical records.
        MedicalRecords = "medical_records",
        /// Amounts of money.
        Amounts = "amounts",
    }
}

/// A rule of the user's: `NAME=REGEX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyRule {
    /// Word of its placeholders, in capitals.
    pub name: String,
    /// Regular expression that the personal data matches.
    pub pattern: String,
}

impl PrivacyKind {
    /// All kinds, the most specific first.
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

    /// Word of the kind's placeholders, in capitals.
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
