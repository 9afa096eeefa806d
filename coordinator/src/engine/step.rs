//! One step's compute: deal, credit, audit.

use shared::ids::{Identity, MicroBatchId, WorkerId};
use shared::wire::message::{Computed, Task, ToWorker};

use std::time::Duration;

use super::Engine;
use super::audit::{Audit, Verdict, is_audited};
use super::notice::Notice;
use super::state::{DEPTH, Phase};
use super::work::StepWork;
use shared::error::{Code, Error};
use shared::ids::Attempt;

impl Engine {
    pub(super) fn begin_step(&mut self) {
        let step = self.committed.next();
        if step.0 > self.schedule.total_steps() {
            self.phase = Phase::Finishing;
            self.write_checkpoint();
            return;
        }
        self.attempt = Attempt(0);
        let micro_batches = self.schedule.micro_batches(step);
        self.phase = Phase::Computing(StepWork::new(micro_batches));
        let working = self.working_ids();
        let busy = usize::try_from(micro_batches).unwrap_or(usize::MAX);
        if working.len() > busy {
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
        let (now, step) = (self.now, self.committed.next());
        let working = self.working_ids();
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
                if let Some(micro_batch) = work.assign(worker) {
                    member.give(step, micro_batch, Task::Train, now);
                    orders.push((worker.clone(), Task::Train, micro_batch));
                    continue;
                }
                let audit = work
                    .audits
                    .iter_mut()
                    .find(|(_, audit)| audit.next(worker, &working));
                if let Some((micro_batch, audit)) = audit {
                    audit.asked = Some(worker.clone());
                    member.give(step, *micro_batch, Task::Audit, now);
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
        let (id, task) = (result.micro_batch, result.task);
        let expected =
            identity.term == self.options.term && member.answered(identity.step, id, task, now);
        if expected {
            member.pace.record(Duration::from_micros(result.compute_us));
        }
        let wanted = expected && identity.step == step;
        let counts = wanted
            && match task {
                Task::Train => self.credit(worker, result),
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
        let (rate, workers) = (self.options.audit_rate, self.working());
        let Phase::Computing(work) = &mut self.phase else {
            return false;
        };
        let id = result.micro_batch;
        let Some(others) = work.credit(id, worker, result.fingerprint) else {
            return false;
        };
        *work.compute_us.entry(worker.clone()).or_default() += result.compute_us;
        if workers > 1 && is_audited(rate, step, id) {
            let audit = Audit::new(worker.clone(), result.fingerprint);
            work.audits.insert(id, audit);
        }
        self.send(worker, ToWorker::Credit(vec![id]));
        for other in others {
            self.send(&other, ToWorker::Withdraw(vec![id]));
        }
        true
    }

    /// Takes a second computation in; a disagreement is pursued until somebody is proved wrong.
    fn audited(&mut self, worker: &WorkerId, id: MicroBatchId, fingerprint: u64) -> bool {
        let working = self.working_ids();
        let step = self.committed.next();
        let Phase::Computing(work) = &mut self.phase else {
            return false;
        };
        let Some(audit) = work.audits.get_mut(&id) else {
            return false;
        };
        if audit.asked.as_ref() != Some(worker) {
            return false;
        }
        audit.claim(worker, fingerprint);
        match audit.verdict(&working) {
            Verdict::Open => {}
            Verdict::Undecided => {
                let error = Error::new(
                    Code::WrongCompute,
                    format!("step {step}: two workers compute micro-batch {id} differently"),
                )
                .why(audit.describe())
                .why("with only these two nobody can tell which of them is wrong")
                .fix("start again with a third worker, or without one of them");
                self.fail(error);
            }
            Verdict::Settled { culprits } => {
                let claims = audit.describe();
                work.audits.remove(&id);
                for culprit in culprits {
                    self.evict_as_wrong(&culprit, id, &claims);
                }
            }
        }
        true
    }

    fn evict_as_wrong(&mut self, culprit: &WorkerId, id: MicroBatchId, claims: &str) {
        let step = self.committed.next();
        let error = Error::new(
            Code::WrongCompute,
            format!("step {step}: {culprit} computed micro-batch {id} wrongly"),
        )
        .why(format!("fingerprints: {claims}"))
        .fix("check this machine's memory and device before it joins again");
        self.refuse(culprit, error);
    }

    /// What a worker did not begin is no longer its own: it goes to somebody else, unless it is
    /// credited already.
    pub(super) fn skipped(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        list: &[MicroBatchId],
    ) {
        let (now, step) = (self.now, self.committed.next());
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        for id in list {
            let trains = member.answered(identity.step, *id, Task::Train, now);
            let audits = member.answered(identity.step, *id, Task::Audit, now);
            let Phase::Computing(work) = &mut self.phase else {
                continue;
            };
            if identity.step != step {
                continue;
            }
            if trains {
                work.withdraw(*id, worker);
            }
            let audit = work.audits.get_mut(id).filter(|_| audits);
            if let Some(audit) = audit.filter(|a| a.asked.as_ref() == Some(worker)) {
                audit.asked = None;
            }
        }
        self.deal();
        self.reduce_when_covered();
    }
}
