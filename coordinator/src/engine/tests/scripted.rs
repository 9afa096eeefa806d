//! What scripted workers are, and the runs they work for.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use shared::ids::{Identity, MicroBatchId, RunId, Step, Term, WorkerId};
use shared::wire::message::{Task, Welcome};

use super::super::{Cost, Options, Schedule, Timeouts, WorkKind};

pub(super) struct Fixed {
    pub(super) steps: u64,
    pub(super) micro_batches: u32,
    /// Steps between evaluations.
    pub(super) every: Option<u64>,
}

impl Schedule for Fixed {
    fn total_steps(&self) -> u64 {
        self.steps
    }
    fn micro_batches(&self, _step: Step) -> Vec<Cost> {
        let cost = Cost {
            kind: WorkKind::Train,
            tokens: 10,
        };
        vec![cost; self.micro_batches as usize]
    }
    fn is_evaluated(&self, step: Step) -> bool {
        self.every
            .is_some_and(|every| step.0 > 0 && step.0.is_multiple_of(every))
    }
    fn evaluation(&self) -> Vec<Cost> {
        let cost = Cost {
            kind: WorkKind::Evaluate,
            tokens: 10,
        };
        vec![cost]
    }
    fn sets(&self) -> usize {
        usize::from(self.every.is_some())
    }
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

pub(super) fn gradient(step: Step, micro_batch: MicroBatchId) -> u64 {
    step.0 * 1000 + u64::from(micro_batch.0) + 1
}

#[derive(Default)]
pub(super) struct Scripted {
    pub(super) side: BTreeMap<MicroBatchId, u64>,
    pub(super) sum: u64,
    pub(super) state: u64,
    pub(super) shadow: u64,
    pub(super) held: VecDeque<(Identity, MicroBatchId, Task)>,
    pub(super) lies: bool,
    /// Added to every fingerprint it computes.
    pub(super) wrong: u64,
    /// Its state does not answer: neither a reduce nor a second look.
    pub(super) mute: bool,
    /// Added to every state it takes.
    pub(super) spoils: u64,
    /// Follows the totals of others; at this step.
    pub(super) following: Option<Step>,
    /// Where the run stood when it was told to take the state.
    pub(super) asked: Identity,
    /// What it computes on.
    pub(super) device_class: &'static str,
    /// It cannot write.
    pub(super) cannot_write: bool,
    /// What it was told to keep, and still has.
    pub(super) retained: BTreeMap<Step, u64>,
    /// The committed step of its state.
    pub(super) step: Step,
}

pub(super) fn options(min: usize, wait: usize, save_steps: u64) -> Options {
    Options {
        run: RunId("r".into()),
        term: Term(1),
        welcome: Welcome::default(),
        device: "auto".into(),
        min_workers: min,
        wait_workers: wait,
        save_steps,
        save_total_limit: None,
        best_is_the_result: false,
        parameters: 1,
        strict_devices: false,
        device_class: None,
        max_workers: usize::MAX,
        audit_rate: 0.0,
        patience: Default::default(),
        stability: Default::default(),
        timeouts: Timeouts::new(Duration::from_secs(8), Duration::from_secs(60)).unwrap(),
        staging: PathBuf::from("/s"),
    }
}

/// The state a run of `steps` must end in, whoever computed it.
pub(super) fn expected_state(steps: u64, micro_batches: u32) -> u64 {
    (1..=steps)
        .flat_map(|s| (0..micro_batches).map(move |m| gradient(Step(s), MicroBatchId(m))))
        .sum()
}
