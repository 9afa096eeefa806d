//! Which states the members keep in memory until they are on storage.
//!
//! In: what is owed. Out: who keeps what. Keeps: what a member is told to keep and what it is believed to hold are one,
//! so that nobody is asked for a state that it may have let go.

use std::collections::BTreeSet;

use shared::ids::{Step, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::members::Member;

impl Engine {
    /// The steps whose states the members keep.
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
        let committed = self.committed;
        let holds = |m: &Member| m.has_state(committed) || !m.retains.is_empty();
        for worker in self.members.those(|_, m| holds(m)) {
            self.retain(&worker, &keep);
        }
    }

    /// A member keeps these and nothing else. What it is told and what it is believed to hold are one: it is believed
    /// to hold nothing that it may let go.
    pub(super) fn retain(&mut self, worker: &WorkerId, keep: &BTreeSet<Step>) {
        let committed = self.committed;
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

    /// Somebody has got the committed state after the members were told to keep it: it keeps it too.
    pub(super) fn retains_what_it_has(&mut self, worker: &WorkerId) {
        let retained = &self.checkpoints.retained;
        let member = self.members.get(worker);
        let Some(member) = member.filter(|_| retained.contains(&self.committed)) else {
            return;
        };
        let keep = retained.union(&member.retains).copied().collect();
        self.retain(worker, &keep);
    }
}
