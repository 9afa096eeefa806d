//! Draining: a worker that asks to leave gets nothing more, its results still count, it is released at the boundary.
//!
//! A worker without a part in this step is released at once, any other with the commit or at its deadline, whatever it
//! computes. Keeps: the last holder of a state is not released before the state is on storage.

use std::collections::BTreeMap;

use shared::ids::{MicroBatchId, Step, WorkerId};
use shared::wire::message::{Task, ToWorker};

use super::Engine;
use super::members::{Member, MemberState};
use super::notice::Notice;
use super::state::Phase;

impl Engine {
    pub(super) fn drains(&mut self, worker: &WorkerId) {
        let deadline = self.now + self.options.timeouts.drain;
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        if member.drain_deadline.is_some() {
            return;
        }
        member.drain_deadline = Some(deadline);
        let works = member.is_working();
        let task = match &self.phase {
            Phase::Computing(work) => work.task,
            _ => Task::Train,
        };
        // The oldest assignment is being computed; the others go to other workers.
        let queued: Vec<_> = member
            .outstanding
            .iter()
            .skip(1)
            .filter(|o| o.task == task)
            .map(|o| o.micro_batch)
            .collect();
        self.outbox.notice(Notice::Draining {
            worker: worker.clone(),
        });
        // Who is the last holder can be judged only when the recovery is over.
        if matches!(self.phase, Phase::Recovering { .. }) {
            return;
        }
        if !works {
            self.release_unless_needed(worker);
            return;
        }
        if !self.members.somebody_stays() {
            self.abandon_step();
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

    /// Asks a draining worker that does not count which state it holds, where no staying worker holds the committed
    /// one: its last transfer may have been called off, or it came back in the middle of a step. Returns whether it was
    /// asked.
    fn may_hold_what_nobody_else_does(&mut self, worker: &WorkerId) -> bool {
        let committed = self.states.committed;
        let told = |m: &Member| m.sync_order.is_some() || m.hello.resume.is_some();
        let may = |m: &Member| {
            told(m) && !m.has_state(committed) && m.asked_what_it_holds != Some(committed)
        };
        let may = self.members.get(worker).is_some_and(may);
        if !may || self.checkpoints.is_on_storage(committed) || self.holders().somebody_stays() {
            return false;
        }
        let deadline = self.now + self.reduce_patience();
        if let Some(member) = self.members.get_mut(worker) {
            member.proof_deadline = Some(deadline);
            member.asked_what_it_holds = Some(committed);
        }
        self.send(worker, ToWorker::Prove);
        true
    }

    /// A draining worker has told which state it holds.
    pub(super) fn proved_in_leaving(&mut self, worker: &WorkerId, step: Step, digest: &str) {
        let agreed = self.states.vouches_for(step, digest);
        if step == self.states.committed && agreed {
            let follows = false;
            self.members
                .set_state(worker, MemberState::Ready { step, follows });
        }
        self.release_unless_last(worker);
    }

    /// All members drain: nobody could take the open micro-batches, and finishing them may take longer than the drain.
    /// Only the committed state must not be lost, so the run goes back to the boundary, and the members of a later
    /// generation compute the step anew. A total that is on its way is applied first.
    fn abandon_step(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            self.store_owed();
            return;
        };
        let work = std::mem::take(work);
        if work.task == Task::Train {
            self.step.abandon(self.states.committed.next(), &work);
        }
        self.phase = Phase::Gathering;
        for worker in self.members.working().iter() {
            let Some(member) = self.members.get_mut(worker) else {
                continue;
            };
            let open = std::mem::take(&mut member.outstanding);
            let mut by_task: BTreeMap<Task, Vec<MicroBatchId>> = BTreeMap::new();
            for one in open {
                by_task.entry(one.task).or_default().push(one.micro_batch);
            }
            for (task, list) in by_task {
                self.send(worker, ToWorker::Withdraw(task, list));
            }
            // The worker's sum counts for nothing: it takes part in no later reduce.
            let (step, follows) = (self.states.committed, false);
            self.members
                .set_state(worker, MemberState::Ready { step, follows });
        }
        self.store_owed();
    }

    /// In the middle of a step: releases the worker only if it has no part in the step.
    fn release_when_useless(&mut self, worker: &WorkerId) {
        let Phase::Computing(work) = &self.phase else {
            return;
        };
        let has_part = work.holders().contains(worker);
        if !has_part && self.working() > 1 {
            self.release_unless_needed(worker);
        }
    }

    /// At a boundary: releases the draining workers. False while a last holder must stay and no other worker that stays
    /// holds the committed state.
    pub(super) fn release_drained(&mut self) -> bool {
        let mut goes_on = true;
        for worker in self.members.those(|_, m| m.drain_deadline.is_some()) {
            goes_on &= self.release_unless_needed(&worker);
        }
        goes_on || self.holders().somebody_stays()
    }

    /// Releases the workers whose drain is over, whatever they compute; a last holder stays.
    pub(super) fn release_overdue(&mut self) {
        if matches!(self.phase, Phase::Recovering { .. }) {
            return;
        }
        let now = self.now;
        let late = |m: &Member| m.drain_deadline.is_some_and(|deadline| now > deadline);
        for worker in self.members.those(|_, m| late(m)) {
            self.release_unless_needed(&worker);
        }
    }

    /// Releases a worker unless it is or may be the last holder of a state: its exit code 6 promises that nothing was
    /// lost. Returns whether it was released.
    fn release_unless_needed(&mut self, worker: &WorkerId) -> bool {
        let asked = self
            .members
            .get(worker)
            .is_some_and(|m| m.proof_deadline.is_some());
        if asked || self.may_hold_what_nobody_else_does(worker) {
            self.store_owed();
            return false;
        }
        self.release_unless_last(worker)
    }

    fn release_unless_last(&mut self, worker: &WorkerId) -> bool {
        if self.is_the_last_holder(worker) {
            self.store_owed();
            return false;
        }
        self.send(worker, ToWorker::Release);
        self.remove(
            worker,
            Notice::Drained {
                worker: worker.clone(),
            },
        );
        true
    }
}
