//! The micro-batches that need the most memory, so that they can be tried before step 1.
//!
//! In: a plan. Out: the one with the most computed tokens (the decoder's share of the memory) and
//! the one with the most units with a loss (the output head's), one where they are the same.
//! Keeps: a pure function of the plan.

use std::cmp::Reverse;

use super::micro_batch::MicroBatchPlan;
use super::steps::Plan;
use crate::ids::{MicroBatchId, Step};

/// Samples that are looked at: a longer run is judged by its first steps.
const LOOKED_AT: u64 = 1 << 20;

/// A micro-batch, and where in the run it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Largest {
    /// First step of the run that has a micro-batch as large.
    pub step: Step,
    /// Index of the micro-batch in that step, from 0.
    pub micro_batch: MicroBatchId,
    /// Units with a loss of the micro-batch's samples.
    pub loss_units: u64,
    /// The micro-batch as it is planned: samples, positions and cells.
    pub planned: MicroBatchPlan,
}

impl Plan {
    /// The micro-batches that need the most memory, of the first 2^20 samples that are trained on;
    /// one or two, none where there is no data. Of equal ones it is the first.
    #[must_use]
    pub fn largest(&self) -> Vec<Largest> {
        let enough = (LOOKED_AT / self.global_batch()).max(1);
        let different = if self.repeats() {
            self.steps_per_epoch()
        } else {
            self.total_steps()
        };
        let steps = self.total_steps().min(different).min(enough);
        let mut found: [Option<Largest>; 2] = [None, None];
        for step in (1..=steps).map(Step) {
            let micro_batches = self.step(step).micro_batches;
            for (micro_batch, planned) in (0u32..).map(MicroBatchId).zip(micro_batches) {
                let loss_units = planned
                    .samples
                    .iter()
                    .map(|&row| self.loss_units(row))
                    .sum();
                let one = Largest {
                    step,
                    micro_batch,
                    loss_units,
                    planned,
                };
                keep(&mut found[0], &one, |l| {
                    (l.planned.computed_tokens(), l.loss_units)
                });
                keep(&mut found[1], &one, |l| {
                    (l.loss_units, l.planned.computed_tokens())
                });
            }
        }
        let mut found: Vec<Largest> = found.into_iter().flatten().collect();
        found.dedup();
        // The larger part of the memory first.
        found.sort_by_key(|one| Reverse(one.planned.computed_tokens()));
        found
    }
}

/// Keeps the larger; of equal ones the one that is there.
fn keep(place: &mut Option<Largest>, one: &Largest, size: impl Fn(&Largest) -> (u64, u64)) {
    if place.as_ref().is_none_or(|best| size(one) > size(best)) {
        *place = Some(one.clone());
    }
}
