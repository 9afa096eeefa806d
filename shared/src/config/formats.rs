//! Which files a run learns from and how their fields are called, as the configuration says it.
//!
//! In: the keys `data_sources`, `data_mixing`, `columns`, `roles`. Out: a [`FormatConfig`].
//! Keeps: weights are whole millionths, so that shares are exact. Not here: reading and mixing
//! (`coordinator/data`).

use serde::{Deserialize, Serialize};

/// What the data is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatConfig {
    /// Files and folders with their weights; none stands for all of `train_data_dir`.
    pub sources: Vec<DataSource>,
    /// How the weights are kept.
    pub mixing: Mixing,
    /// Fields of a sample that have other names.
    pub columns: Vec<Named>,
    /// Who speaks, where the names are not known.
    pub roles: Vec<Named>,
}

impl FormatConfig {
    /// The name given to a part, such as `question`.
    #[must_use]
    pub fn column(&self, part: &str) -> Option<&str> {
        let named = self.columns.iter().find(|named| named.part == part);
        named.map(|named| named.name.as_str())
    }

    /// The role that this name is given, whatever its case.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&str> {
        let name = name.trim().to_lowercase();
        let named = self.roles.iter().find(|n| n.name.to_lowercase() == name);
        named.map(|named| named.part.as_str())
    }
}

/// A file or folder, and how much of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSource {
    /// As it is written; a relative one lies below `train_data_dir`.
    pub path: String,
    /// Weight in millionths.
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

/// One whole weight.
pub(super) const MILLION: u64 = 1_000_000;

/// How weights are kept where sources have not the sizes for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixing {
    /// Every row is there at least once; rows of scarce sources come again.
    #[default]
    Repeat,
    /// No row is there twice; of plentiful sources some stay out.
    Subsample,
}

/// `PART=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// What it is to us.
    pub part: String,
    /// What the files call it.
    pub name: String,
}
