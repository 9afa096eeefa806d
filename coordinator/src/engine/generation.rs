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
use super::members::{Member, MemberState};
use super::notice::Notice;

impl Engine {
    pub(super) fn form_generation(&mut self) {
        let committed = self.committed;
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
            self.notice_once(Notice::Spare {
                workers: spare.to_vec(),
                max_workers: self.options.max_workers,
            });
        }
        if joining.is_empty() && self.working() > 0 {
            return;
        }
        let taken = u32::try_from(self.working()).unwrap_or(u32::MAX);
        for (slot, worker) in (taken..).zip(joining) {
            self.set_state(worker, MemberState::Working { slot: Slot(slot) });
            if let Some(member) = self.members.get_mut(worker) {
                member.sync_tries = 0;
            }
        }
        self.next_generation();
        self.report_devices();
    }

    /// Tells every member its peers, under a new number: the difference to a member that knows the generation before,
    /// the whole list to any other.
    pub(super) fn next_generation(&mut self) {
        let before = self.generation;
        self.generation = before.next();
        let working = self.members.working();
        for (slot, worker) in (0..).zip(working.iter()) {
            let slot = Slot(slot);
            let moves = |m: &Member| *m.state() != MemberState::Working { slot };
            if self.members.get(worker).is_some_and(moves) {
                self.set_state(worker, MemberState::Working { slot });
            }
        }
        let change = self.change_since(before, &working);
        let all = self.listed(&working, |_| true);
        for worker in working.iter() {
            let Some(member) = self.members.get_mut(worker) else {
                continue;
            };
            let knows = member.told_generation.replace(self.generation) == Some(before);
            let members = match &change {
                Some(change) if knows => change.clone(),
                _ => MemberChange {
                    members: all.clone(),
                    ..MemberChange::default()
                },
            };
            self.send(worker, ToWorker::Members(members));
        }
        let classes = self.classes_at_work();
        self.device_classes_by_step
            .took(&classes, self.committed.next());
        let incarnation = |w: &WorkerId| self.members.get(w).map(|m| m.hello.incarnation.clone());
        self.out.push(Command::Members(MemberSet {
            generation: self.generation,
            incarnations: working.iter().filter_map(incarnation).collect(),
            device_classes: classes,
            workers: working.to_vec(),
        }));
        self.newest_member_set = (self.generation, working.to_vec());
        let (generation, workers) = (self.generation, working.len());
        self.notice(Notice::Generation {
            generation,
            workers,
        });
    }

    /// The difference to the generation before; `None` where its members are not known or the slots have moved.
    fn change_since(&self, before: Generation, working: &[WorkerId]) -> Option<MemberChange> {
        let (generation, old) = &self.newest_member_set;
        if *generation != before {
            return None;
        }
        let (was, is): (BTreeSet<_>, BTreeSet<_>) =
            (old.iter().collect(), working.iter().collect());
        // A member that left and came again in between has another slot.
        let stayed = old.iter().filter(|w| is.contains(w));
        if !stayed.eq(working.iter().take_while(|w| was.contains(w))) {
            return None;
        }
        Some(MemberChange {
            since: Some(before),
            left: old.iter().filter(|w| !is.contains(w)).cloned().collect(),
            members: self.listed(working, |worker| !was.contains(worker)),
        })
    }

    fn listed(
        &self,
        working: &[WorkerId],
        which: impl Fn(&WorkerId) -> bool,
    ) -> Vec<message::Member> {
        let placed = (0..).zip(working).filter(|(_, worker)| which(worker));
        placed
            .filter_map(|(slot, worker)| {
                Some(message::Member {
                    worker: worker.clone(),
                    slot: Slot(slot),
                    peer_address: self.members.get(worker)?.hello.peer_address.clone(),
                })
            })
            .collect()
    }

    fn report_devices(&mut self) {
        let classes: BTreeSet<_> = self
            .members
            .values()
            .filter(|m| m.is_working())
            .map(|m| m.device_class.clone())
            .collect();
        if classes.len() > 1 {
            self.notice_once(Notice::MixedDevices {
                classes: classes.into_iter().collect(),
            });
        }
    }
}
