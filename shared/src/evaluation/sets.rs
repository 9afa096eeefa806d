//! What is evaluated: named sets of rows of prepared datasets.

use serde::{Deserialize, Serialize};

use crate::dataset::PreparedDataset;
use crate::error::{Code, Error, Result};

/// The set that decides about the best step.
pub const VALIDATION: &str = "validation";
/// Rows the run trains on: what is learned by heart shows here.
pub const TRAIN_SAMPLE: &str = "train_sample";
/// Rows the run's parent was trained on: what is forgotten shows here.
pub const PARENT: &str = "parent";

/// A named set of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationSet {
    /// Name of the set: [`VALIDATION`], [`TRAIN_SAMPLE`] or [`PARENT`].
    pub name: String,
    /// The prepared dataset, absolute; the file's name is its digest, and opening it compares.
    pub dataset_path: String,
    /// The rows, in order; empty means all.
    pub rows: Vec<u32>,
}

impl EvaluationSet {
    /// The rows with their lengths in tokens.
    ///
    /// # Errors
    /// [`Code::Internal`] for a row that is not in the dataset.
    pub fn rows_of(&self, dataset: &PreparedDataset) -> Result<Vec<(u32, u32)>> {
        let lengths = dataset.lengths();
        if self.rows.is_empty() {
            return Ok((0..).zip(lengths).collect());
        }
        let length = |row: &u32| usize::try_from(*row).ok().and_then(|at| lengths.get(at));
        let pair = |row: &u32| {
            let length = length(row).ok_or_else(|| {
                let what = format!("the evaluation set `{}` has no row {row}", self.name);
                Error::new(Code::Internal, what)
            })?;
            Ok((*row, *length))
        };
        self.rows.iter().map(pair).collect()
    }
}
