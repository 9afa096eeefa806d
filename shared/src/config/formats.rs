//! Which files a run learns from and how their fields are called, as the configuration says it.
//!
//! The types of the keys `data_sources`, `data_mixing`, `columns`, `roles`.
//! Keeps: weights are whole millionths, so that shares are exact. Not here: reading and mixing
//! (`coordinator/data`).

use serde::{Deserialize, Serialize};

use super::words::words;

/// A file or folder, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// The path as it is written; a relative one lies below `train_data_dir`.
    pub path: String,
    /// Weight of the source in millionths.
    pub weight: u64,
}

impl DataSource {
    /// The weight as it is written.
    #[must_use]
    pub fn written_weight(&self) -> String {
        let (whole, part) = (self.weight / MILLION, self.weight % MILLION);
        if part == 0 {
            return whole.to_string();
        }
        let part = format!("{part:06}");
        format!("{whole}.{}", part.trim_end_matches('0'))
    }
}

/// A weight of 1 in millionths.
pub(super) const MILLION: u64 = 1_000_000;

words! {
    /// How weights are kept where sources have not the sizes for them.
    #[derive(Default)]
    Mixing {
        /// Every row is there at least once; rows of scarce sources come again.
        #[default]
        Repeat = "repeat",
        /// No row is there twice; of plentiful sources some stay out.
        Subsample = "subsample",
        /// Every row is there once, sources behind each other; weights say nothing.
        Concatenate = "concatenate",
    }
}

/// One entry of `columns` or `roles`, written `PART=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The part of a sample, or the role, by this program's own name.
    pub part: String,
    /// The column or role by the name that the data files use.
    pub name: String,
}

/// Parts in `columns`.
pub(super) const PARTS: &[&str] = &[
    "question",
    "answer",
    "input",
    "system",
    "history",
    "messages",
    "role",
    "content",
    "tools",
    "input_ids",
    "labels",
    "attention_mask",
];
/// Parts in `roles`.
pub(super) const ROLES: &[&str] = &["user", "assistant", "system", "tool"];
