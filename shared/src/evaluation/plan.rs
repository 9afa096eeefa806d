//! When there is an evaluation, and its micro-batches: the rows of each set in order.

use std::ops::Range;

use super::{Prompts, WIDTH, width};
use crate::config::RunConfig;
use crate::ids::Step;
use crate::plan::{MicroBatchPlan, cut};

/// All evaluations of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvaluationPlan {
    sets: usize,
    micro_batches: Vec<EvaluationMicroBatch>,
    prompts: usize,
    slots: usize,
    every: u64,
    total_steps: u64,
}

/// A unit of work of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationMicroBatch {
    /// Index of the evaluation set, from 0.
    pub set: usize,
    /// Rows of the set's dataset that the micro-batch computes.
    pub rows: MicroBatchPlan,
}

impl EvaluationPlan {
    /// The plan for sets of rows with these lengths, in order, and for prompts; without a set there is no evaluation.
    #[must_use]
    pub fn new(
        config: &RunConfig,
        steps_per_epoch: u64,
        total_steps: u64,
        sets: &[Vec<(u32, u32)>],
        prompts: &Prompts,
    ) -> Self {
        let size = usize::try_from(config.micro_batch_size.max(1)).unwrap_or(1);
        let of_set = |(set, rows): (usize, &Vec<(u32, u32)>)| {
            let parts = cut(rows, size, config.packing);
            let planned = parts.into_iter();
            planned.map(move |rows| EvaluationMicroBatch { set, rows })
        };
        Self {
            sets: sets.len(),
            prompts: prompts.ids.len(),
            slots: prompts.slots(),
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

    /// Micro-batches of an evaluation: those of the sets, then one for each prompt.
    #[must_use]
    pub fn count(&self) -> usize {
        self.micro_batches.len() + self.prompts
    }

    /// Integers of an evaluation: those of the sets, of the answers, and the number of micro-batches.
    #[must_use]
    pub fn width(&self) -> usize {
        width(self.sets) + self.slots
    }

    /// Where the answers stand among those integers.
    #[must_use]
    pub fn slots(&self) -> Range<usize> {
        let from = self.sets * WIDTH;
        from..from + self.slots
    }

    /// The micro-batches of the sets.
    #[must_use]
    pub fn micro_batches(&self) -> &[EvaluationMicroBatch] {
        &self.micro_batches
    }

    /// Tokens that each micro-batch of the sets computes, padding included, in order.
    pub fn computed_tokens(&self) -> impl Iterator<Item = u64> + '_ {
        let micro_batches = self.micro_batches.iter();
        micro_batches.map(|micro_batch| micro_batch.rows.computed_tokens())
    }

    /// Whether the state of this step is evaluated: every so many steps, and at the end.
    #[must_use]
    pub fn is_due(&self, step: Step) -> bool {
        let last = step.0 == self.total_steps;
        !self.micro_batches.is_empty() && step.0 > 0 && (last || step.0.is_multiple_of(self.every))
    }
}
