//! What the engine remembers about the run and about the step in work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Attempt, MicroBatchId, Step, WorkerId};
use shared::wire::message::{Applied, Failed, SliceFingerprints};

use super::work::StepWork;

/// What is known of the step in work whatever its phase.
#[derive(Debug, Default)]
pub(super) struct CurrentStep {
    pub(super) attempt: Attempt,
    /// Micro-batches on which a device hung: on these the next worker gets more time.
    pub(super) hung_on: BTreeSet<MicroBatchId>,
    abandoned: Option<AbandonedStep>,
}

/// The step that was given up because every member drained.
#[derive(Debug)]
struct AbandonedStep {
    step: Step,
    /// Number of credited micro-batches that it lost.
    lost_credits: u32,
}

impl CurrentStep {
    /// All members drain: their sums count for nothing, and the step is computed anew.
    pub(super) fn abandon(&mut self, step: Step, work: &StepWork) {
        let lost = u32::try_from(work.credited.len()).unwrap_or(u32::MAX);
        self.abandoned = Some(AbandonedStep {
            step,
            lost_credits: work.lost_credits.saturating_add(lost),
        });
    }

    /// Number of credited micro-batches that this step has lost before it is computed anew.
    pub(super) fn lost_before(&self, step: Step) -> u32 {
        let abandoned = self.abandoned.as_ref().filter(|a| a.step == step);
        abandoned.map_or(0, |a| a.lost_credits)
    }
}

/// What the run is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// The coordinator came back: the processes it knew are awaited.
    Recovering {
        until: Duration,
        /// Incarnations of these processes, as the ledger has them.
        awaited: BTreeSet<String>,
    },
    /// At a step boundary, until enough members are ready.
    Gathering,
    /// The step's micro-batches are dealt, computed and credited.
    Computing(StepWork),
    /// Everything is credited; the total is reduced and applied.
    Reducing(Reducing),
    /// Every step is committed; the last and the best state go to storage, then the adapter is exported.
    Finishing,
    /// The engine has ended the run; only a late worker is still answered.
    Over,
}

/// The reduce of the step in work, from the order until all members agree.
#[derive(Debug)]
pub(super) struct Reducing {
    pub(super) work: StepWork,
    /// The members that take part in the reduce, by slot.
    pub(super) slots: Arc<[WorkerId]>,
    pub(super) applied: BTreeMap<WorkerId, Applied>,
    /// Members whose total does not cover the step.
    pub(super) incomplete_totals: BTreeSet<WorkerId>,
    /// Set once the new states differed: each member's committed and new digest, hashed and applied once more.
    pub(super) second_opinions: Option<BTreeMap<WorkerId, (String, String)>>,
    /// Set once a total was not the sum of the credits: each member's fingerprints by slice.
    pub(super) slice_fingerprints: Option<BTreeMap<WorkerId, SliceFingerprints>>,
    /// Members on which nothing moves: when each last said so, and what it said.
    pub(super) stalled: BTreeMap<WorkerId, (Duration, Failed)>,
    /// When the reduce began, or when the members were last asked for slices or second opinions.
    pub(super) since: Duration,
}

impl Reducing {
    pub(super) fn new(work: StepWork, slots: Arc<[WorkerId]>, since: Duration) -> Self {
        Self {
            work,
            slots,
            applied: BTreeMap::new(),
            incomplete_totals: BTreeSet::new(),
            second_opinions: None,
            slice_fingerprints: None,
            stalled: BTreeMap::new(),
            since,
        }
    }

    /// Whether the member has received a total, complete or not.
    pub(super) fn has_reduced(&self, worker: &WorkerId) -> bool {
        self.applied.contains_key(worker) || self.incomplete_totals.contains(worker)
    }

    /// Whether the members were asked for second opinions or slices, because their reports do not agree.
    pub(super) fn is_questioned(&self) -> bool {
        self.second_opinions.is_some() || self.slice_fingerprints.is_some()
    }

    /// Forgets every report: one that a corrupt member took part in counts no more.
    pub(super) fn forget_reports(&mut self) {
        self.applied.clear();
        self.incomplete_totals.clear();
        self.second_opinions = None;
        self.slice_fingerprints = None;
    }

    /// Replaces the first reports by the outcome of those that reported this new state; false where none did.
    pub(super) fn settle_on(&mut self, state_digest: &str) -> bool {
        let mut reports = self.applied.values();
        let Some(right) = reports.find(|a| a.state_digest == state_digest).cloned() else {
            return false;
        };
        for report in self.applied.values_mut() {
            report.state_digest.clone_from(&right.state_digest);
            report.grad_norm = right.grad_norm;
            report.skipped = right.skipped;
            report.loss_scale = right.loss_scale;
            report.loss = right.loss;
            report.evaluation.clone_from(&right.evaluation);
        }
        self.second_opinions = None;
        true
    }

    /// Whether the member has answered the newest question: second opinion, slices, or the reduce itself.
    pub(super) fn has_answered(&self, worker: &WorkerId) -> bool {
        match (&self.second_opinions, &self.slice_fingerprints) {
            (Some(opinions), _) => opinions.contains_key(worker),
            (None, Some(slices)) => slices.contains_key(worker),
            (None, None) => self.has_reduced(worker),
        }
    }
}
