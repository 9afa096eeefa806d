//! The compute of one step: deals micro-batches to members and credits their results.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::{Attempt, Identity, MicroBatchId, WorkerId};
use shared::wire::message::{Computed, Task, ToWorker};

use super::Engine;
use super::audit::{Audit, is_audited};
use super::members::{DEPTH, Members, Outstanding};
use super::notice::Notice;
use super::state::Phase;
use super::work::StepWork;

/// Refused assignments in a row after which a worker must hold another state than it should. A few refusals are normal:
/// a micro-batch was withdrawn from the worker and dealt to it again meanwhile.
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
            self.store_owed();
            self.finish_when_stored();
            return;
        }
        // An evaluation and the step after it share a step number: the evaluation has the lower attempts.
        self.step.attempt = if !evaluates && self.evaluations.are_of(self.states.committed) {
            self.step.attempt.next()
        } else {
            Attempt(0)
        };
        let work = self.next_work();
        let micro_batches = u32::try_from(work.pool.len()).unwrap_or(u32::MAX);
        self.phase = Phase::Computing(work);
        let working = self.members.working();
        let busy = usize::try_from(micro_batches).unwrap_or(usize::MAX);
        if working.len() > busy && !evaluates {
            self.outbox.notice_once(Notice::Idle {
                workers: working.iter().skip(busy).cloned().collect(),
                micro_batches,
            });
        }
        self.deal();
        // A step without micro-batches does not exist; a covered one is reduced at once.
        self.reduce_when_covered();
    }

    /// Hands out micro-batches until each free worker holds [`DEPTH`], one each in turn; then audits; then
    /// micro-batches that are late elsewhere.
    pub(super) fn deal(&mut self) {
        if !matches!(self.phase, Phase::Computing(_)) {
            return;
        }
        let working = self.members.working();
        self.deal_to(&working);
        self.relieve();
    }

    /// Hands out micro-batches and audits to some of the members, without straggler relief.
    fn deal_to(&mut self, workers: &[WorkerId]) {
        let (now, at, beat) = (self.now, self.identity(), self.options.timeouts.beat);
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        for (worker, order) in dealt(work, &mut self.members, workers, &at, (now, beat)) {
            self.send(&worker, order);
        }
    }

    /// Credits a result that is still wanted. A result of an earlier generation counts as long as
    /// its assignment stands: the integers do not depend on who else is a member.
    pub(super) fn computed(&mut self, worker: &WorkerId, identity: &Identity, result: &Computed) {
        let (now, step) = (self.now, self.states.committed.next());
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.skips = 0;
        let (id, task) = (result.micro_batch, result.task);
        let expected = match identity.term == self.options.term {
            true => member.answered(identity, id, task, now),
            false => None,
        };
        // A result that the worker had kept has no compute time.
        if let Some(Outstanding { cost, .. }) = &expected
            && result.compute_us > 0
        {
            let time = Duration::from_micros(result.compute_us);
            member.pace.record(*cost, time);
        }
        let wanted = expected.is_some() && identity.step == step;
        let counts = wanted
            && match task {
                Task::Train | Task::Evaluate => self.credit(worker, result),
                Task::Audit => self.audited(worker, id, result.fingerprint),
            };
        if !counts {
            self.send(worker, ToWorker::Stale(identity.clone()));
        }
        let audits = matches!(&self.phase, Phase::Computing(work) if !work.audits.is_empty());
        if audits {
            // An open audit may need an idle member's second opinion.
            self.deal();
        } else {
            self.deal_to(std::slice::from_ref(worker));
            self.relieve_if_idle(worker);
        }
        self.reduce_when_covered();
    }

    fn credit(&mut self, worker: &WorkerId, result: &Computed) -> bool {
        let step = self.states.committed.next();
        let rate = self.options.audit_rate;
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
        if drawn {
            work.audits.insert(id, audit);
        }
        self.send(worker, ToWorker::Credit(task, vec![id]));
        for other in others {
            self.send(&other, ToWorker::Withdraw(task, vec![id]));
        }
        true
    }

    /// Takes back assignments that a worker did not begin: they go to other workers, unless they are credited already.
    pub(super) fn skipped(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        task: Task,
        list: &[MicroBatchId],
    ) {
        let (now, step) = (self.now, self.states.committed.next());
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        for id in list {
            let answered = member.answered(identity, *id, task, now).is_some();
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
            if let Some(audit) = audit.filter(|a| a.asked_worker.as_ref() == Some(worker)) {
                audit.asked_worker = None;
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

/// Gives micro-batches and audits to workers, and returns what each is told.
fn dealt(
    work: &mut StepWork,
    members: &mut Members,
    workers: &[WorkerId],
    at: &Identity,
    (now, beat): (Duration, Duration),
) -> Vec<(WorkerId, ToWorker)> {
    let task = work.task;
    // No worker is asked for a second opinion before every micro-batch is dealt once.
    let classes = match work.audits.is_empty() {
        true => Vec::new(),
        false => members.working_classes(),
    };
    let mut dealt: BTreeMap<(usize, Task), Vec<MicroBatchId>> = BTreeMap::new();
    for depth in 1..=DEPTH {
        for (place, worker) in workers.iter().enumerate() {
            let Some(member) = members.get_mut(worker).filter(|m| m.is_free()) else {
                continue;
            };
            if member.outstanding.len() >= depth {
                continue;
            }
            if let Some(micro_batch) = work.assign(worker) {
                member.give(at, task, (micro_batch, work.cost(micro_batch)), now);
                dealt.entry((place, task)).or_default().push(micro_batch);
                continue;
            }
            let audit = work.audits.iter_mut().find(|(_, audit)| {
                let peers = audit.peers(&classes);
                let late = now > audit.last_opinion_at + beat;
                peers.len() > 1 && peers.contains(worker) && audit.next(worker, &peers, late)
            });
            if let Some((micro_batch, audit)) = audit {
                let micro_batch = *micro_batch;
                audit.asked_worker = Some(worker.clone());
                member.give(at, Task::Audit, (micro_batch, work.cost(micro_batch)), now);
                let audits = dealt.entry((place, Task::Audit)).or_default();
                audits.push(micro_batch);
            }
        }
    }
    let orders = dealt.into_iter().filter_map(|((place, task), list)| {
        let worker = workers.get(place)?;
        Some((worker.clone(), ToWorker::Assign(task, list)))
    });
    orders.collect()
}
