//! One simulated worker: the shipped session and the shipped replica, a device made of a queue.
//!
//! In: what the world gives it, and the faults planted in it. Out: integers, and counters of what moves.
//! Keeps: the counters grow only while something really moves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Identity, MicroBatchId, Step, WorkerId};
use shared::numerics::{self, AdapterState, Fingerprint, GROWTH_INTERVAL, LossScale};
use shared::wire::message::{Computed, Hello, Loaded, PROTOCOL, Progress, Rehearsal, Task};
use worker::session::Session;
use worker::train::{EXTRAS, Extra, Replica, StepRule};

use super::evaluation;
use super::plan::Setting;
use super::sizes::Sizes;

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
        loss_units: u64::from(micro_batches) * TARGETS,
        learning_rate: 0.01,
        max_grad_norm: 1.0,
        weight_decay: 0.0,
    }
}

/// A gradient that depends on the parameters, the step and the micro-batch, in its last digit on the
/// device class, and on nothing else.
pub(crate) fn integers(state: &AdapterState, step: Step, id: MicroBatchId, class: u8) -> Vec<i64> {
    let text = format!("{} {step} {id}", numerics::params_digest(state));
    let hash = blake3::hash(text.as_bytes());
    let mut values: Vec<i64> = hash.as_bytes()[..PARAMETERS * 4]
        .chunks_exact(4)
        .map(|b| i64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])) << 10)
        .collect();
    values[1] += i64::from(class) << 8;
    let mut extras = [0; EXTRAS];
    extras[Extra::Loss as usize] = values[0].abs() >> 8;
    extras[Extra::LossUnits as usize] = TARGETS as i64;
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

/// Planted in a machine; each acts once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Damage {
    pub(crate) sum: bool,
    pub(crate) slice: bool,
    pub(crate) total: bool,
    pub(crate) state: bool,
    /// Between the commit and the writing of a checkpoint.
    pub(crate) staged: bool,
    pub(crate) compute: bool,
}

/// What moves in it until when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Motion {
    /// The device shows that it works.
    pub(crate) device: Duration,
    /// Sums, totals or a state are on their way.
    pub(crate) peers: Duration,
    /// A checkpoint is written or read.
    pub(crate) storage: Duration,
}

/// One process.
pub(crate) struct Machine {
    number: usize,
    /// What its device computes like, from 0.
    pub(crate) class: u8,
    pub(crate) session: Session,
    pub(crate) replica: Replica,
    pub(crate) alive: bool,
    pub(crate) paused_until: Option<Duration>,
    /// Its stream, by the name the coordinator gave it.
    pub(crate) stream: Option<WorkerId>,
    /// The next sessions break before they are welcomed, and only this side notices.
    pub(crate) resets: u32,
    pub(crate) queue: VecDeque<Work>,
    pub(crate) busy: bool,
    pub(crate) withdrawn: BTreeSet<(Step, Task, MicroBatchId)>,
    pub(crate) slow: u64,
    pub(crate) hung: bool,
    pub(crate) peer_cut: bool,
    /// Its way to storage is broken.
    pub(crate) staging_fails: bool,
    /// The generation its reducer is connected to, with the machines in it by slot.
    pub(crate) connected: Option<(Identity, Vec<usize>)>,
    /// Grows with every `Sync` and `Unfollow`: what belongs to an older one is void.
    pub(crate) follow: u64,
    /// When the last piece of what it follows arrives: later ones come later.
    pub(crate) fed: std::time::Duration,
    /// Who follows this one: machine and its `follow` number.
    pub(crate) followers: Vec<(usize, u64)>,
    pub(crate) damage: Damage,
    /// The last total that came was spoiled on its way.
    pub(crate) spoiled_total: bool,
    pub(crate) motion: Motion,
    progress: Progress,
    /// Earlier states that it has told of.
    pub(crate) told_retained: BTreeMap<Step, String>,
    /// For planted bugs: the last total, and of which step.
    pub(crate) last_total: Option<(Step, Vec<i64>)>,
}

impl Machine {
    pub(crate) fn new(number: usize, peer_address: &str, setting: &Setting) -> Self {
        let greeting = Hello {
            version: version(),
            protocol: PROTOCOL,
            name: format!("m{number}"),
            peer_address: peer_address.to_owned(),
            incarnation: format!("i{number}"),
            ..Hello::default()
        };
        let mut replica = Replica::new(PARAMETERS);
        replica.prepare_evaluation(
            evaluation::integers_of(setting),
            evaluation::parts(setting) as usize,
        );
        Self {
            number,
            class: if setting.mixed { (number % 2) as u8 } else { 0 },
            session: Session::new(greeting),
            replica,
            alive: true,
            paused_until: None,
            stream: None,
            resets: 0,
            queue: VecDeque::new(),
            busy: false,
            withdrawn: BTreeSet::new(),
            slow: 1,
            hung: false,
            peer_cut: false,
            staging_fails: false,
            connected: None,
            follow: 0,
            fed: Duration::ZERO,
            followers: Vec::new(),
            damage: Damage::default(),
            spoiled_total: false,
            motion: Motion::default(),
            progress: Progress::default(),
            told_retained: BTreeMap::new(),
            last_total: None,
        }
    }

    /// Whether a task may be begun, as the device thread decides.
    pub(crate) fn begins(&mut self, work: &Work) -> bool {
        let step = work.identity.step;
        let wanted = !self.withdrawn.remove(&(step, work.task, work.id));
        wanted && self.replica.state().step.next() == step
    }

    /// What the device says of itself once the base model is in memory.
    pub(crate) fn loaded(&self, setting: &Setting) -> Loaded {
        let tokens = setting.sizes.largest_tokens(setting.planned);
        let cost = coordinator::engine::Cost {
            kind: coordinator::engine::WorkKind::Train,
            tokens,
        };
        let compute_us = setting.sizes.time(cost) * self.slow;
        Loaded {
            device_class: format!("sim-{}", self.class),
            rehearsals: vec![Rehearsal { tokens, compute_us }],
            ..Loaded::default()
        }
    }

    /// The counters as they stand now, where the process runs.
    pub(crate) fn progress(&mut self, now: Duration) -> Progress {
        let motion = self.motion;
        let device = self.busy && !self.hung && now < motion.device;
        self.progress.device += u64::from(device);
        self.progress.moved += u64::from(!self.peer_cut && now < motion.peers) << 20;
        self.progress.stored += u64::from(now < motion.storage) << 20;
        self.progress
    }

    /// A micro-batch, a total or a file is done: its last units count too.
    pub(crate) fn moved(&mut self, device: u64, peers: u64, storage: u64) {
        self.progress.device += device;
        self.progress.moved += peers;
        self.progress.stored += storage;
    }

    /// Starts the device on a micro-batch that takes so long.
    pub(crate) fn computes(&mut self, sizes: &Sizes, task: Task, now: Duration, time: u64) {
        // One call goes backward through all layers on some devices.
        let silent = sizes.silent_backward && task != Task::Evaluate;
        let shown = if silent { time / 3 } else { time };
        self.motion.device = now + Duration::from_micros(shown);
    }

    /// Computes in so many microseconds; wrongly when a fault says so.
    pub(crate) fn compute(
        &mut self,
        work: &Work,
        state: &Arc<AdapterState>,
        setting: &Setting,
        compute_us: u64,
    ) -> (Computed, Vec<i64>) {
        let evaluates = work.task == Task::Evaluate;
        let mut values = if evaluates {
            evaluation::sums(state, work.id, self.class, setting.prompts)
        } else {
            integers(state, work.identity.step, work.id, self.class)
        };
        // Evaluations are not audited.
        if !evaluates && std::mem::take(&mut self.damage.compute) {
            // Two devices that are wrong are not wrong in the same way.
            values[self.number % PARAMETERS] ^= 1 << (8 + self.number % 16);
        }
        let Fingerprint(fingerprint) = numerics::fingerprint(&values, 0);
        let computed = Computed {
            micro_batch: work.id,
            fingerprint,
            compute_us,
            task: work.task,
        };
        (computed, values)
    }
}
