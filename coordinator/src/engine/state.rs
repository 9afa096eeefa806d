//! What the engine remembers about the run and about the step in work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::WorkerId;
use shared::wire::message::{Applied, Failed, SliceFingerprints};

use super::work::StepWork;

/// What the run is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// The coordinator came back: the processes it knew are awaited.
    Recovering {
        until: Duration,
        /// Their incarnations.
        awaited: BTreeSet<String>,
    },
    /// At a step boundary, until enough members are ready.
    Gathering,
    /// Micro-batches are computed.
    Computing(StepWork),
    /// Everything is credited; the total is reduced and applied.
    Reducing(Reducing),
    /// Every step is committed; what the run ends with goes to storage.
    Finishing,
    /// Nothing more will happen.
    Over,
}

/// A reduce on its way.
#[derive(Debug)]
pub(super) struct Reducing {
    pub(super) work: StepWork,
    /// The members it runs among, by slot.
    pub(super) slots: Arc<[WorkerId]>,
    pub(super) applied: BTreeMap<WorkerId, Applied>,
    /// To whom a total came that does not cover the step.
    pub(super) unfit: BTreeSet<WorkerId>,
    /// Second opinions, once the states differed: committed digest, new digest.
    pub(super) again: Option<BTreeMap<WorkerId, (String, String)>>,
    /// Fingerprints by slice, once a total was not the sum of the credits.
    pub(super) slices: Option<BTreeMap<WorkerId, SliceFingerprints>>,
    /// On whom nothing moves, what it said of that last, and when.
    pub(super) stalled: BTreeMap<WorkerId, (Duration, Failed)>,
    /// When it began, or when the newest question was asked.
    pub(super) since: Duration,
}

impl Reducing {
    pub(super) fn new(work: StepWork, slots: Arc<[WorkerId]>, since: Duration) -> Self {
        Self {
            work,
            slots,
            applied: BTreeMap::new(),
            unfit: BTreeSet::new(),
            again: None,
            slices: None,
            stalled: BTreeMap::new(),
            since,
        }
    }

    /// Whether a total has reached a member.
    pub(super) fn has_reduced(&self, worker: &WorkerId) -> bool {
        self.applied.contains_key(worker) || self.unfit.contains(worker)
    }

    /// Whether a member has answered what was asked last.
    pub(super) fn has_answered(&self, worker: &WorkerId) -> bool {
        match (&self.again, &self.slices) {
            (Some(again), _) => again.contains_key(worker),
            (None, Some(slices)) => slices.contains_key(worker),
            (None, None) => self.has_reduced(worker),
        }
    }
}
