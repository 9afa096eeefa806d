//! The polite leave: takes nothing more, what it has done still counts, goes at the boundary.
//!
//! A worker that has nothing in this step goes at once, any other with the commit, and whoever is
//! still there at its deadline is let go then. The last one that holds the state waits until it is
//! on storage.

use shared::ids::WorkerId;
use shared::wire::message::{Task, ToWorker};

use super::Engine;
use super::notice::Notice;
use super::state::Phase;

impl Engine {
    pub(super) fn drains(&mut self, worker: &WorkerId) {
        let deadline = self.now + self.options.ladder.drain;
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        if member.draining.is_some() {
            return;
        }
        member.draining = Some(deadline);
        let works = member.is_working();
        let task = match &self.phase {
            Phase::Computing(work) => work.task,
            _ => Task::Train,
        };
        // The first one is being computed; the rest goes to others.
        let queued: Vec<_> = member
            .outstanding
            .iter()
            .skip(1)
            .filter(|o| o.task == task)
            .map(|o| o.micro_batch)
            .collect();
        self.notice(Notice::Draining {
            worker: worker.clone(),
        });
        if !works {
            self.release(worker);
            return;
        }
        if let Phase::Computing(work) = &mut self.phase {
            for micro_batch in &queued {
                work.withdraw(*micro_batch, worker);
            }
            if !queued.is_empty() {
                self.send(worker, ToWorker::Withdraw(task, queued));
            }
        }
        self.deal();
        self.release_when_useless(worker);
    }

    /// In the middle of a step only somebody who has no part in it may go.
    fn release_when_useless(&mut self, worker: &WorkerId) {
        let Phase::Computing(work) = &self.phase else {
            return;
        };
        let has_part = work.credited.values().any(|c| c.worker == *worker)
            || work
                .assigned
                .values()
                .any(|holders| holders.contains(worker));
        if !has_part && self.working() > 1 {
            self.release(worker);
        }
    }

    /// At a boundary: lets drained workers go. False while the state has to be made safe first.
    pub(super) fn release_drained(&mut self) -> bool {
        let committed = self.committed;
        let draining: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.draining.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        if draining.is_empty() {
            return true;
        }
        let stays = self
            .members
            .values()
            .any(|m| m.draining.is_none() && m.has_state(committed));
        if !stays && !self.is_on_storage(committed) {
            let holds = draining
                .iter()
                .any(|w| self.members.get(w).is_some_and(|m| m.has_state(committed)));
            if holds {
                if self.writing.is_none() && self.write_again.is_none() {
                    self.write_checkpoint();
                }
                return false;
            }
        }
        for worker in draining {
            self.release(&worker);
        }
        true
    }

    pub(super) fn release_overdue(&mut self) {
        let now = self.now;
        let overdue: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.draining.is_some_and(|deadline| now > deadline))
            .map(|(id, _)| id.clone())
            .collect();
        for worker in overdue {
            self.release(&worker);
        }
    }

    fn release(&mut self, worker: &WorkerId) {
        self.send(worker, ToWorker::Release);
        self.remove(
            worker,
            Notice::Drained {
                worker: worker.clone(),
            },
        );
    }
}
