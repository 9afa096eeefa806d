//! From the last credit to the totals: when a reduce begins, repeats, or loses somebody.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Identity, WorkerId};
use shared::wire::message::{Failed, ToWorker};

use super::Engine;
use super::audit::Audit;
use super::notice::Notice;
use super::state::{Phase, Reducing};
use super::work::StepWork;

/// How often one step's reduce is tried in an unchanged member set before the culprit goes.
const REDUCE_RETRIES: u32 = 2;
/// What clipping, updating and hashing one parameter may take: twenty times what it does on a slow core.
const APPLY_ONE: Duration = Duration::from_nanos(200);

impl Engine {
    pub(super) fn reduce_when_covered(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        // An audit stays open until somebody is there who can give a second opinion; without, there is none.
        let asks = |audits: &BTreeMap<_, Audit>| {
            let working = self.members.working_classes();
            audits.values().any(|audit| audit.has_peers(&working))
        };
        if !work.is_computed() || (!work.audits.is_empty() && asks(&work.audits)) {
            return;
        }
        let work = std::mem::take(work);
        self.reduce(work);
    }

    fn reduce(&mut self, work: StepWork) {
        let (task, fingerprint) = (work.task, work.total().0);
        self.phase = Phase::Reducing(Reducing::new(work, self.members.working(), self.now));
        self.send_working(&ToWorker::Reduce { task, fingerprint });
    }

    /// A member of the generation is gone: survivors keep their sums and finish the step.
    pub(super) fn working_member_left(&mut self) {
        let survivors = self.members.working();
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
                    && reducing.slices.is_none()
                    && survivors.iter().all(|s| reducing.has_reduced(s)) =>
            {
                self.next_generation();
                if survivors.len() == 1 {
                    // Nobody is left to agree with: it looks twice.
                    self.look_again();
                } else {
                    self.commit_when_agreed();
                }
            }
            Phase::Reducing(Reducing { work, .. }) | Phase::Computing(work) => {
                let work = std::mem::take(work);
                self.go_on(work);
            }
            Phase::Gathering | Phase::Finishing => self.next_generation(),
            Phase::Over | Phase::Recovering { .. } => {}
        }
    }

    /// The same step with those who are there: whoever is not takes its credits along, whenever it went.
    fn go_on(&mut self, mut work: StepWork) {
        work.keep_only(&self.members.working());
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
        // A total that does not cover the step is wrong for all: whoever noticed is not to blame for it.
        if failed.error.code == Code::Internal && failed.culprit.is_none() {
            reducing.unfit.insert(worker.clone());
            self.commit_when_agreed();
            return;
        }
        if reducing.work.retries >= REDUCE_RETRIES {
            let culprit = failed.culprit.filter(|c| self.members.contains(c));
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
        self.reduce_again(failed.error.to_string());
    }

    /// A worker on which nothing moves sees its own lines only. As long as something moves between others, what it
    /// waits for may be on its way; it says so again for as long as it waits.
    pub(super) fn reduce_stalled(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        stalled: Failed,
    ) {
        if *identity != self.identity() {
            return;
        }
        let (now, step) = (self.now, self.committed.next());
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        let waits_for = stalled.culprit.clone();
        reducing.stalled.insert(worker.clone(), (now, stalled));
        self.notice_once(Notice::WaitsInReduce {
            worker: worker.clone(),
            waits_for,
            step,
        });
    }

    /// Judges an all-reduce in which nothing moves on anybody, once all that wait in it have said for whom, or a beat
    /// after the first.
    fn judge_stalled(&mut self) {
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let Some(stands) = self.stands_still(reducing) else {
            return;
        };
        // What was said before something moved last is over.
        let since = self.now.saturating_sub(stands);
        let stalled = reducing
            .stalled
            .iter()
            .filter(|(_, (told, _))| *told >= since);
        let stalled: BTreeMap<_, _> = stalled.map(|(w, (told, f))| (w, (*told, f))).collect();
        let Some(first) = stalled.values().map(|(told, _)| *told).min() else {
            return;
        };
        let mut waiting = reducing.slots.iter().filter(|w| !reducing.has_reduced(w));
        let complete = waiting.all(|w| stalled.contains_key(w));
        let ladder = &self.options.ladder;
        let heard = complete || self.now.saturating_sub(first) >= ladder.beat;
        if !heard || stands < ladder.reduce_patience {
            return;
        }
        let told = stalled
            .iter()
            .map(|(worker, (_, failed))| (*worker, *failed));
        if let Some((worker, failed)) = most_waited_for(told) {
            let (worker, failed) = (worker.clone(), failed.clone());
            self.reduce_failed(&worker, &self.identity(), failed);
        }
    }

    /// For how long nothing has moved on any line of the all-reduce; unknown while somebody in it is not heard: its
    /// lease decides then.
    fn stands_still(&self, reducing: &Reducing) -> Option<Duration> {
        let members = reducing.slots.iter().filter_map(|w| self.members.get(w));
        let mut last = reducing.since;
        for member in members {
            if member.suspect {
                return None;
            }
            last = last.max(member.moved().peers);
        }
        Some(self.now.saturating_sub(last))
    }

    pub(super) fn reduce_again(&mut self, reason: String) {
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        let mut work = std::mem::take(&mut reducing.work);
        let step = self.committed.next();
        work.retries += 1;
        if work.retries > REDUCE_RETRIES * 2 {
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
        self.go_on(work);
    }

    /// A reduce in which nothing moves: whoever has not answered while others have is hung. As long as bytes move, between
    /// whomever, it may take what it takes.
    pub(super) fn reduce_overdue(&mut self) {
        self.judge_stalled();
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let missing = reducing.slots.iter().filter(|w| !reducing.has_answered(w));
        let missing: Vec<_> = missing.cloned().collect();
        let stands = self.stands_still(reducing);
        if missing.is_empty() || stands.is_none_or(|stands| stands <= self.reduce_patience()) {
            return;
        }
        if missing.len() < reducing.slots.len() {
            let step = self.committed.next();
            for worker in missing {
                let notice = Notice::HungInReduce {
                    worker: worker.clone(),
                    step,
                };
                self.remove(&worker, notice);
            }
        } else {
            self.reduce_again("nobody delivered a total, and nothing moves".into());
        }
    }

    /// How long nothing may move before an answer that applies or hashes the state counts as never coming.
    pub(super) fn reduce_patience(&self) -> Duration {
        let elements = u32::try_from(self.options.parameters).unwrap_or(u32::MAX);
        self.options.ladder.reduce_patience * 2 + APPLY_ONE.saturating_mul(elements)
    }
}

/// Of those who wait, one that names the member whom most of what is told is about, as waiting or as waited for; of
/// two alike, the one that more wait for. A bystander, whose own wait is for somebody who waits, is named by few.
fn most_waited_for<'a>(
    told: impl Iterator<Item = (&'a WorkerId, &'a Failed)> + Clone,
) -> Option<(&'a WorkerId, &'a Failed)> {
    let names = |failed: &Failed, worker: &WorkerId| failed.culprit.as_ref() == Some(worker);
    let weight = |(_, failed): &(&WorkerId, &Failed)| {
        let culprit = failed.culprit.as_ref()?;
        let named = told.clone().filter(|(_, f)| names(f, culprit)).count();
        let waits = told.clone().filter(|(w, _)| *w == culprit).count();
        Some((named + waits, named))
    };
    told.clone().max_by_key(weight)
}
