//! When there is an evaluation, and its micro-batches: the rows of each set in order.

use crate::config::RunConfig;
use crate::ids::Step;
use crate::plan::{MicroBatchPlan, cut};

/// All evaluations of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationPlan {
    sets: usize,
    micro_batches: Vec<EvaluationMicroBatch>,
    every: u64,
    total_steps: u64,
}

/// A unit of work of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationMicroBatch {
    /// Index of its set.
    pub set: usize,
    /// Rows of that set's dataset.
    pub rows: MicroBatchPlan,
}

impl EvaluationPlan {
    /// For sets of rows with these lengths, in order; without a set there is no evaluation.
    #[must_use]
    pub fn new(
        config: &RunConfig,
        steps_per_epoch: u64,
        total_steps: u64,
        sets: &[Vec<(u32, u32)>],
    ) -> Self {
        let size = usize::try_from(config.micro_batch_size.max(1)).unwrap_or(1);
        let of_set = |(set, rows): (usize, &Vec<(u32, u32)>)| {
            let parts = cut(rows, size, config.packing);
            let planned = parts.into_iter();
            planned.map(move |rows| EvaluationMicroBatch { set, rows })
        };
        Self {
            sets: sets.len(),
            micro_batches: sets.iter().enumerate().flat_map(of_set).collect(),
            every: config.evaluation.every.unwrap_or(steps_per_epoch).max(1),
            total_steps,
        }
    }

    /// How many sets there are.
    #[must_use]
    pub fn sets(&self) -> usize {
        self.sets
    }

    /// Steps between evaluations; 0 when there are none.
    #[must_use]
    pub fn every(&self) -> u64 {
        if self.micro_batches.is_empty() {
            0
        } else {
            self.every
        }
    }

    /// The micro-batches of every evaluation.
    #[must_use]
    pub fn micro_batches(&self) -> &[EvaluationMicroBatch] {
        &self.micro_batches
    }

    /// Whether the state of this step is evaluated: every so many steps, and at the end.
    #[must_use]
    pub fn is_due(&self, step: Step) -> bool {
        let last = step.0 == self.total_steps;
        !self.micro_batches.is_empty() && step.0 > 0 && (last || step.0.is_multiple_of(self.every))
    }
}
