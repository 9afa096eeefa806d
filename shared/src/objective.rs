//! What a step learns from: the units of a sample that have a loss.
//!
//! In: a prepared sample. Out: how many units of it have a loss. The loss of a step is the sum over all units of its
//! samples, divided by their number, which is known before any of it is computed. Losses and their gradient are the
//! worker's share of an objective. Keeps: a pure function of the sample, so that both sides count the same.

use crate::dataset::{PreparedDataset, Sample};

/// What a step learns from.
pub trait Objective {
    /// Number of units of a sample that have a loss.
    fn units(&self, sample: &Sample<'_>) -> u32;

    /// Number of units of every row of a dataset.
    fn units_of(&self, dataset: &PreparedDataset) -> Vec<u32> {
        dataset
            .samples()
            .map(|sample| self.units(&sample))
            .collect()
    }
}

/// Next-token prediction: a unit is a learned token that another token precedes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NextToken;

impl Objective for NextToken {
    fn units(&self, sample: &Sample<'_>) -> u32 {
        sample.target_tokens()
    }
}
