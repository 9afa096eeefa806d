//! What one worker holds of the run: the committed state, the integers of the step in work, and the
//! next state before it is committed. No tensor, no clock, no socket; long vectors are shared out to the threads of
//! the pool that the caller runs in.
//!
//! In: integers of micro-batches, credits, totals. Out: the sum to be reduced, digests, the state.
//! Keeps: the committed state changes only by a commit; until then the next one is a shadow.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::ids::{MicroBatchId, Step};
use shared::numerics::{self, AdamW, AdapterState, Fingerprint, ParamGroup, StateDigests, Update};
use shared::wire::message::{Applied, SliceFingerprints, Task};

use super::retained::Retained;
use super::sums::{BufferPool, EXTRAS, Extra, Sums};
use crate::collective::slice;

/// What one step's update takes from plan and configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRule {
    /// Optimizer step that the total is of, from 1.
    pub step: Step,
    /// Number of micro-batches that the step has.
    pub micro_batches: u32,
    /// Units with a loss of all micro-batches of the step.
    pub loss_units: u64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Largest L2 norm that the gradient keeps; 0 never clips.
    pub max_grad_norm: f64,
    /// Decoupled weight decay, per unit of learning rate.
    pub weight_decay: f64,
}

/// One worker's copy of the run: the committed state, the sums of the step in work, and the shadow.
#[derive(Debug)]
pub struct Replica {
    sums: Sums,
    /// Integers of an evaluation of the committed state, kept and credited like those of a step.
    evaluation: Sums,
    /// Number of micro-batches that an evaluation has, by the plan.
    evaluation_micro_batches: usize,
    state: Arc<AdapterState>,
    /// Digests of the committed state, as they were when it became that: what memory holds later must still have them.
    digests: StateDigests,
    shadow: Option<AdapterState>,
    /// Digests of the shadow, empty before the first step is applied.
    shadow_digests: StateDigests,
    /// The total that led to the shadow, kept so that the update can be done once more.
    total: Option<Arc<Vec<i64>>>,
    /// Fingerprints by slice of the last reduce: of the sum that was handed out, and of the total that came.
    last_reduce_fingerprints: SliceFingerprints,
    /// Earlier committed states that are not yet on storage.
    retained: Retained,
    /// Parameter groups of the optimizer in canonical order; none is one group of all elements.
    groups: Vec<ParamGroup>,
}

impl Replica {
    /// An empty replica for adapters of `parameters` elements.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            sums: Sums::new(parameters),
            evaluation: Sums::of_length(1),
            evaluation_micro_batches: 0,
            state: Arc::default(),
            digests: StateDigests::default(),
            shadow: None,
            shadow_digests: StateDigests::default(),
            total: None,
            last_reduce_fingerprints: SliceFingerprints::default(),
            retained: Retained::default(),
            groups: Vec::new(),
        }
    }

    /// Sets the parameter groups of the optimizer.
    pub fn set_param_groups(&mut self, groups: Vec<ParamGroup>) {
        self.groups = groups;
    }

    /// Lets the sums give their buffers back to the pool that the device takes them from.
    pub fn share(&mut self, pool: BufferPool) {
        self.sums.share(pool);
    }

    /// Prepares for evaluations of `width` integers, summed over `micro_batches` micro-batches.
    pub fn prepare_evaluation(&mut self, width: usize, micro_batches: usize) {
        self.evaluation = Sums::of_length(width);
        self.evaluation_micro_batches = micro_batches;
    }

    fn sums_of(&mut self, task: Task) -> &mut Sums {
        match task {
            Task::Evaluate => &mut self.evaluation,
            Task::Train | Task::Audit => &mut self.sums,
        }
    }

    /// The committed state.
    #[must_use]
    pub fn state(&self) -> &Arc<AdapterState> {
        &self.state
    }

    /// Takes a state from elsewhere and returns its digest; the state before is retained where it is wanted.
    pub fn adopt(&mut self, state: AdapterState) -> String {
        self.retained.passed(&self.state, &self.digests.whole);
        self.state = Arc::new(state);
        self.forget();
        self.shadow = None;
        self.total = None;
        self.digests = StateDigests::of(&self.state);
        self.digests.whole.clone()
    }

    /// Keeps a micro-batch of the step in work aside; integers of other steps are dropped.
    pub fn keep(&mut self, step: Step, task: Task, micro_batch: MicroBatchId, integers: Vec<i64>) {
        if step == self.state.step.next() {
            self.sums_of(task).keep(micro_batch, integers);
        }
    }

    /// Forgets micro-batches of the step in work that were not credited.
    pub fn withdraw(&mut self, step: Step, task: Task, micro_batches: &[MicroBatchId]) {
        if step == self.state.step.next() {
            self.sums_of(task).drop_kept(micro_batches);
        }
    }

    /// Moves micro-batches from what is kept aside into the sum.
    ///
    /// # Errors
    /// [`Code::Internal`] when a micro-batch was never kept, or was credited already.
    pub fn credit(&mut self, task: Task, micro_batches: &[MicroBatchId]) -> Result<()> {
        let sums = self.sums_of(task);
        micro_batches
            .iter()
            .try_for_each(|micro_batch| sums.credit(*micro_batch))
    }

    /// Forgets the integers of the step in work. A shadow that is there already may still be committed.
    pub fn forget(&mut self) {
        self.sums.clear();
        self.evaluation.clear();
    }

    /// This worker's sum for a reduce among `world_size` members, zeros where nothing is credited to it.
    pub fn sum(&mut self, task: Task, world_size: usize) -> Arc<Vec<i64>> {
        let sum = self.sums_of(task).sum();
        self.last_reduce_fingerprints = SliceFingerprints {
            sent: fingerprints(&sum, world_size),
            received: Vec::new(),
        };
        sum
    }

    /// Clips the total and applies it to the committed state; the next state becomes the shadow.
    ///
    /// # Errors
    /// [`Code::Internal`] when the total does not cover the step, [`Code::Corrupt`] when the
    /// committed parameters have changed in memory, or, where no other member is, the moments.
    pub fn apply(
        &mut self,
        rule: &StepRule,
        total: impl Into<Arc<Vec<i64>>>,
        world_size: usize,
    ) -> Result<Applied> {
        self.is_sound(world_size)?;
        let total = total.into();
        self.last_reduce_fingerprints.received = fingerprints(&total, world_size);
        let loss_scale = self.state.loss_scale;
        let (grad_norm, skipped, loss) = self.apply_to_shadow(rule, &total)?;
        // The shadow and its total go together: a total that leads nowhere leaves those of an earlier attempt alone.
        self.total = Some(total);
        Ok(Applied {
            state_digest: self.shadow_digests.whole.clone(),
            total_fingerprint: whole(&self.last_reduce_fingerprints.received),
            contributed_fingerprint: whole(&self.last_reduce_fingerprints.sent),
            loss,
            grad_norm,
            skipped,
            loss_scale,
            ..Applied::default()
        })
    }

    /// Takes the total of an evaluation; the state stays as it is.
    ///
    /// # Errors
    /// [`Code::Internal`] when the total does not cover the evaluation, [`Code::Corrupt`] as
    /// [`Self::apply`], for the moments too.
    pub fn evaluate(
        &mut self,
        total: impl Into<Arc<Vec<i64>>>,
        world_size: usize,
    ) -> Result<Applied> {
        let total = total.into();
        // No update follows in which damaged moments would show, and a checkpoint may.
        self.is_sound(1)?;
        // Before the total is looked at: one that does not cover the evaluation has to be explained.
        self.last_reduce_fingerprints.received = fingerprints(&total, world_size);
        let summed = total.last().copied();
        if summed != i64::try_from(self.evaluation_micro_batches).ok() {
            return Err(Error::new(
                Code::Internal,
                format!(
                    "step {}: the total does not cover the evaluation",
                    self.state.step
                ),
            )
            .why(format!(
                "{summed:?} micro-batches, planned were {}",
                self.evaluation_micro_batches
            )));
        }
        Ok(Applied {
            state_digest: self.digests.whole.clone(),
            total_fingerprint: whole(&self.last_reduce_fingerprints.received),
            contributed_fingerprint: whole(&self.last_reduce_fingerprints.sent),
            evaluation: Arc::unwrap_or_clone(total),
            ..Applied::default()
        })
    }

    /// What was computed on damaged parameters is wrong, and its traces may vanish in the update: no other member would
    /// see them. Damaged moments show in the new state, where others see them, unless there is no other member.
    fn is_sound(&self, world_size: usize) -> Result<()> {
        let sound = if world_size == 1 {
            numerics::state_digest(&self.state) == self.digests.whole
        } else {
            numerics::params_digest(&self.state) == self.digests.params
        };
        if sound {
            return Ok(());
        }
        Err(Error::new(
            Code::Corrupt,
            format!("the state of step {} changed in memory", self.state.step),
        )
        .fix("check this machine's memory before it joins again"))
    }

    /// Step and digest of the committed state, from its bytes.
    #[must_use]
    pub fn prove(&self) -> (Step, String) {
        (self.state.step, numerics::state_digest(&self.state))
    }

    /// Digest of the committed state from its bytes, and of the shadow after the same total was applied once more; the
    /// second one is empty where there is no total.
    ///
    /// # Errors
    /// [`Code::Internal`] when the total is not that of the step.
    pub fn reapply(&mut self, rule: &StepRule) -> Result<(String, String)> {
        let (_, committed) = self.prove();
        let Some(total) = self.total.clone() else {
            return Ok((committed, String::new()));
        };
        self.apply_to_shadow(rule, &total)?;
        Ok((committed, self.shadow_digests.whole.clone()))
    }

    /// The shadow copy becomes the state; the total that led there and the state before are
    /// returned, the latter for [`Self::reuse`].
    ///
    /// # Errors
    /// [`Code::Internal`] when the step was never applied.
    pub fn commit(&mut self, step: Step) -> Result<(Arc<Vec<i64>>, Arc<AdapterState>)> {
        let shadow = self.shadow.take().filter(|s| s.step == step);
        let shadow = shadow.ok_or_else(|| nothing_applied(step))?;
        let total = self.total.take().ok_or_else(|| nothing_applied(step))?;
        self.retained.passed(&self.state, &self.digests.whole);
        self.digests = std::mem::take(&mut self.shadow_digests);
        let old = std::mem::replace(&mut self.state, Arc::new(shadow));
        self.forget();
        Ok((total, old))
    }

    /// Lets the memory of an old state serve the next shadow, unless somebody still reads it.
    pub fn reuse(&mut self, old: Arc<AdapterState>) {
        if self.shadow.is_none() {
            self.shadow = Arc::into_inner(old);
        }
    }

    /// Keeps the committed states of these steps beside the newest one, and lets all others go. A step that is not
    /// committed yet, or is the newest, is kept when a later one is committed.
    pub fn retain(&mut self, steps: &[Step]) {
        self.retained.want(steps);
    }

    /// Steps of the earlier states that are kept, and the digests they were committed with.
    #[must_use]
    pub fn retained(&self) -> BTreeMap<Step, String> {
        self.retained.digests()
    }

    /// The committed state of a step: the newest, or an earlier one that is kept.
    #[must_use]
    pub fn frozen(&self, step: Step) -> Option<Arc<AdapterState>> {
        let newest = Some(&self.state).filter(|state| state.step == step);
        newest.or_else(|| self.retained.get(step)).cloned()
    }

    /// Fingerprints by slice of the sum that went into the last reduce, and of the total that came out.
    #[must_use]
    pub fn explain(&self) -> SliceFingerprints {
        self.last_reduce_fingerprints.clone()
    }

    /// Checks that the total covers the step, and writes the next state into the shadow, with its digests. Returns
    /// the gradient norm before clipping, whether the step was skipped, and its loss in units of 2^-40.
    fn apply_to_shadow(&mut self, rule: &StepRule, total: &[i64]) -> Result<(f64, bool, i64)> {
        let (gradient, extras) = total.split_at(total.len().saturating_sub(EXTRAS));
        let extra = |which: Extra| extras.get(which as usize).copied().unwrap_or(-1);
        let summed = (extra(Extra::MicroBatches), extra(Extra::LossUnits));
        let loss_units = i64::try_from(rule.loss_units).unwrap_or(i64::MAX);
        let planned = (i64::from(rule.micro_batches), loss_units);
        if summed != planned || self.state.step.next() != rule.step {
            return Err(Error::new(
                Code::Internal,
                format!("step {}: the total does not cover the step", rule.step),
            )
            .why(format!(
                "(micro-batches, targets) are {summed:?}, planned were {planned:?}; the state is \
                 that of step {}",
                self.state.step
            )));
        }
        let skipped = extra(Extra::Overflows) != 0;
        let grad_norm = numerics::grad_norm(gradient);
        let mut next = self.shadow.take().unwrap_or_default();
        if skipped {
            self.state.skip(&mut next);
        } else {
            let update = Update {
                grad_norm,
                max_grad_norm: rule.max_grad_norm,
                learning_rate: rule.learning_rate,
                adamw: AdamW {
                    weight_decay: rule.weight_decay,
                    ..AdamW::default()
                },
                groups: &self.groups,
            };
            numerics::apply(&self.state, &mut next, gradient, &update);
        }
        self.shadow_digests = StateDigests::of(&next);
        self.shadow = Some(next);
        Ok((grad_norm, skipped, extra(Extra::Loss)))
    }

    /// Changes one bit of the committed parameters, as damaged memory does.
    pub fn flip_parameter_bit(&mut self, somewhere: usize) {
        flip_bit(&mut Arc::make_mut(&mut self.state).params, somewhere);
    }

    /// Changes one bit of the committed first moments, as damaged memory does.
    pub fn flip_moment_bit(&mut self, somewhere: usize) {
        flip_bit(&mut Arc::make_mut(&mut self.state).m, somewhere);
    }

    /// Changes one bit of the sum, as damaged memory does.
    pub fn flip_sum_bit(&mut self, task: Task) {
        self.sums_of(task).flip_bit();
    }
}

fn flip_bit(values: &mut [f32], somewhere: usize) {
    let length = values.len().max(1);
    if let Some(value) = values.get_mut(somewhere % length) {
        *value = f32::from_bits(value.to_bits() ^ (1 << (somewhere / length % 16)));
    }
}

fn nothing_applied(step: Step) -> Error {
    Error::new(
        Code::Internal,
        format!("step {step} was never applied here"),
    )
}

/// The fingerprint of a whole vector, from those of its slices: fingerprints add.
fn whole(slices: &[u64]) -> u64 {
    let Fingerprint(whole) = slices.iter().map(|slice| Fingerprint(*slice)).sum();
    whole
}

/// Fingerprints of the slices of a vector, one for each of `world_size` members, by slot.
fn fingerprints(values: &[i64], world_size: usize) -> Vec<u64> {
    (0..world_size)
        .map(|slot| {
            let range = slice(values.len(), world_size, slot);
            let first = range.start as u64;
            numerics::fingerprint(&values[range], first).0
        })
        .collect()
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
