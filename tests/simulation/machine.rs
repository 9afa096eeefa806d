//! One simulated worker: the shipped session and the shipped replica, a device made of a queue.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shared::evaluation::width;
use shared::ids::{Identity, MicroBatchId, Step, WorkerId};
use shared::numerics::{self, AdapterState, Fingerprint, GROWTH_INTERVAL, LossScale};
use shared::wire::message::{Computed, Hello, PROTOCOL, Task};
use worker::session::Session;
use worker::train::{EXTRAS, Extra, Replica, StepRule};

use super::evaluation;

/// Parameters of the simulated adapter.
pub(crate) const PARAMETERS: usize = 5;
/// Target tokens of one micro-batch.
const TARGETS: u64 = 3;

/// The version both sides must be of.
pub(crate) fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The state before step 1. Where it is `scaled`, two good steps double its loss scale.
pub(crate) fn first_state(scaled: bool) -> AdapterState {
    let scale = LossScale {
        good_steps: GROWTH_INTERVAL - 2,
        ..LossScale::new(4)
    };
    AdapterState {
        loss_scale: scaled.then_some(scale),
        ..AdapterState::new((0..PARAMETERS).map(|i| i as f32 * 0.25 - 0.5).collect())
    }
}

/// Whether a micro-batch overflows: some whatever they are scaled by, and more of them the larger the
/// loss scale is.
fn overflows(state: &AdapterState, hash: &blake3::Hash) -> bool {
    let chance = u64::from(hash.as_bytes()[31]);
    let scale = state.loss_scale.map_or(1, |scale| scale.scale);
    chance == 7 || chance * scale > 1980
}

/// What a step's update needs.
pub(crate) fn rule(step: Step, micro_batches: u32) -> StepRule {
    StepRule {
        step,
        micro_batches,
        target_tokens: u64::from(micro_batches) * TARGETS,
        learning_rate: 0.01,
        max_grad_norm: 1.0,
        weight_decay: 0.0,
    }
}

/// A gradient that depends on the parameters, the step and the micro-batch, and on nothing else.
pub(crate) fn integers(state: &AdapterState, step: Step, id: MicroBatchId) -> Vec<i64> {
    let text = format!("{} {step} {id}", numerics::params_digest(state));
    let hash = blake3::hash(text.as_bytes());
    let mut values: Vec<i64> = hash.as_bytes()[..PARAMETERS * 4]
        .chunks_exact(4)
        .map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])) << 10)
        .collect();
    let mut extras = [0; EXTRAS];
    extras[Extra::Loss as usize] = values[0].abs() >> 8;
    extras[Extra::TargetTokens as usize] = TARGETS as i64;
    extras[Extra::MicroBatches as usize] = 1;
    extras[Extra::Overflows as usize] = overflows(state, &hash).into();
    values.extend(extras);
    values
}

/// A task with the device.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) identity: Identity,
    pub(crate) task: Task,
    pub(crate) id: MicroBatchId,
}

/// One process.
pub(crate) struct Machine {
    number: usize,
    pub(crate) session: Session,
    pub(crate) replica: Replica,
    pub(crate) alive: bool,
    pub(crate) paused_until: Option<Duration>,
    /// Its stream, by the name the coordinator gave it.
    pub(crate) stream: Option<WorkerId>,
    /// Name in the last session.
    pub(crate) name: Option<WorkerId>,
    pub(crate) queue: VecDeque<Work>,
    pub(crate) busy: bool,
    pub(crate) withdrawn: BTreeSet<(Step, Task, MicroBatchId)>,
    pub(crate) slow: u64,
    pub(crate) hung: bool,
    pub(crate) wrong_once: bool,
    pub(crate) peer_cut: bool,
    /// The generation its reducer is connected to, with the machines in it by slot.
    pub(crate) connected: Option<(Identity, Vec<usize>)>,
    /// Grows with every `Sync` and `Unfollow`: what belongs to an older one is void.
    pub(crate) follow: u64,
    /// When the last piece of what it follows arrives: later ones come later.
    pub(crate) fed: std::time::Duration,
    /// Who follows this one: machine and its `follow` number.
    pub(crate) followers: Vec<(usize, u64)>,
    pub(crate) corrupt_total: bool,
    pub(crate) corrupt_slice: bool,
    pub(crate) corrupt_state: bool,
    pub(crate) corrupt_sum: bool,
    /// For planted bugs: the last total, and of which step.
    pub(crate) last_total: Option<(Step, Vec<i64>)>,
}

impl Machine {
    pub(crate) fn new(number: usize, peer_address: &str) -> Self {
        let greeting = Hello {
            version: version(),
            protocol: PROTOCOL,
            name: format!("m{number}"),
            peer_address: peer_address.to_owned(),
            ..Hello::default()
        };
        let mut replica = Replica::new(PARAMETERS);
        replica.evaluates(width(1), evaluation::PARTS as usize);
        Self {
            number,
            session: Session::new(greeting),
            replica,
            alive: true,
            paused_until: None,
            stream: None,
            name: None,
            queue: VecDeque::new(),
            busy: false,
            withdrawn: BTreeSet::new(),
            slow: 1,
            hung: false,
            wrong_once: false,
            peer_cut: false,
            connected: None,
            follow: 0,
            fed: Duration::ZERO,
            followers: Vec::new(),
            corrupt_total: false,
            corrupt_slice: false,
            corrupt_state: false,
            corrupt_sum: false,
            last_total: None,
        }
    }

    /// Whether a task may be begun, as the device thread decides.
    pub(crate) fn begins(&mut self, work: &Work) -> bool {
        let step = work.identity.step;
        let wanted = !self.withdrawn.remove(&(step, work.task, work.id));
        wanted && self.replica.state().step.next() == step
    }

    /// Computes; wrongly when a fault says so.
    pub(crate) fn compute(
        &mut self,
        work: &Work,
        state: &Arc<AdapterState>,
    ) -> (Computed, Vec<i64>) {
        let evaluates = work.task == Task::Evaluate;
        let mut values = if evaluates {
            evaluation::sums(state, work.id)
        } else {
            integers(state, work.identity.step, work.id)
        };
        // Evaluations are not audited.
        if !evaluates && std::mem::take(&mut self.wrong_once) {
            // Two devices that are wrong are not wrong in the same way.
            values[self.number % PARAMETERS] ^= 1 << (8 + self.number % 16);
        }
        let Fingerprint(fingerprint) = numerics::fingerprint(&values, 0);
        let computed = Computed {
            micro_batch: work.id,
            fingerprint,
            compute_us: 1000 * self.slow,
            task: work.task,
        };
        (computed, values)
    }
}
