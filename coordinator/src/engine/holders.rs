//! Which workers hold the state of a committed step, in memory.
//!
//! In: the members, and the agreed digests. Out: the holders of a step, the best one to ask first. Keeps: a state
//! without an agreed digest cannot be proved, so nobody counts as its holder.

use shared::ids::{Step, WorkerId};

use super::Engine;
use super::committed::CommittedStates;
use super::members::{Member, Members};

/// Holders of committed states, as members and digests stand now.
#[derive(Clone, Copy)]
pub(super) struct Holders<'a> {
    members: &'a Members,
    states: &'a CommittedStates,
}

impl Engine {
    pub(super) fn holders(&self) -> Holders<'_> {
        Holders {
            members: &self.members,
            states: &self.states,
        }
    }
}

impl<'a> Holders<'a> {
    /// The workers that hold the state of a step: first those that are heard and stay, each group by slot.
    pub(super) fn of(self, step: Step) -> Vec<WorkerId> {
        let rank = |m: &Member| {
            let slot = m.slot();
            (m.suspect, m.drain_deadline.is_some(), slot.is_none(), slot)
        };
        let holders = self.holding(step).map(|(worker, m)| (rank(m), worker));
        let mut holders: Vec<_> = holders.collect();
        holders.sort_unstable();
        holders.into_iter().map(|(_, w)| w.clone()).collect()
    }

    pub(super) fn anybody(self, step: Step) -> bool {
        self.holding(step).next().is_some()
    }

    /// Whether there are holders of the committed state, and every one of them drains.
    pub(super) fn only_drain(self) -> bool {
        let mut holding = self.holding(self.states.committed).peekable();
        holding.peek().is_some() && holding.all(|(_, m)| m.drain_deadline.is_some())
    }

    /// Whether a worker that is heard and stays has the committed state as its newest.
    pub(super) fn somebody_stays(self) -> bool {
        let committed = self.states.committed;
        let mut members = self.members.values();
        members.any(|m| m.has_state(committed) && m.stays())
    }

    /// Whether the worker holds the state of a step, and no other that is heard and stays does.
    pub(super) fn is_the_last(self, worker: &WorkerId, step: Step) -> bool {
        let mut holds = false;
        for (holder, member) in self.holding(step) {
            if holder != worker && member.stays() {
                return false;
            }
            holds |= holder == worker;
        }
        holds
    }

    /// The workers that hold the state of a step, by name. Cheap, as a waiting run asks at every event for every owed
    /// step.
    fn holding(self, step: Step) -> impl Iterator<Item = (&'a WorkerId, &'a Member)> {
        let known = self.states.digests.contains_key(&step);
        let newest = step == self.states.committed;
        let holds =
            move |m: &Member| known && (newest && m.has_state(step) || m.retains.contains(&step));
        self.members.iter().filter(move |(_, m)| holds(m))
    }
}
