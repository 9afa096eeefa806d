//! A joiner proves another state than the agreed one: is it the joiner, or who served it?
//!
//! Whoever served it hashes its committed state again and is a source for nobody until it has: when
//! it is spoiled it goes, by name. The joiner takes the state from another member, a few times.

use shared::error::{Code, Error};
use shared::ids::{Step, WorkerId};
use shared::wire::message::{SyncSource, ToWorker};

use super::Engine;
use super::notice::Notice;

/// So often a joiner may prove another state than the agreed one.
const UNLIKE_TRIES: usize = 3;

impl Engine {
    pub(super) fn proves_another(
        &mut self,
        worker: &WorkerId,
        step: Step,
        digest: &str,
        agreed: &str,
    ) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.unlike += 1;
        let reason = match &member.source {
            _ if member.unlike > UNLIKE_TRIES => None,
            Some(SyncSource::Peer(_)) => Some("what it got has another digest"),
            // Before step 1 everybody draws the first adapter, and unlike devices draw unlike ones.
            Some(SyncSource::Initial) if !self.options.strict_devices => {
                Some("its device draws another first adapter: it takes the agreed one")
            }
            _ => None,
        };
        let source = member.source.clone();
        if let Some(SyncSource::Peer(address)) = source {
            self.ask_for_proof(&address);
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
        self.set_state(worker, super::state::MemberState::Loaded);
        self.notice(Notice::SyncAgain {
            worker: worker.clone(),
            reason: reason.into(),
        });
    }

    fn ask_for_proof(&mut self, address: &str) {
        let deadline = self.now + self.options.ladder.reduce_patience * 2;
        let committed = self.committed;
        let mut holders = self.members.iter_mut();
        let holds = |m: &super::Member| m.hello.peer_address == address && m.has_state(committed);
        let Some((source, member)) = holders.find(|(_, m)| holds(m)) else {
            return;
        };
        if member.proving.is_none() {
            member.proving = Some(deadline);
            let source = source.clone();
            self.send(&source, ToWorker::Prove);
        }
    }

    /// A member has hashed its committed state.
    pub(super) fn proved(&mut self, worker: &WorkerId, step: Step, digest: &str) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.proving = None;
        if self
            .digests
            .get(&step)
            .is_some_and(|agreed| agreed != digest)
        {
            self.evict_as_corrupt(worker, "its committed state changed in memory");
        }
    }

    /// Whoever does not even hash in time is hung.
    pub(super) fn proof_overdue(&mut self) {
        let now = self.now;
        let late = |m: &super::Member| m.proving.is_some_and(|deadline| now > deadline);
        let overdue: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| late(m))
            .map(|(id, _)| id.clone())
            .collect();
        for worker in overdue {
            self.left(
                &worker,
                "it did not hash its committed state in time".into(),
            );
        }
    }
}
