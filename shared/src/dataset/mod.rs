//! Prepared samples on shared storage: tokens and learned positions, ready to be collated.
//!
//! In: tokenized and masked samples, once per run, from the coordinator. Out: random access by row for every worker,
//! memory-mapped; memory does not grow with the rows. One safetensors file (`ids` u32, `targets` u8, `offsets` u64)
//! named after its content, and one JSON file that says where each row came from. Keeps: the digest covers every token
//! and every target, so equal digests mean equal training.
//! Not here: tokenization, masks, order of samples.

mod column;
mod read;
mod staging;
mod write;

pub use read::PreparedDataset;
pub use write::DatasetWriter;

use serde::{Deserialize, Serialize};

/// Where a row came from, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowOrigin {
    /// File, relative to the data folder.
    pub file: String,
    /// First line of the sample, from 1.
    pub line: u64,
}

/// One prepared sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Token ids of the row in order, as many as there are `targets`.
    pub ids: &'a [u32],
    /// 1 at each token that is learned as a label, 0 elsewhere.
    pub targets: &'a [u8],
}

impl Sample<'_> {
    /// How many tokens are predicted: the first one never is.
    #[must_use]
    pub fn target_tokens(&self) -> u32 {
        let learned = self.targets.iter().skip(1).filter(|&&t| t != 0).count();
        u32::try_from(learned).unwrap_or(u32::MAX)
    }
}

/// A hasher for offsets, ids and targets, in this order.
fn hasher() -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"prepared-dataset-1");
    hasher
}
