//! The members of a generation: formed at a step boundary, told to each of them as what has changed.
//!
//! In: who holds the committed state and may count. Out: slots, and the list under a new number. Keeps: a member that
//! knows the generation before is told the difference only, so that a message grows with the change and not with the
//! cluster.

use std::collections::BTreeSet;

use shared::ids::{Generation, Slot, WorkerId};
use shared::wire::message::{self, MemberChange, ToWorker};

use super::Engine;
use super::event::{Command, MemberSet};
use super::members::{Member, MemberState, Members};
use super::notice::Notice;

/// Versions of the member set.
#[derive(Debug)]
pub(super) struct Generations {
    pub(super) newest: Generation,
    /// Members of the newest generation by slot: the next one is told as the difference. `None` until this coordinator
    /// has formed one.
    member_set: Option<Vec<WorkerId>>,
}

impl Generations {
    /// Goes on after the newest generation in the ledger.
    pub(super) fn after(newest: Generation) -> Self {
        Self {
            newest,
            member_set: None,
        }
    }

    fn form(&mut self, member_set: Vec<WorkerId>) {
        self.newest = self.newest.next();
        self.member_set = Some(member_set);
    }

    /// The difference of a new member set to the newest one; `None` where its members are not known or the slots have
    /// moved.
    fn change_to(&self, working: &[WorkerId], members: &Members) -> Option<MemberChange> {
        let old = self.member_set.as_ref()?;
        let (was, is): (BTreeSet<_>, BTreeSet<_>) =
            (old.iter().collect(), working.iter().collect());
        // A member that left and came again in between has another slot.
        let stayed = old.iter().filter(|w| is.contains(w));
        if !stayed.eq(working.iter().take_while(|w| was.contains(w))) {
            return None;
        }
        Some(MemberChange {
            since: Some(self.newest),
            left: old.iter().filter(|w| !is.contains(w)).cloned().collect(),
            members: listed(working, members, |worker| !was.contains(worker)),
        })
    }
}

impl Engine {
    pub(super) fn form_generation(&mut self) {
        let committed = self.states.committed;
        let room = self.options.max_workers.saturating_sub(self.working());
        let at_hand: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.has_state(committed) && !m.is_working())
            .filter(|(_, m)| m.drain_deadline.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        let (joining, spare) = at_hand.split_at(at_hand.len().min(room));
        if !spare.is_empty() {
            self.outbox.notice_once(Notice::Spare {
                workers: spare.to_vec(),
                max_workers: self.options.max_workers,
            });
        }
        if joining.is_empty() && self.working() > 0 {
            return;
        }
        let taken = u32::try_from(self.working()).unwrap_or(u32::MAX);
        for (slot, worker) in (taken..).zip(joining) {
            self.members
                .set_state(worker, MemberState::Working { slot: Slot(slot) });
            if let Some(member) = self.members.get_mut(worker) {
                member.sync_tries = 0;
            }
        }
        self.next_generation();
        let classes = Vec::from_iter(self.members.classes_at_work());
        if classes.len() > 1 {
            self.outbox.notice_once(Notice::MixedDevices { classes });
        }
    }

    /// Tells every member its peers, under a new number: the difference to a member that knows the generation before,
    /// the whole list to any other.
    pub(super) fn next_generation(&mut self) {
        let working = self.members.working();
        for (slot, worker) in (0..).zip(working.iter()) {
            let slot = Slot(slot);
            let moves = |m: &Member| *m.state() != MemberState::Working { slot };
            if self.members.get(worker).is_some_and(moves) {
                self.members
                    .set_state(worker, MemberState::Working { slot });
            }
        }
        let change = self.generations.change_to(&working, &self.members);
        let all = listed(&working, &self.members, |_| true);
        let before = self.generations.newest;
        self.generations.form(working.to_vec());
        for worker in working.iter() {
            let Some(member) = self.members.get_mut(worker) else {
                continue;
            };
            let knows = member.told_generation.replace(self.generations.newest) == Some(before);
            let members = match &change {
                Some(change) if knows => change.clone(),
                _ => MemberChange {
                    members: all.clone(),
                    ..MemberChange::default()
                },
            };
            self.send(worker, ToWorker::Members(members));
        }
        let classes = self.members.classes_at_work();
        let step = self.states.committed.next();
        self.states.computed_by(&classes, step);
        let incarnation = |w: &WorkerId| self.members.get(w).map(|m| m.hello.incarnation.clone());
        self.outbox.push(Command::Members(MemberSet {
            generation: self.generations.newest,
            incarnations: working.iter().filter_map(incarnation).collect(),
            device_classes: classes,
            workers: working.to_vec(),
        }));
        let (generation, workers) = (self.generations.newest, working.len());
        self.outbox.notice(Notice::Generation {
            generation,
            workers,
        });
    }
}

fn listed(
    working: &[WorkerId],
    members: &Members,
    which: impl Fn(&WorkerId) -> bool,
) -> Vec<message::Member> {
    let placed = (0..).zip(working).filter(|(_, worker)| which(worker));
    placed
        .filter_map(|(slot, worker)| {
            Some(message::Member {
                worker: worker.clone(),
                slot: Slot(slot),
                peer_address: members.get(worker)?.hello.peer_address.clone(),
            })
        })
        .collect()
}
