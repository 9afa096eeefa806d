//! One step: deal, credit, reduce, commit, and what happens when a member is lost in between.

use std::collections::{BTreeMap, BTreeSet};

use shared::error::{Code, Error};
use shared::ids::{Attempt, Identity, WorkerId};
use shared::numerics::Fingerprint;
use shared::wire::message::{Applied, Computed, Failed, ToWorker};

use super::Engine;
use super::event::{Command, Committed};
use super::notice::Notice;
use super::state::{Credited, Phase, StepWork};

/// How often one step's reduce is tried in an unchanged member set before the culprit goes.
const REDUCE_RETRIES: u32 = 2;

/// So many skipped steps in a row end the run.
const SKIPS_IN_A_ROW: u32 = 3;

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
        if working.len() > busy && self.idle_told != Some(self.generation) {
            self.idle_told = Some(self.generation);
            let workers = working.iter().skip(busy).cloned().collect();
            self.notice(Notice::Idle {
                workers,
                micro_batches,
            });
        }
        self.deal(&working);
    }

    fn deal(&mut self, workers: &[WorkerId]) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        for (worker, micro_batches) in work.deal(workers) {
            self.send(&worker, ToWorker::Assign(micro_batches));
        }
    }

    /// Credits a result that is still wanted. A result of an earlier generation counts as long as
    /// its assignment stands: the integers do not depend on who else is a member.
    pub(super) fn computed(&mut self, worker: &WorkerId, identity: &Identity, result: Computed) {
        let current = identity.term == self.options.term
            && identity.step == self.committed.next()
            && identity.generation <= self.generation;
        let Phase::Computing(work) = &mut self.phase else {
            self.send(worker, ToWorker::Stale(identity.clone()));
            return;
        };
        if !current || work.assigned.get(&result.micro_batch) != Some(worker) {
            self.send(worker, ToWorker::Stale(identity.clone()));
            return;
        }
        work.assigned.remove(&result.micro_batch);
        let credited = Credited {
            worker: worker.clone(),
            fingerprint: result.fingerprint,
        };
        work.credited.insert(result.micro_batch, credited);
        *work.compute_us.entry(worker.clone()).or_default() += result.compute_us;
        self.send(worker, ToWorker::Credit(vec![result.micro_batch]));
        self.deal(std::slice::from_ref(worker));
        self.reduce_when_covered();
    }

    fn reduce_when_covered(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        if !work.is_covered() {
            return;
        }
        let work = std::mem::take(work);
        let fingerprint = expected_fingerprint(&work);
        self.phase = Phase::Reducing {
            work,
            applied: BTreeMap::new(),
            retries: 0,
        };
        self.send_working(&ToWorker::Reduce { fingerprint });
    }

    pub(super) fn applied(&mut self, worker: &WorkerId, identity: &Identity, report: Applied) {
        if *identity != self.identity() {
            self.send(worker, ToWorker::Stale(identity.clone()));
            return;
        }
        let Phase::Reducing { applied, .. } = &mut self.phase else {
            return;
        };
        applied.insert(worker.clone(), report);
        self.commit_when_agreed();
    }

    fn commit_when_agreed(&mut self) {
        let working: BTreeSet<_> = self.working_ids().into_iter().collect();
        let Phase::Reducing { work, applied, .. } = &mut self.phase else {
            return;
        };
        if working.is_empty() || !working.iter().all(|w| applied.contains_key(w)) {
            return;
        }
        let work = std::mem::take(work);
        let applied = std::mem::take(applied);
        let Some(first) = applied.values().next().cloned() else {
            return;
        };
        let dissenters: Vec<_> = applied
            .iter()
            .filter(|(_, a)| !agrees(a, &first))
            .map(|(w, a)| format!("{w} has {}", a.state_digest))
            .collect();
        let expected = expected_fingerprint(&work);
        if !dissenters.is_empty() || first.fingerprint != expected {
            let step = self.committed.next();
            let mut error = Error::new(
                Code::ReplicasDisagree,
                format!("step {step}: the replicas disagree"),
            );
            if first.fingerprint != expected {
                error = error.why("the reduced total is not the sum of the credited gradients");
            }
            for dissenter in dissenters {
                error = error.why(dissenter);
            }
            self.fail(error.fix("start again: the run goes on from its newest checkpoint"));
            return;
        }
        self.commit(&work, &applied, first);
    }

    fn commit(&mut self, work: &StepWork, applied: &BTreeMap<WorkerId, Applied>, agreed: Applied) {
        self.send_working(&ToWorker::Commit {
            state_digest: agreed.state_digest.clone(),
        });
        self.committed = self.committed.next();
        self.state_digest = Some(agreed.state_digest.clone());
        let slowest = |of: fn(&Applied) -> u64| applied.values().map(of).max().unwrap_or(0);
        let committed = Committed {
            step: self.committed,
            loss: agreed.loss,
            grad_norm: agreed.grad_norm,
            skipped: agreed.skipped,
            state_digest: agreed.state_digest,
            contributions: work.contributions(),
            peer_bytes_sent: applied
                .iter()
                .map(|(w, a)| (w.clone(), a.peer_bytes_sent.clone()))
                .collect(),
            slowest_us: (slowest(|a| a.reduce_us), slowest(|a| a.apply_us)),
            compute_us: work.compute_us.clone(),
        };
        self.out.push(Command::Commit(Box::new(committed)));
        self.phase = Phase::Gathering;
        if agreed.skipped {
            self.skipped_in_a_row += 1;
            self.notice(Notice::Skipped {
                step: self.committed,
            });
            if self.skipped_in_a_row >= SKIPS_IN_A_ROW {
                let error = Error::new(
                    Code::NotFinite,
                    format!("{SKIPS_IN_A_ROW} steps in a row had values that are not finite"),
                )
                .why(format!(
                    "the last one is step {}; none of them was applied",
                    self.committed
                ))
                .fix("--set learning_rate=SMALLER, or look at the data of these steps");
                self.fail(error);
                return;
            }
        } else {
            self.skipped_in_a_row = 0;
        }
        let due = self
            .committed
            .0
            .is_multiple_of(self.options.save_steps.max(1));
        if due && self.committed.0 < self.schedule.total_steps() {
            self.write_checkpoint();
        }
    }

    /// A member of the generation is gone: survivors keep their sums and finish the step.
    pub(super) fn working_member_left(&mut self, worker: &WorkerId) {
        let survivors = self.working_ids();
        if survivors.is_empty() {
            if matches!(self.phase, Phase::Computing(_) | Phase::Reducing { .. }) {
                self.phase = Phase::Gathering;
            }
            return;
        }
        match &mut self.phase {
            Phase::Reducing { applied, .. }
                if survivors.iter().all(|s| applied.contains_key(s)) =>
            {
                self.generation = self.generation.next();
                self.announce_members();
                self.commit_when_agreed();
            }
            Phase::Reducing { work, .. } => {
                let mut work = std::mem::take(work);
                work.give_back(worker);
                self.attempt = self.attempt.next();
                self.go_on(work, &survivors);
            }
            Phase::Computing(work) => {
                let mut work = std::mem::take(work);
                work.give_back(worker);
                self.go_on(work, &survivors);
            }
            Phase::Gathering | Phase::Finishing => {
                self.generation = self.generation.next();
                self.announce_members();
            }
            Phase::Over => {}
        }
    }

    fn go_on(&mut self, work: StepWork, survivors: &[WorkerId]) {
        self.generation = self.generation.next();
        self.phase = Phase::Computing(work);
        self.announce_members();
        self.deal(survivors);
        self.reduce_when_covered();
    }

    /// A reduce failed although its members live: try again, then without the culprit.
    pub(super) fn reduce_failed(&mut self, worker: &WorkerId, identity: &Identity, failed: Failed) {
        if *identity != self.identity() {
            return;
        }
        let step = self.committed.next();
        let Phase::Reducing {
            work,
            applied,
            retries,
        } = &mut self.phase
        else {
            return;
        };
        if *retries >= REDUCE_RETRIES {
            let culprit = failed.culprit.filter(|c| self.members.contains_key(c));
            let culprit = culprit.unwrap_or_else(|| worker.clone());
            let error = Error::new(
                Code::Evicted,
                format!("step {step}: the all-reduce failed with this worker again and again"),
            )
            .why(failed.error.to_string())
            .fix("check the network between the workers (--advertise), then join again");
            self.refuse(&culprit, error);
            return;
        }
        *retries += 1;
        applied.clear();
        let fingerprint = expected_fingerprint(work);
        self.attempt = self.attempt.next();
        self.generation = self.generation.next();
        self.notice(Notice::ReduceAgain {
            step,
            reason: failed.error.to_string(),
        });
        self.announce_members();
        self.send_working(&ToWorker::Reduce { fingerprint });
    }
}

fn expected_fingerprint(work: &StepWork) -> u64 {
    let sum = work
        .credited
        .values()
        .map(|c| Fingerprint(c.fingerprint))
        .fold(Fingerprint(0), |sum, next| sum + next);
    sum.0
}

fn agrees(one: &Applied, other: &Applied) -> bool {
    one.state_digest == other.state_digest
        && one.fingerprint == other.fingerprint
        && one.loss == other.loss
        && one.grad_norm.to_bits() == other.grad_norm.to_bits()
        && one.skipped == other.skipped
}
