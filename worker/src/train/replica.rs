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
use shared::numerics::{self, AdamW, AdapterState, Fingerprint, Group, StateDigests, Update};
use shared::wire::message::{Applied, SliceFingerprints, Task};

use super::retained::Retained;
use super::sums::{BufferPool, EXTRAS, Extra, Sums};
use crate::collective::slice;

/// What a step's update needs to know of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRule {
    /// The step.
    pub step: Step,
    /// Micro-batches it has.
    pub micro_batches: u32,
    /// Target tokens of all of them.
    pub target_tokens: u64,
    /// The learning rate it uses.
    pub learning_rate: f64,
    /// Gradients are clipped at this L2 norm; 0 means never.
    pub max_grad_norm: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// One worker's copy of the run.
#[derive(Debug)]
pub struct Replica {
    sums: Sums,
    /// Those of an evaluation of the committed state.
    evaluation: Sums,
    /// Micro-batches of an evaluation.
    evaluated: usize,
    state: Arc<AdapterState>,
    /// Digests of the committed state and of its parameters, as it was when it became that.
    digests: StateDigests,
    shadow: Option<AdapterState>,
    /// The same of the shadow.
    shaded: StateDigests,
    total: Option<Arc<Vec<i64>>>,
    /// Of the newest reduce: the sum that was handed out, and the total that came.
    newest: SliceFingerprints,
    /// Earlier states that are not yet on storage.
    retained: Retained,
    /// What learns alike; none is all of it.
    groups: Vec<Group>,
}

impl Replica {
    /// For adapters of `parameters` elements.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            sums: Sums::new(parameters),
            evaluation: Sums::of_length(1),
            evaluated: 0,
            state: Arc::default(),
            digests: StateDigests::default(),
            shadow: None,
            shaded: StateDigests::default(),
            total: None,
            newest: SliceFingerprints::default(),
            retained: Retained::default(),
            groups: Vec::new(),
        }
    }

    /// Elements learn in these groups.
    pub fn learns(&mut self, groups: Vec<Group>) {
        self.groups = groups;
    }

    /// Lets buffers go back to where the device takes them from.
    pub fn share(&mut self, pool: BufferPool) {
        self.sums.share(pool);
    }

    /// Evaluations come to so many integers, from so many micro-batches.
    pub fn evaluates(&mut self, width: usize, micro_batches: usize) {
        self.evaluation = Sums::of_length(width);
        self.evaluated = micro_batches;
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

    /// Takes a state from elsewhere; returns its digest. Earlier ones that are wanted stay.
    pub fn adopt(&mut self, state: AdapterState) -> String {
        self.retained.passed(&self.state, &self.digests.whole);
        self.state = Arc::new(state);
        self.forget();
        self.shadow = None;
        self.total = None;
        self.digests = StateDigests::of(&self.state);
        self.digests.whole.clone()
    }

    /// Keeps a micro-batch of the step in work aside; those of other steps are let go.
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

    /// Moves micro-batches into the sum.
    ///
    /// # Errors
    /// [`Code::Internal`] when one was never kept, or credited already.
    pub fn credit(&mut self, task: Task, micro_batches: &[MicroBatchId]) -> Result<()> {
        let sums = self.sums_of(task);
        micro_batches
            .iter()
            .try_for_each(|micro_batch| sums.credit(*micro_batch))
    }

    /// Forgets the integers of the step in work. What is applied already may still be committed.
    pub fn forget(&mut self) {
        self.sums.clear();
        self.evaluation.clear();
    }

    /// What this worker contributes to a reduce among `world` members.
    pub fn sum(&mut self, task: Task, world: usize) -> Arc<Vec<i64>> {
        let sum = self.sums_of(task).sum();
        self.newest = SliceFingerprints {
            sent: fingerprints(&sum, world),
            received: Vec::new(),
        };
        sum
    }

    /// Clips the total and applies it to the shadow copy.
    ///
    /// # Errors
    /// [`Code::Internal`] when the total does not cover the step, [`Code::Corrupt`] when the
    /// committed parameters have changed in memory, or, where no other member is, the moments.
    pub fn apply(
        &mut self,
        rule: &StepRule,
        total: impl Into<Arc<Vec<i64>>>,
        world: usize,
    ) -> Result<Applied> {
        self.is_sound(world)?;
        let total = total.into();
        self.newest.received = fingerprints(&total, world);
        let loss_scale = self.state.loss_scale;
        let (grad_norm, skipped, loss) = self.shade(rule, &total)?;
        // The shadow copy and its total go together: one that led nowhere leaves those of an earlier attempt alone.
        self.total = Some(total);
        Ok(Applied {
            state_digest: self.shaded.whole.clone(),
            fingerprint: whole(&self.newest.received),
            sum: whole(&self.newest.sent),
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
    /// [`Self::apply`].
    pub fn evaluate(&mut self, total: impl Into<Arc<Vec<i64>>>, world: usize) -> Result<Applied> {
        let total = total.into();
        // No update follows in which damaged moments would show, and a checkpoint may.
        self.is_sound(1)?;
        // Before it is looked at: a total that does not cover the evaluation has to be explained.
        self.newest.received = fingerprints(&total, world);
        let summed = total.last().copied();
        if summed != i64::try_from(self.evaluated).ok() {
            return Err(Error::new(
                Code::Internal,
                format!(
                    "step {}: the total does not cover the evaluation",
                    self.state.step
                ),
            )
            .why(format!(
                "{summed:?} micro-batches, planned were {}",
                self.evaluated
            )));
        }
        Ok(Applied {
            state_digest: self.digests.whole.clone(),
            fingerprint: whole(&self.newest.received),
            sum: whole(&self.newest.sent),
            evaluation: Arc::unwrap_or_clone(total),
            ..Applied::default()
        })
    }

    /// What was computed on other parameters is wrong, and its traces may vanish in the update: no
    /// other member would see them. Damaged moments show in the new state, where others see it.
    fn is_sound(&self, world: usize) -> Result<()> {
        let sound = if world == 1 {
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

    /// Hashes the committed state, and applies the same total again where there is one: the second
    /// digest is empty where there is none.
    ///
    /// # Errors
    /// [`Code::Internal`] when the total is not that of the step.
    pub fn reapply(&mut self, rule: &StepRule) -> Result<(String, String)> {
        let (_, committed) = self.prove();
        let Some(total) = self.total.clone() else {
            return Ok((committed, String::new()));
        };
        self.shade(rule, &total)?;
        Ok((committed, self.shaded.whole.clone()))
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
        self.digests = std::mem::take(&mut self.shaded);
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

    /// Fingerprints by slice of what went into the newest reduce and of what came out.
    #[must_use]
    pub fn explain(&self) -> SliceFingerprints {
        self.newest.clone()
    }

    fn shade(&mut self, rule: &StepRule, total: &[i64]) -> Result<(f64, bool, i64)> {
        let (gradient, extras) = total.split_at(total.len().saturating_sub(EXTRAS));
        let extra = |which: Extra| extras.get(which as usize).copied().unwrap_or(-1);
        let summed = (extra(Extra::MicroBatches), extra(Extra::TargetTokens));
        let targets = i64::try_from(rule.target_tokens).unwrap_or(i64::MAX);
        let planned = (i64::from(rule.micro_batches), targets);
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
        self.shaded = StateDigests::of(&next);
        self.shadow = Some(next);
        Ok((grad_norm, skipped, extra(Extra::Loss)))
    }

    /// Changes one bit of the committed parameters: what damaged memory does.
    pub fn flip_parameter_bit(&mut self, somewhere: usize) {
        flip_bit(&mut Arc::make_mut(&mut self.state).params, somewhere);
    }

    /// The same in the first moments.
    pub fn flip_moment_bit(&mut self, somewhere: usize) {
        flip_bit(&mut Arc::make_mut(&mut self.state).m, somewhere);
    }

    /// Changes one bit of the sum: what damaged memory does.
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

/// The fingerprint of a whole, from those of its slices.
fn whole(slices: &[u64]) -> u64 {
    let Fingerprint(whole) = slices.iter().map(|slice| Fingerprint(*slice)).sum();
    whole
}

/// Fingerprints of a vector, cut into the slices of `world` members.
fn fingerprints(values: &[i64], world: usize) -> Vec<u64> {
    (0..world)
        .map(|slot| {
            let range = slice(values.len(), world, slot);
            let first = range.start as u64;
            numerics::fingerprint(&values[range], first).0
        })
        .collect()
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
