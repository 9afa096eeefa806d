//! Which states the members keep in memory until they are on storage.
//!
//! In: the owed states. Out: which states each member keeps. Keeps: a member is believed to hold exactly the states
//! that it was told to keep, so that none is asked for a state that it may have dropped.

use std::collections::BTreeSet;

use shared::ids::{Step, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::members::Member;

impl Engine {
    /// Steps whose states the members must keep: the owed ones and the one that is being written.
    pub(super) fn kept(&self) -> BTreeSet<Step> {
        let mut keep = self.owed();
        keep.extend(self.checkpoints.writing.as_ref().map(|w| w.step));
        keep
    }

    /// Tells the members which states to keep, when that has changed.
    pub(super) fn retain_owed(&mut self) {
        let keep = self.kept();
        if keep == self.checkpoints.retained {
            return;
        }
        self.checkpoints.retained.clone_from(&keep);
        let committed = self.states.committed;
        let holds = |m: &Member| m.has_state(committed) || !m.retains.is_empty();
        for worker in self.members.those(|_, m| holds(m)) {
            self.retain(&worker, &keep);
        }
    }

    /// Tells a member to keep the states of these steps and no others, and believes it to hold no others from now on.
    pub(super) fn retain(&mut self, worker: &WorkerId, keep: &BTreeSet<Step>) {
        let committed = self.states.committed;
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.retains.retain(|step| keep.contains(step));
        if member.has_state(committed) && keep.contains(&committed) {
            member.retains.insert(committed);
        }
        let steps = keep.iter().copied().collect();
        self.send(worker, ToWorker::Retain(steps));
    }

    /// A worker that got the committed state after the members were told to keep it keeps it too.
    pub(super) fn retains_what_it_has(&mut self, worker: &WorkerId) {
        let retained = &self.checkpoints.retained;
        let member = self.members.get(worker);
        let Some(member) = member.filter(|_| retained.contains(&self.states.committed)) else {
            return;
        };
        let keep = retained.union(&member.retains).copied().collect();
        self.retain(worker, &keep);
    }
}
