//! What a run computes: steps, tokens, padding, and how evenly it spreads over workers.
//!
//! In: the plan, lengths and target tokens of the samples. Out: [`Counts`], and the sizes of the micro-batches, from
//! which memory is estimated. Keeps: exact for runs of up to [`LOOKED_AT`] steps; a longer run is judged by its first
//! ones, and says so.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use serde::Serialize;
use shared::ids::Step;
use shared::plan::{MicroBatchPlan, Plan};

/// Largest number of steps that are planned one by one.
const LOOKED_AT: u64 = 100_000;

/// What a run computes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Optimizer steps of the whole run.
    pub steps: u64,
    /// Optimizer steps of one epoch.
    pub steps_per_epoch: u64,
    /// Epochs begun by the last step; the last epoch may be incomplete.
    pub epochs: u64,
    /// Samples of the prepared data.
    pub samples: u64,
    /// Samples trained on, repeats counted.
    pub samples_seen: u64,
    /// Tokens of the prepared data.
    pub dataset_tokens: u64,
    /// Tokens of the samples trained on, repeats counted.
    pub tokens: u64,
    /// Tokens among `tokens` that have a loss.
    pub target_tokens: u64,
    /// Tokens that are computed: `tokens` plus padding.
    pub computed_tokens: u64,
    /// Share of the compute that is padding, `1 - tokens / computed_tokens`.
    pub padding_share: f64,
    /// Tokens of the longest sample.
    pub longest: u64,
    /// The most micro-batches of a step: more workers cannot all be busy.
    pub micro_batches_per_step: u64,
    /// Computed tokens of the busiest worker, summed over the steps: micro-batches are pulled, so each goes to the
    /// worker that is free first.
    pub busiest_tokens: u64,
    /// Steps that were planned one by one; where they are fewer than `steps`, totals are scaled up by the ratio.
    pub steps_looked_at: u64,
}

/// Size of one micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Tokens that are computed, padding included.
    pub computed: u64,
    /// Positions that have a loss: the output head runs on these only.
    pub targets: u64,
}

/// Lengths and target tokens of the prepared samples, by row.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Tokens of each sample, by row.
    pub lengths: Vec<u32>,
    /// Tokens of each sample that have a loss, by row.
    pub target_tokens: Vec<u32>,
}

impl Samples {
    fn size(&self, planned: &MicroBatchPlan) -> Size {
        let of = |list: &[u32], row: u32| {
            let row = usize::try_from(row).ok();
            row.and_then(|row| list.get(row)).copied().unwrap_or(0)
        };
        Size {
            computed: planned.computed_tokens(),
            targets: planned
                .samples
                .iter()
                .map(|&row| u64::from(of(&self.target_tokens, row)))
                .sum(),
        }
    }
}

/// Counts a run on `workers` workers; returns the counts and the distinct sizes of its micro-batches.
///
/// `computed_tokens` sums each micro-batch's tokens with padding; `padding_share = 1 - tokens / computed_tokens`.
/// `busiest_tokens` sums, over the steps, the largest load when each micro-batch in turn goes to the worker with the
/// smallest load so far.
#[must_use]
pub fn count(plan: &Plan, samples: &Samples, workers: u64) -> (Counts, BTreeSet<Size>) {
    let mut counts = Counts {
        steps: plan.total_steps(),
        steps_per_epoch: plan.steps_per_epoch(),
        epochs: plan.epochs(),
        samples: plan.samples() as u64,
        dataset_tokens: samples.lengths.iter().copied().map(u64::from).sum(),
        longest: u64::from(samples.lengths.iter().copied().max().unwrap_or(0)),
        micro_batches_per_step: plan.micro_batches_per_step() as u64,
        steps_looked_at: plan.total_steps().min(LOOKED_AT),
        ..Counts::default()
    };
    let mut sizes = BTreeSet::new();
    for step in (1..=counts.steps_looked_at).map(Step) {
        let planned = plan.step(step);
        counts.samples_seen += planned.samples as u64;
        counts.target_tokens += planned.loss_units;
        let mut busy: BinaryHeap<Reverse<u64>> = (0..workers.max(1)).map(|_| Reverse(0)).collect();
        for micro_batch in &planned.micro_batches {
            let size = samples.size(micro_batch);
            counts.tokens += micro_batch.tokens;
            counts.computed_tokens += size.computed;
            let Reverse(free) = busy.pop().unwrap_or_default();
            busy.push(Reverse(free + size.computed));
            sizes.insert(size);
        }
        let busiest = busy.into_iter().map(|Reverse(tokens)| tokens).max();
        counts.busiest_tokens += busiest.unwrap_or(0);
    }
    counts.scale_up();
    counts.padding_share = match counts.computed_tokens {
        0 => 0.0,
        computed => 1.0 - counts.tokens as f64 / computed as f64,
    };
    (counts, sizes)
}

impl Counts {
    /// Scales totals from the planned steps to all: `total * steps / steps_looked_at`, rounded down.
    fn scale_up(&mut self) {
        if self.steps_looked_at >= self.steps || self.steps_looked_at == 0 {
            return;
        }
        let (steps, looked) = (self.steps, self.steps_looked_at);
        let scale = |n: &mut u64| {
            let scaled = u128::from(*n) * u128::from(steps) / u128::from(looked);
            *n = u64::try_from(scaled).unwrap_or(u64::MAX);
        };
        scale(&mut self.samples_seen);
        scale(&mut self.tokens);
        scale(&mut self.target_tokens);
        scale(&mut self.computed_tokens);
        scale(&mut self.busiest_tokens);
    }

    /// Whether every step was planned, so that totals are exact.
    #[must_use]
    pub fn exact(&self) -> bool {
        self.steps_looked_at >= self.steps
    }
}

#[cfg(test)]
mod tests {
    use shared::config::RunConfig;

    use super::*;
    use crate::estimate::tests::config;

    /// Five samples in order, four a step, two a micro-batch.
    fn counted(epochs: u32, workers: u64) -> (Counts, BTreeSet<Size>) {
        let config = RunConfig {
            batch_size: 4,
            gradient_accumulation_steps: 1,
            micro_batch_size: 2,
            epochs,
            shuffle: false,
            ..config()
        };
        let samples = Samples {
            lengths: vec![10, 6, 8, 8, 5],
            target_tokens: vec![3, 2, 4, 1, 2],
        };
        let plan = Plan::new(
            &config,
            samples.target_tokens.clone(),
            samples.lengths.clone(),
        );
        count(&plan, &samples, workers)
    }

    #[test]
    fn tokens_padding_and_targets_are_counted_step_by_step() {
        let (counts, sizes) = counted(2, 1);
        assert_eq!(
            (counts.steps, counts.steps_per_epoch, counts.epochs),
            (4, 2, 2)
        );
        assert_eq!((counts.samples, counts.samples_seen), (5, 10));
        assert_eq!((counts.dataset_tokens, counts.tokens), (37, 74));
        assert_eq!(counts.target_tokens, 24);
        // 2 x 10, 2 x 8 and 1 x 5 a time.
        assert_eq!(counts.computed_tokens, 2 * (20 + 16 + 5));
        assert!((counts.padding_share - (1.0 - 74.0 / 82.0)).abs() < 1e-12);
        assert_eq!((counts.longest, counts.micro_batches_per_step), (10, 2));
        assert_eq!(counts.busiest_tokens, counts.computed_tokens);
        let largest = sizes.last().unwrap();
        assert_eq!(
            *largest,
            Size {
                computed: 20,
                targets: 5
            }
        );
        assert!(counts.exact());
    }

    #[test]
    fn the_busiest_worker_decides_and_more_workers_than_micro_batches_do_not_help() {
        assert_eq!(counted(1, 2).0.busiest_tokens, 20 + 5);
        assert_eq!(counted(1, 8).0.busiest_tokens, 20 + 5);
    }

    #[test]
    fn a_packed_run_pads_nothing() {
        let config = RunConfig {
            packing: true,
            ..config()
        };
        let samples = Samples {
            lengths: vec![10, 6, 8, 8, 5],
            target_tokens: vec![3, 2, 4, 1, 2],
        };
        let plan = Plan::new(
            &config,
            samples.target_tokens.clone(),
            samples.lengths.clone(),
        );
        let (counts, _) = count(&plan, &samples, 1);
        assert_eq!(counts.computed_tokens, counts.tokens);
        assert_eq!(counts.padding_share, 0.0);
    }

    #[test]
    fn a_very_long_run_is_judged_by_its_first_steps() {
        let (counts, _) = counted(60_000, 1);
        assert_eq!((counts.steps, counts.steps_looked_at), (120_000, LOOKED_AT));
        assert!(!counts.exact());
        assert_eq!(counts.tokens, 37 * 60_000);
    }
}
