//! What the engine remembers about members and about the step in work.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::ids::{MicroBatchId, Slot, WorkerId};
use shared::wire::message::{Applied, Hello};

/// How many assignments a worker holds, so that it never waits for a round trip.
pub(super) const DEPTH: usize = 2;

/// One connected worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) hello: Hello,
    pub(super) device_class: String,
    pub(super) state: MemberState,
    pub(super) heard: Duration,
}

/// Where a worker stands on its way into the generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberState {
    /// Loading its base model.
    Joining { deadline: Duration },
    /// Waiting for a step boundary.
    Loaded,
    /// Bringing its state up.
    Syncing { deadline: Duration },
    /// Holds the committed state.
    Ready,
    /// Counts in this generation.
    Working { slot: Slot },
}

impl MemberState {
    pub(super) fn is_working(self) -> bool {
        matches!(self, Self::Working { .. })
    }

    /// Holds the committed state.
    pub(super) fn has_state(self) -> bool {
        matches!(self, Self::Ready | Self::Working { .. })
    }
}

/// What the run is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// At a step boundary, until enough members are ready.
    Gathering,
    /// Micro-batches are computed.
    Computing(StepWork),
    /// Everything is credited; the total is reduced and applied.
    Reducing {
        work: StepWork,
        applied: BTreeMap<WorkerId, Applied>,
        retries: u32,
    },
    /// Every step is committed; the last checkpoint is written.
    Finishing,
    /// Nothing more will happen.
    Over,
}

/// Micro-batches of the step in work.
#[derive(Debug, Default)]
pub(super) struct StepWork {
    pub(super) pool: VecDeque<MicroBatchId>,
    pub(super) assigned: BTreeMap<MicroBatchId, WorkerId>,
    pub(super) credited: BTreeMap<MicroBatchId, Credited>,
    pub(super) compute_us: BTreeMap<WorkerId, u64>,
}

/// A micro-batch that counts.
#[derive(Debug)]
pub(super) struct Credited {
    pub(super) worker: WorkerId,
    pub(super) fingerprint: u64,
}

impl StepWork {
    pub(super) fn new(micro_batches: u32) -> Self {
        Self {
            pool: (0..micro_batches).map(MicroBatchId).collect(),
            ..Self::default()
        }
    }

    /// Hands out micro-batches until each of `workers` holds [`DEPTH`], one each in turn.
    pub(super) fn deal(&mut self, workers: &[WorkerId]) -> BTreeMap<WorkerId, Vec<MicroBatchId>> {
        let mut dealt: BTreeMap<WorkerId, Vec<MicroBatchId>> = BTreeMap::new();
        for depth in 1..=DEPTH {
            for worker in workers {
                let held = self.assigned.values().filter(|w| *w == worker).count();
                if held >= depth {
                    continue;
                }
                let Some(micro_batch) = self.pool.pop_front() else {
                    return dealt;
                };
                self.assigned.insert(micro_batch, worker.clone());
                dealt.entry(worker.clone()).or_default().push(micro_batch);
            }
        }
        dealt
    }

    /// Everything the worker took in this step goes back to the pool, in order.
    pub(super) fn give_back(&mut self, worker: &WorkerId) {
        let mut pool: BTreeSet<_> = self.pool.drain(..).collect();
        pool.extend(
            self.assigned
                .extract_if(.., |_, w| w == worker)
                .map(|(m, _)| m),
        );
        pool.extend(
            self.credited
                .extract_if(.., |_, c| c.worker == *worker)
                .map(|(m, _)| m),
        );
        self.compute_us.remove(worker);
        self.pool = pool.into_iter().collect();
    }

    /// Nothing is left to compute.
    pub(super) fn is_covered(&self) -> bool {
        self.pool.is_empty() && self.assigned.is_empty()
    }

    pub(super) fn contributions(&self) -> BTreeMap<WorkerId, u32> {
        let mut counts = BTreeMap::new();
        for credited in self.credited.values() {
            *counts.entry(credited.worker.clone()).or_insert(0) += 1;
        }
        counts
    }
}
