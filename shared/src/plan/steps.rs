//! From a step's number to its micro-batches.
//!
//! In: the configuration and, per sample, its loss units and length. Out: [`StepPlan`].
//! A step is `global_batch` consecutive samples of its epoch's order, cut into micro-batches; the
//! last step of an epoch is short and never wraps into the next epoch.
//! The order of the newest epoch is remembered, which changes no answer.

use std::sync::{Arc, Mutex, PoisonError};

use super::learning_rate::Schedule;
use super::length_groups::group_by_length;
use super::micro_batch::{MicroBatchPlan, cut};
use super::permutation::permutation;
use crate::config::RunConfig;
use crate::ids::Step;

/// The whole run, step by step.
#[derive(Debug)]
pub struct Plan {
    seed: u64,
    shuffle: bool,
    group_by_length: bool,
    packing: bool,
    batch_size: u64,
    global_batch: u64,
    micro_batch_size: usize,
    steps_per_epoch: u64,
    total_steps: u64,
    schedule: Schedule,
    loss_units: Vec<u32>,
    lengths: Vec<u32>,
    newest: Mutex<Option<(u64, Arc<Vec<u32>>)>>,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepPlan {
    /// Number of the step, from 1.
    pub step: Step,
    /// The units of work, in order.
    pub micro_batches: Vec<MicroBatchPlan>,
    /// Units with a loss of all samples of the step: the loss's denominator.
    pub loss_units: u64,
    /// The learning rate this step uses.
    pub learning_rate: f64,
    /// Epochs done after this step, counted by batches as Trainer does.
    pub epoch: f64,
    /// Number of samples in the step.
    pub samples: usize,
}

impl Plan {
    /// Plans a run over samples with these numbers of units with a loss and of tokens.
    #[must_use]
    pub fn new(config: &RunConfig, loss_units: Vec<u32>, lengths: Vec<u32>) -> Self {
        let samples = loss_units.len() as u64;
        let global_batch = config.global_batch().max(1);
        let steps_per_epoch = samples.div_ceil(global_batch);
        let by_epochs = steps_per_epoch * u64::from(config.epochs);
        let total_steps = if samples == 0 {
            0
        } else {
            config.max_steps.unwrap_or(by_epochs)
        };
        Self {
            seed: config.seed,
            shuffle: config.shuffle,
            group_by_length: config.group_by_length,
            packing: config.packing,
            batch_size: u64::from(config.batch_size.max(1)),
            global_batch,
            micro_batch_size: config.micro_batch_size.max(1) as usize,
            steps_per_epoch,
            total_steps,
            schedule: Schedule::new(config, total_steps),
            loss_units,
            lengths,
            newest: Mutex::new(None),
        }
    }

    /// Optimizer steps of the run.
    #[must_use]
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// Optimizer steps of one epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// Index of the epoch that a step (from 1) belongs to, from 0.
    #[must_use]
    pub fn epoch_of(&self, step: Step) -> u64 {
        step.0.saturating_sub(1) / self.steps_per_epoch.max(1)
    }

    /// Samples of the dataset: an epoch uses each once.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.loss_units.len()
    }

    /// Epochs begun by the last step: `num_train_epochs` of Trainer's state.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.total_steps.div_ceil(self.steps_per_epoch.max(1))
    }

    /// The most micro-batches any step has: more workers than this cannot all have work.
    #[must_use]
    pub fn micro_batches_per_step(&self) -> usize {
        let samples = (self.loss_units.len() as u64).min(self.global_batch);
        usize::try_from(samples)
            .unwrap_or(usize::MAX)
            .div_ceil(self.micro_batch_size)
    }

    /// Vectors of integers, each as long as the adapter, that a worker holds at most: the sum and the total; where a
    /// step has several micro-batches or they are audited, also the one in work, and a copy of the sum when more is
    /// credited while a reduce is in flight.
    #[must_use]
    pub fn integer_vectors(&self, audits: bool) -> usize {
        if self.micro_batches_per_step() > 1 || audits {
            4
        } else {
            2
        }
    }

    /// What step `step` (from 1) computes. A step past the end is planned as if training went on.
    #[must_use]
    pub fn step(&self, step: Step) -> StepPlan {
        let index = step.0.saturating_sub(1);
        let epoch = self.epoch_of(step);
        let in_epoch = index % self.steps_per_epoch.max(1);
        let order = self.order(epoch);
        let rows = order.len() as u64;
        let from = (in_epoch * self.global_batch).min(rows);
        let to = (from + self.global_batch).min(rows);
        let samples = &order[from as usize..to as usize];

        let rows_and_lengths: Vec<(u32, u32)> =
            samples.iter().map(|&row| (row, self.length(row))).collect();
        let micro_batches = cut(&rows_and_lengths, self.micro_batch_size, self.packing);
        let batches = rows.div_ceil(self.batch_size).max(1);
        let batches_done = to.div_ceil(self.batch_size);
        StepPlan {
            step,
            loss_units: samples.iter().map(|&row| self.loss_units(row)).sum(),
            learning_rate: self.schedule.rate(index),
            epoch: epoch as f64 + batches_done as f64 / batches as f64,
            samples: samples.len(),
            micro_batches,
        }
    }

    /// The rate that step `step` uses when `unscheduled` steps before it were skipped and are not
    /// counted, as Trainer has it in fp16; [`StepPlan::learning_rate`] counts all of them.
    #[must_use]
    pub fn learning_rate(&self, step: Step, unscheduled: u64) -> f64 {
        let index = step.0.saturating_sub(1);
        self.schedule.rate(index.saturating_sub(unscheduled))
    }

    /// Samples of a whole step.
    pub(super) fn global_batch(&self) -> u64 {
        self.global_batch
    }

    /// Whether every epoch is the same.
    pub(super) fn repeats(&self) -> bool {
        !self.shuffle && !self.group_by_length
    }

    pub(super) fn loss_units(&self, row: u32) -> u64 {
        u64::from(self.loss_units[row as usize])
    }

    fn length(&self, row: u32) -> u32 {
        self.lengths.get(row as usize).copied().unwrap_or(0)
    }

    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, order)) = newest.as_ref()
            && *of == epoch
        {
            return Arc::clone(order);
        }
        let rows = self.loss_units.len();
        let mut order = permutation(self.seed, epoch, rows, self.shuffle);
        if self.group_by_length {
            let samples = usize::try_from(self.global_batch).unwrap_or(usize::MAX);
            group_by_length(&mut order, &self.lengths, samples);
        }
        let order = Arc::new(order);
        *newest = Some((epoch, Arc::clone(&order)));
        order
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
