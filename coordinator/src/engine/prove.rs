//! A joiner proves another state than the agreed one: is the joiner to blame, or its source?
//!
//! A peer that served the state hashes its own committed state again and is a source for nobody until it has: when that
//! state is spoiled the peer is evicted by name. The joiner takes the state from another member, a few times. A
//! checkpoint is read whole by the coordinator: when it does not hold what the ledger says it is set aside, and the one
//! before it is taken.

use shared::error::{Code, Error, Result, render};
use shared::ids::{Step, WorkerId};
use shared::wire::message::{SyncSource, ToWorker};

use super::Engine;
use super::checkpoints::Verifying;
use super::members::{Member, MemberState};
use super::notice::Notice;

/// Number of times a joiner may prove another state than the agreed one.
const WRONG_PROOFS: usize = 3;

impl Engine {
    pub(super) fn proves_another(
        &mut self,
        worker: &WorkerId,
        step: Step,
        digest: &str,
        agreed: &str,
    ) {
        if self.begins_otherwise(worker, step, digest) {
            return;
        }
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.wrong_proofs += 1;
        let reason = match &member.sync_source {
            _ if member.wrong_proofs > WRONG_PROOFS => None,
            Some(SyncSource::Peer(_)) => Some("what it got has another digest"),
            // Before step 1 each worker draws the first adapter, and unlike devices draw unlike ones.
            Some(SyncSource::Initial) if !self.options.strict_devices => {
                Some("its device draws another first adapter: it takes the agreed one")
            }
            _ => None,
        };
        let source = member.sync_source.clone();
        if let Some(SyncSource::Peer(address)) = &source {
            self.ask_for_proof(address);
        }
        if let Some(SyncSource::Checkpoint(folder)) = &source {
            let stands = self.checkpoints.in_folder(folder).is_some();
            // A checkpoint that was set aside meanwhile accuses no worker, whether another took its place or not.
            let told = self.members.get(worker).map(|m| match *m.state() {
                MemberState::Syncing { since, .. } => since,
                _ => m.last_proof,
            });
            if self.checkpoints.was_published_after(step, told) {
                self.members.clear_of_wrong_proofs(worker);
                return;
            }
            let begun = self.checkpoints.origin.as_ref();
            if !stands && begun.is_none_or(|o| Some(&o.source) != source.as_ref()) {
                self.members.clear_of_wrong_proofs(worker);
                return;
            }
            if self.verify_accused(step, worker, digest) {
                return;
            }
        }
        let Some(reason) = reason else {
            let error = Error::new(
                Code::ReplicasDisagree,
                format!("the worker's state of step {step} differs from the others'"),
            )
            .why(format!("it has {digest}, the run has `{agreed}`"))
            .fix("all workers must run the same build on the same device class")
            .fix("if they do: check this machine's memory and disk before it joins again");
            self.refuse(worker, error);
            return;
        };
        self.members.set_state(worker, MemberState::Loaded);
        self.outbox.notice(Notice::SyncAgain {
            worker: worker.clone(),
            reason: reason.into(),
        });
    }

    /// Takes a joiner's first adapter as the agreed one, where no worker holds the agreed one any more: the adapter is
    /// drawn, and unlike devices draw unlike ones. Steps that followed from the other first adapter are a course that
    /// the run leaves.
    fn begins_otherwise(&mut self, worker: &WorkerId, step: Step, digest: &str) -> bool {
        let drawn = self
            .members
            .get(worker)
            .and_then(|m| m.sync_source.as_ref())
            == Some(&SyncSource::Initial);
        let alone = !self.holders().anybody(step) && !self.members.somebody_is_on_its_way();
        let may = !self.options.strict_devices
            && self.states.committed == step
            && self.checkpoints.stored.is_empty();
        if !drawn || !alone || !may {
            return false;
        }
        self.states.begins_with(digest);
        let follows = false;
        self.members
            .set_state(worker, MemberState::Ready { step, follows });
        true
    }

    fn ask_for_proof(&mut self, address: &str) {
        let deadline = self.now + self.reduce_patience();
        let committed = self.states.committed;
        let holds = |m: &Member| m.hello.peer_address == address && m.has_state(committed);
        let source = self.members.those(|_, m| holds(m)).into_iter().next();
        let Some(source) = source else { return };
        if let Some(member) = self.members.get_mut(&source)
            && member.proof_deadline.is_none()
        {
            member.proof_deadline = Some(deadline);
            self.send(&source, ToWorker::Prove);
        }
    }

    /// A member has hashed its committed state.
    pub(super) fn proved(&mut self, worker: &WorkerId, step: Step, digest: &str) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.proof_deadline = None;
        if member.drain_deadline.is_some() && !member.has_state(self.states.committed) {
            self.proved_in_leaving(worker, step, digest);
            return;
        }
        if self.states.contradicts(step, digest) {
            self.evict_as_corrupt(worker, "its committed state changed in memory");
        }
    }

    /// Removes workers that do not hash their state in time.
    pub(super) fn proof_overdue(&mut self) {
        let now = self.now;
        let late = |m: &Member| m.proof_deadline.is_some_and(|deadline| now > deadline);
        for worker in self.members.those(|_, m| late(m)) {
            self.left(
                &worker,
                "it did not hash its committed state in time".into(),
            );
        }
    }

    /// A worker restored another state from a checkpoint than the recorded one: orders the checkpoint verified. False
    /// when another is being verified, or when this is no checkpoint of this run.
    fn verify_accused(&mut self, step: Step, worker: &WorkerId, digest: &str) -> bool {
        let accused = (worker.clone(), digest.to_owned());
        if let Some(verifying) = &mut self.checkpoints.verifying {
            let same = verifying.stored.step == step;
            if same {
                verifying.accusers.push(accused);
                self.members.set_state(worker, MemberState::Loaded);
            }
            return same;
        }
        let Some(stored) = self.checkpoints.stored.get(&step).cloned() else {
            return false;
        };
        self.members.set_state(worker, MemberState::Loaded);
        self.checkpoints
            .verify(stored, vec![accused], &mut self.outbox);
        true
    }

    /// A worker could not even read the checkpoint it was to take the state from.
    pub(super) fn look_through_its_source(&mut self, worker: &WorkerId) {
        let Some(member) = self.members.get(worker) else {
            return;
        };
        let takes = matches!(member.state(), MemberState::Syncing { .. });
        let folder = match &member.sync_source {
            Some(SyncSource::Checkpoint(folder)) if takes => folder,
            _ => return,
        };
        let stored = self.checkpoints.in_folder(folder).cloned();
        if let Some(stored) = stored.filter(|_| self.checkpoints.verifying.is_none()) {
            self.checkpoints
                .verify(stored, Vec::new(), &mut self.outbox);
        }
    }

    /// The coordinator has verified a checkpoint: either it does not hold what the ledger says and is set aside, or the
    /// workers that accused it are refused.
    pub(super) fn verified(&mut self, step: Step, outcome: Result<()>) {
        let checked = |verifying: &mut Verifying| verifying.stored.step == step;
        let Some(Verifying { stored, accusers }) = self.checkpoints.verifying.take_if(checked)
        else {
            return;
        };
        if let Err(error) = outcome {
            // A checkpoint that cannot be read now may be whole: it is kept, and no worker is judged by it.
            if error.code != Code::Io {
                self.checkpoints
                    .set_aside(step, render(&error), &mut self.outbox);
            }
            for (worker, _) in accusers {
                if let Some(member) = self.members.get_mut(&worker) {
                    member.wrong_proofs = 0;
                }
            }
            return;
        }
        let committed = self.states.committed;
        for (worker, digest) in accusers {
            // The accuser may have got the agreed state from a member meanwhile.
            if self
                .members
                .get(&worker)
                .is_none_or(|m| m.has_state(committed))
            {
                continue;
            }
            let error = Error::new(
                Code::ReplicasDisagree,
                format!("the worker's state of step {step} differs from the others'"),
            )
            .why(format!(
                "it has {digest}, the run has `{}`",
                stored.state_digest
            ))
            .why("the checkpoint was looked through, and is what the ledger says")
            .fix("all workers must run the same build on the same device class")
            .fix("if they do: check this machine's memory and disk before it joins again");
            self.refuse(&worker, error);
        }
    }
}
