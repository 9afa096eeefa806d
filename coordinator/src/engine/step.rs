//! One step's compute: deal and credit.

use shared::ids::{Identity, MicroBatchId, WorkerId};
use shared::wire::message::{Computed, Task, ToWorker};

use std::time::Duration;

use super::Engine;
use super::audit::{Audit, is_audited};
use super::notice::Notice;
use super::state::{DEPTH, Phase};
use shared::ids::Attempt;

/// A worker that would not begin so many assignments in a row holds another state than it should.
/// A few happen: what was withdrawn from it and came back to it meanwhile.
const SKIPS: usize = 8;

impl Engine {
    pub(super) fn begin_step(&mut self) {
        let evaluates = self.evaluation_due();
        if !evaluates && self.ends() && self.learned_nothing() {
            self.phase = Phase::Gathering;
            self.fail_safely();
            return;
        }
        if !evaluates && self.ends() {
            self.phase = Phase::Finishing;
            self.write_checkpoint();
            return;
        }
        // The evaluation before a step has the lower numbers.
        self.attempt = if !evaluates && self.evaluated == Some(self.committed) {
            self.attempt.next()
        } else {
            Attempt(0)
        };
        let work = self.next_work();
        let micro_batches = u32::try_from(work.pool.len()).unwrap_or(u32::MAX);
        self.phase = Phase::Computing(work);
        let working = self.working_ids();
        let busy = usize::try_from(micro_batches).unwrap_or(usize::MAX);
        if working.len() > busy && !evaluates {
            self.notice_once(Notice::Idle {
                workers: working.iter().skip(busy).cloned().collect(),
                micro_batches,
            });
        }
        self.deal();
        // A step without micro-batches does not exist; a covered one is reduced at once.
        self.reduce_when_covered();
    }

    /// Hands out micro-batches until each free worker holds [`DEPTH`], one each in turn; then
    /// audits; then what is late elsewhere.
    pub(super) fn deal(&mut self) {
        let (now, at) = (self.now, self.identity());
        let (working, classes) = (self.working_ids(), self.working_classes());
        let mut orders: Vec<(WorkerId, Task, MicroBatchId)> = Vec::new();
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        for depth in 1..=DEPTH {
            for worker in &working {
                let Some(member) = self.members.get_mut(worker).filter(|m| m.is_free()) else {
                    continue;
                };
                if member.outstanding.len() >= depth {
                    continue;
                }
                let task = work.task;
                if let Some(micro_batch) = work.assign(worker) {
                    member.give(&at, micro_batch, task, now);
                    orders.push((worker.clone(), task, micro_batch));
                    continue;
                }
                let audit = work.audits.iter_mut().find(|(_, audit)| {
                    let peers = audit.peers(&classes);
                    peers.contains(worker) && audit.next(worker, &peers)
                });
                if let Some((micro_batch, audit)) = audit {
                    audit.asked = Some(worker.clone());
                    member.give(&at, *micro_batch, Task::Audit, now);
                    orders.push((worker.clone(), Task::Audit, *micro_batch));
                }
            }
        }
        let mut dealt: Vec<(WorkerId, Task, Vec<MicroBatchId>)> = Vec::new();
        for (worker, task, micro_batch) in orders {
            match dealt.iter_mut().find(|d| d.0 == worker && d.1 == task) {
                Some(found) => found.2.push(micro_batch),
                None => dealt.push((worker, task, vec![micro_batch])),
            }
        }
        for (worker, task, micro_batches) in dealt {
            self.send(&worker, ToWorker::Assign(task, micro_batches));
        }
        self.relieve();
    }

    /// Credits a result that is still wanted. A result of an earlier generation counts as long as
    /// its assignment stands: the integers do not depend on who else is a member.
    pub(super) fn computed(&mut self, worker: &WorkerId, identity: &Identity, result: &Computed) {
        let (now, step) = (self.now, self.committed.next());
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.skips = 0;
        let (id, task) = (result.micro_batch, result.task);
        let expected =
            identity.term == self.options.term && member.answered(identity, id, task, now);
        if expected {
            member.pace.record(Duration::from_micros(result.compute_us));
        }
        let wanted = expected && identity.step == step;
        let counts = wanted
            && match task {
                Task::Train | Task::Evaluate => self.credit(worker, result),
                Task::Audit => self.audited(worker, id, result.fingerprint),
            };
        if !counts {
            self.send(worker, ToWorker::Stale(identity.clone()));
        }
        self.deal();
        self.reduce_when_covered();
    }

    fn credit(&mut self, worker: &WorkerId, result: &Computed) -> bool {
        let step = self.committed.next();
        let (rate, classes) = (self.options.audit_rate, self.working_classes());
        let Phase::Computing(work) = &mut self.phase else {
            return false;
        };
        let id = result.micro_batch;
        let task = work.task;
        if result.task != task {
            return false;
        }
        let Some(others) = work.credit(id, worker, result.fingerprint) else {
            return false;
        };
        *work.compute_us.entry(worker.clone()).or_default() += result.compute_us;
        let audit = Audit::new(worker.clone(), result.fingerprint);
        let drawn = task == Task::Train && is_audited(rate, step, id);
        if drawn && audit.peers(&classes).len() > 1 {
            work.audits.insert(id, audit);
        }
        self.send(worker, ToWorker::Credit(task, vec![id]));
        for other in others {
            self.send(&other, ToWorker::Withdraw(task, vec![id]));
        }
        true
    }

    /// What a worker did not begin is no longer its own: it goes to somebody else, unless it is
    /// credited already.
    pub(super) fn skipped(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        task: Task,
        list: &[MicroBatchId],
    ) {
        let (now, step) = (self.now, self.committed.next());
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        for id in list {
            let answered = member.answered(identity, *id, task, now);
            let Phase::Computing(work) = &mut self.phase else {
                continue;
            };
            if identity.step != step {
                continue;
            }
            if answered && task == work.task && work.withdraw(*id, worker) {
                member.skips += 1;
            }
            let audits = answered && task == Task::Audit;
            let audit = work.audits.get_mut(id).filter(|_| audits);
            if let Some(audit) = audit.filter(|a| a.asked.as_ref() == Some(worker)) {
                audit.asked = None;
            }
        }
        if member.skips > SKIPS {
            let reason = "it does not hold the state of this step".to_owned();
            self.left(worker, reason);
            return;
        }
        self.deal();
        self.reduce_when_covered();
    }
}
