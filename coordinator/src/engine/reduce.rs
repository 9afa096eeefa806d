//! From the last credit to the totals: when a reduce begins, repeats, or loses somebody.

use shared::error::{Code, Error};
use shared::ids::{Identity, WorkerId};
use shared::wire::message::{Failed, ToWorker};

use super::Engine;
use super::notice::Notice;
use super::state::{Phase, Reducing};
use super::work::StepWork;

/// How often one step's reduce is tried in an unchanged member set before the culprit goes.
const REDUCE_RETRIES: u32 = 2;

impl Engine {
    pub(super) fn reduce_when_covered(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        if !work.is_covered() {
            return;
        }
        let work = std::mem::take(work);
        self.reduce(work, 0);
    }

    fn reduce(&mut self, work: StepWork, retries: u32) {
        let (task, fingerprint) = (work.task, work.total().0);
        self.phase = Phase::Reducing(Reducing {
            work,
            slots: self.working_ids(),
            retries,
            since: self.now,
            ..Reducing::default()
        });
        self.send_working(&ToWorker::Reduce { task, fingerprint });
    }

    /// A member of the generation is gone: survivors keep their sums and finish the step.
    pub(super) fn working_member_left(&mut self, worker: &WorkerId) {
        let survivors = self.working_ids();
        if survivors.is_empty() {
            if matches!(self.phase, Phase::Computing(_) | Phase::Reducing(_)) {
                self.phase = Phase::Gathering;
            }
            return;
        }
        match &mut self.phase {
            // Its part is in the total that all survivors have applied.
            Phase::Reducing(reducing)
                if reducing.again.is_none()
                    && survivors.iter().all(|s| reducing.applied.contains_key(s)) =>
            {
                self.next_generation();
                if survivors.len() == 1 {
                    // Nobody is left to agree with: it looks twice.
                    self.look_again();
                } else {
                    self.commit_when_agreed();
                }
            }
            Phase::Reducing(reducing) => {
                let work = std::mem::take(&mut reducing.work);
                self.go_on(work, worker);
            }
            Phase::Computing(work) => {
                let work = std::mem::take(work);
                self.go_on(work, worker);
            }
            Phase::Gathering | Phase::Finishing => self.next_generation(),
            Phase::Over | Phase::Recovering { .. } => {}
        }
    }

    /// The same step without one worker.
    fn go_on(&mut self, mut work: StepWork, without: &WorkerId) {
        work.give_back(without);
        for audit in work.audits.values_mut() {
            if audit.asked.as_ref() == Some(without) {
                audit.asked = None;
            }
        }
        self.attempt = self.attempt.next();
        self.phase = Phase::Computing(work);
        self.next_generation();
        self.judge_all();
        self.deal();
        self.reduce_when_covered();
    }

    /// A reduce failed although its members live: try again, then without the culprit.
    pub(super) fn reduce_failed(&mut self, worker: &WorkerId, identity: &Identity, failed: Failed) {
        if *identity != self.identity() {
            return;
        }
        let step = self.committed.next();
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        if reducing.retries >= REDUCE_RETRIES {
            let culprit = failed.culprit.filter(|c| self.members.contains_key(c));
            let culprit = culprit.unwrap_or_else(|| worker.clone());
            let error = Error::new(
                Code::Evicted,
                format!("step {step}: the all-reduce failed with {culprit} again and again"),
            )
            .why(failed.error.to_string())
            .fix("check the network between the workers (--advertise), then join again");
            self.refuse(&culprit, error);
            return;
        }
        let retries = reducing.retries + 1;
        let work = std::mem::take(&mut reducing.work);
        self.reduce_again(work, retries, failed.error.to_string());
    }

    pub(super) fn reduce_again(&mut self, work: StepWork, retries: u32, reason: String) {
        let step = self.committed.next();
        if retries > REDUCE_RETRIES * 2 {
            let error = Error::new(
                Code::Evicted,
                format!("step {step}: nobody can finish the all-reduce"),
            )
            .why(reason)
            .why("every member is alive, and none is the one to blame")
            .fix("check the network between the workers (--advertise), then start again");
            self.fail(error);
            return;
        }
        self.notice(Notice::ReduceAgain { step, reason });
        self.attempt = self.attempt.next();
        self.next_generation();
        self.reduce(work, retries);
    }

    /// A reduce that takes too long: who has not answered while others have is hung.
    pub(super) fn reduce_overdue(&mut self) {
        let patience = self.options.ladder.reduce_patience * 2;
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        if self.now.saturating_sub(reducing.since) <= patience {
            return;
        }
        let answered = |w: &WorkerId| match &reducing.again {
            Some(again) => again.contains_key(w),
            None => reducing.applied.contains_key(w),
        };
        let (done, missing): (Vec<_>, Vec<_>) =
            reducing.slots.iter().cloned().partition(|w| answered(w));
        if !done.is_empty() {
            let step = self.committed.next();
            for worker in missing {
                let notice = Notice::HungInReduce {
                    worker: worker.clone(),
                    step,
                };
                self.remove(&worker, notice);
            }
            return;
        }
        let retries = reducing.retries + 1;
        let work = std::mem::take(&mut reducing.work);
        self.reduce_again(work, retries, "nobody delivered a total in time".into());
    }
}
