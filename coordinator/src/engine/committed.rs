//! The committed states: the newest one, and the digest of each that a replay must reproduce.
//!
//! In: what all members agreed on, and where the run goes on from. Out: whether a digest is the agreed one. Keeps: the
//! newest state's digest is known as soon as any worker has proved one; no digest is dropped that the ledger's rules
//! compare with, unless the course it is of is void.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::Step;
use shared::ledger::Parts;
use shared::wire::message::Position;

use super::Restorable;

/// Where the run stands, and what it must come to again after a rewind.
#[derive(Debug)]
pub(super) struct CommittedStates {
    /// The last committed step.
    pub(super) committed: Step,
    /// Digest of that step's state; `None` only for one from the seed that no worker has hashed yet.
    pub(super) state_digest: Option<String>,
    /// State digests of committed steps. A step that is computed again after a rewind must reproduce its digest. None
    /// is dropped that the ledger's rules compare with: damaged checkpoints can send the run back to any step.
    pub(super) digests: BTreeMap<Step, String>,
    /// When the last step was committed; zero until this coordinator commits one.
    pub(super) committed_at: Duration,
    /// Device classes that computed each step: only where they differ may a replay come out differently.
    device_classes_by_step: Parts,
}

impl CommittedStates {
    /// The states of a run that stands at `committed`; `from` is the state that can be restored.
    pub(super) fn new(
        committed: Step,
        from: &Restorable,
        mut digests: BTreeMap<Step, String>,
        device_classes_by_step: Parts,
    ) -> Self {
        if let Some(digest) = &from.state_digest {
            digests.insert(from.step, digest.clone());
        }
        Self {
            committed,
            state_digest: from.state_digest.clone(),
            digests,
            committed_at: Duration::ZERO,
            device_classes_by_step,
        }
    }

    /// Whether the state of a committed step is known to have this digest.
    pub(super) fn vouches_for(&self, step: Step, digest: &str) -> bool {
        self.digests.get(&step).is_some_and(|known| known == digest)
    }

    /// Whether the state of a committed step is known to have another digest.
    pub(super) fn contradicts(&self, step: Step, digest: &str) -> bool {
        self.digests.get(&step).is_some_and(|known| known != digest)
    }

    /// The committed step whose state a returning worker has, or gets by a commit that it missed; `None` when its
    /// digests are not the agreed ones.
    pub(super) fn reachable(&self, position: &Position) -> Option<Step> {
        let vouched = |step, digest: &str| !digest.is_empty() && self.vouches_for(step, digest);
        let next = position.step.next();
        if vouched(next, &position.shadow_digest) {
            return Some(next);
        }
        vouched(position.step, &position.state_digest).then_some(position.step)
    }

    /// Takes a worker's digest as that of the committed state, which nobody has hashed before.
    pub(super) fn begins_with(&mut self, digest: &str) {
        self.state_digest = Some(digest.to_owned());
        self.digests.insert(self.committed, digest.to_owned());
    }

    /// All members agree on the state after `step`.
    pub(super) fn commit(&mut self, step: Step, digest: String, now: Duration) {
        self.digests.insert(step, digest.clone());
        (self.committed, self.state_digest) = (step, Some(digest));
        self.committed_at = now;
    }

    /// Makes another step the committed one, back or forward.
    pub(super) fn go_on_from(&mut self, step: Step, digest: Option<String>) {
        if let Some(digest) = &digest {
            self.digests.insert(step, digest.clone());
        }
        (self.committed, self.state_digest) = (step, digest);
    }

    /// Notes that these classes computed something of a step.
    pub(super) fn computed_by(&mut self, classes: &BTreeSet<String>, step: Step) {
        self.device_classes_by_step.took(classes, step);
    }

    /// Device classes with a part in this step or a later one.
    pub(super) fn device_classes_from(&self, step: Step) -> BTreeSet<String> {
        self.device_classes_by_step.from(step)
    }

    /// Forgets what came after the committed step: the run takes another course.
    pub(super) fn void_later(&mut self) {
        let step = self.committed;
        self.device_classes_by_step.void_after(step);
        self.digests.retain(|at, _| *at <= step);
    }
}
