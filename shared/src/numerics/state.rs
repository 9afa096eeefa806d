//! What replicas agree on after every step.
//!
//! In: parameters and both moments as flat f32 vectors in canonical order, counters, the loss scale in fp16. Out: one
//! digest of all of it. Keeps: equal digests mean equal bytes. Not here: names and shapes, which the worker's layout
//! knows.

use zerocopy::IntoBytes;

use super::LossScale;
use super::parallel::is_worthwhile;
use crate::ids::Step;

/// The adapter and its optimizer after a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdapterState {
    /// Parameters of the adapter, flat, in canonical order.
    pub params: Vec<f32>,
    /// First moments, one for each parameter.
    pub m: Vec<f32>,
    /// Second moments, one for each parameter.
    pub v: Vec<f32>,
    /// The committed step that this state is after; 0 before the first.
    pub step: Step,
    /// Updates applied: skipped steps do not count, so bias correction ignores them.
    pub optimizer_steps: u64,
    /// The loss scale of the next step, where the run computes in fp16.
    pub loss_scale: Option<LossScale>,
}

impl AdapterState {
    /// The state before step 1.
    #[must_use]
    pub fn new(params: Vec<f32>) -> Self {
        let n = params.len();
        Self {
            params,
            m: vec![0.0; n],
            v: vec![0.0; n],
            step: Step(0),
            optimizer_steps: 0,
            loss_scale: None,
        }
    }

    /// The factor on the loss of the next step's micro-batches.
    #[must_use]
    pub fn loss_factor(&self) -> f32 {
        self.loss_scale.map_or(1.0, |scale| scale.factor())
    }

    /// Steps that the schedule of the learning rate does not count.
    #[must_use]
    pub fn unscheduled(&self) -> u64 {
        self.loss_scale.map_or(0, |scale| scale.skipped_steps)
    }

    /// Number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether there is no parameter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Writes the state after a step that policy skips: nothing changes but its number, and the loss
    /// scale where there is one.
    pub fn skip(&self, next: &mut Self) {
        next.params.clone_from(&self.params);
        next.m.clone_from(&self.m);
        next.v.clone_from(&self.v);
        next.step = self.step.next();
        next.optimizer_steps = self.optimizer_steps;
        next.loss_scale = self.loss_scale.map(|scale| scale.after(true));
    }
}

/// BLAKE3 in hex over step, optimizer steps, number of parameters (u64), parameters (f32), the loss
/// scale where there is one (three u64: scale, good steps, skipped steps), first and second moments
/// (f32), all little endian.
#[must_use]
pub fn state_digest(state: &AdapterState) -> String {
    StateDigests::of(state).whole
}

/// [`state_digest`] and [`params_digest`] of one state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDigests {
    /// Digest of the whole state, as [`state_digest`] defines it.
    pub whole: String,
    /// Digest without the moments, as [`params_digest`] defines it.
    pub params: String,
}

impl StateDigests {
    /// Both digests from one pass over the parameters.
    #[must_use]
    pub fn of(state: &AdapterState) -> Self {
        let mut hasher = up_to_params(state);
        let params = hasher.digest();
        hasher.values(bytes_of(&state.m));
        hasher.values(bytes_of(&state.v));
        Self {
            whole: hasher.digest(),
            params,
        }
    }
}

/// [`state_digest`] without the moments, a third of the work: what a micro-batch is computed from.
#[must_use]
pub fn params_digest(state: &AdapterState) -> String {
    up_to_params(state).digest()
}

fn up_to_params(state: &AdapterState) -> StateHasher {
    let elements = state.params.len() as u64;
    let mut hasher = StateHasher::new(state.step, state.optimizer_steps, elements);
    hasher.values(bytes_of(&state.params));
    hasher.loss_scale(state.loss_scale.as_ref());
    hasher
}

fn bytes_of(values: &[f32]) -> &[u8] {
    const {
        assert!(
            cfg!(target_endian = "little"),
            "digests are over little endian bytes"
        )
    }
    values.as_bytes()
}

/// [`state_digest`] of a state that is not in memory, fed piece by piece: the parameters in canonical
/// order, the loss scale, the first moments, the second ones.
#[derive(Clone, Debug)]
pub struct StateHasher(blake3::Hasher);

impl StateHasher {
    /// The state after `step`, of so many parameters.
    #[must_use]
    pub fn new(step: Step, optimizer_steps: u64, parameters: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&step.0.to_le_bytes());
        hasher.update(&optimizer_steps.to_le_bytes());
        hasher.update(&parameters.to_le_bytes());
        Self(hasher)
    }

    /// The next values, f32 in little endian; where they are cut changes nothing.
    pub fn values(&mut self, little_endian: &[u8]) {
        if is_worthwhile(little_endian.len() / 4) {
            self.0.update_rayon(little_endian);
        } else {
            self.0.update(little_endian);
        }
    }

    /// The loss scale, behind the parameters: a micro-batch depends on it as on them.
    pub fn loss_scale(&mut self, loss_scale: Option<&LossScale>) {
        if let Some(loss_scale) = loss_scale {
            self.0.update(&loss_scale.scale.to_le_bytes());
            self.0
                .update(&u64::from(loss_scale.good_steps).to_le_bytes());
            self.0.update(&loss_scale.skipped_steps.to_le_bytes());
        }
    }

    /// BLAKE3 in hex of what was fed so far.
    #[must_use]
    pub fn digest(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::parallel::in_pools;
    use super::*;

    #[test]
    fn every_part_of_the_state_is_in_the_digest() {
        let mut state = AdapterState::new((0..40_000).map(|i| i as f32).collect());
        let mut seen = vec![state_digest(&state)];
        assert_eq!(seen[0].len(), 64);
        state.step = Step(1);
        seen.push(state_digest(&state));
        state.optimizer_steps = 1;
        seen.push(state_digest(&state));
        state.params[39_999] = -0.5;
        seen.push(state_digest(&state));
        state.m[17_000] = f32::from_bits(1);
        seen.push(state_digest(&state));
        state.v[0] = -0.0;
        seen.push(state_digest(&state));
        let StateDigests { whole, params } = StateDigests::of(&state);
        assert_eq!((&whole, &params), (&seen[5], &params_digest(&state)));
        state.params[0] = 7.5;
        assert_ne!(params_digest(&state), params);
        let mut scale = LossScale::new(8);
        state.loss_scale = Some(scale);
        seen.push(params_digest(&state));
        seen.push(state_digest(&state));
        scale.good_steps = 1;
        state.loss_scale = Some(scale);
        seen.push(state_digest(&state));
        scale.skipped_steps = 1;
        state.loss_scale = Some(scale);
        seen.push(state_digest(&state));
        let distinct: std::collections::HashSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }

    #[test]
    fn threads_change_no_digest() {
        let mut state = AdapterState::new((0..1_100_003).map(|i| i as f32).collect());
        state.step = Step(3);
        let mut bytes = [3, 0, 1_100_003u64].map(u64::to_le_bytes).concat();
        let values = state.params.iter().chain(&state.m).chain(&state.v);
        bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        let plain = blake3::hash(&bytes).to_hex().to_string();
        let found = in_pools(|| state_digest(&state));
        assert!(found.iter().all(|digest| *digest == plain), "{found:?}");
    }

    #[test]
    fn a_skipped_step_counts_only_as_a_step() {
        let mut state = AdapterState::new(vec![1.0, 2.0]);
        state.step = Step(4);
        state.optimizer_steps = 3;
        let mut next = AdapterState::default();
        state.skip(&mut next);
        let skipped = AdapterState {
            step: Step(5),
            ..state.clone()
        };
        assert_eq!(next, skipped);
        state.loss_scale = Some(LossScale::new(8));
        state.skip(&mut next);
        let halved = LossScale {
            skipped_steps: 1,
            ..LossScale::new(4)
        };
        assert_eq!(next.loss_scale, Some(halved));
    }

    #[test]
    fn without_a_loss_scale_the_digest_is_what_it_was() {
        let state = AdapterState::new(vec![1.0, -2.5]);
        let mut bytes = vec![0u8; 16];
        bytes.extend(2u64.to_le_bytes());
        for value in [1.0f32, -2.5, 0.0, 0.0, 0.0, 0.0] {
            bytes.extend(value.to_le_bytes());
        }
        assert_eq!(
            state_digest(&state),
            blake3::hash(&bytes).to_hex().to_string()
        );
    }
}
