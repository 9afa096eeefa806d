//! From the last credit to the totals: when a reduce begins, is repeated, or loses a member.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Identity, WorkerId};
use shared::wire::message::{Failed, ToWorker};

use super::audit::Audit;
use super::members::Members;
use super::notice::Notice;
use super::state::{Phase, Reducing};
use super::work::StepWork;
use super::{Engine, Timeouts};

/// Failed reduces of one step, in an unchanged member set, after which the culprit is evicted.
const REDUCE_RETRIES: u32 = 2;
/// Time that clipping, updating and hashing one parameter may take: twenty times what a slow core needs.
const APPLY_ONE: Duration = Duration::from_nanos(200);

impl Engine {
    pub(super) fn reduce_when_covered(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        // An open audit holds the reduce up only while a member is there that can give a second opinion.
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
            // The lost member's part is in the total that all survivors have applied.
            Phase::Reducing(reducing)
                if !reducing.is_questioned()
                    && survivors.iter().all(|s| reducing.has_reduced(s)) =>
            {
                self.next_generation();
                if survivors.len() == 1 {
                    // The only survivor has nobody to agree with, so it computes the outcome twice.
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

    /// Continues the same step with the members that are left; the credits of lost members go back to the pool.
    fn go_on(&mut self, mut work: StepWork) {
        work.keep_only(&self.members.working());
        self.step.attempt = self.step.attempt.next();
        self.phase = Phase::Computing(work);
        self.next_generation();
        self.judge_all();
        self.deal();
        self.reduce_when_covered();
    }

    /// A reduce failed although its members live: repeats it, and at last evicts the culprit.
    pub(super) fn reduce_failed(&mut self, worker: &WorkerId, identity: &Identity, failed: Failed) {
        if *identity != self.identity() {
            return;
        }
        let step = self.states.committed.next();
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        // A total that does not cover the step is wrong on every member: the one that noticed is not to blame.
        if failed.error.code == Code::Internal && failed.culprit.is_none() {
            reducing.incomplete_totals.insert(worker.clone());
            self.commit_when_agreed();
            return;
        }
        if reducing.work.failed_reduces >= REDUCE_RETRIES {
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

    /// Notes that nothing moves on a worker. The worker sees only its own lines: while bytes move between others, its
    /// data may be on the way. It reports again for as long as it waits.
    pub(super) fn reduce_stalled(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        stalled: Failed,
    ) {
        if *identity != self.identity() {
            return;
        }
        let (now, step) = (self.now, self.states.committed.next());
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        let waits_for = stalled.culprit.clone();
        reducing.stalled.insert(worker.clone(), (now, stalled));
        self.outbox.notice_once(Notice::WaitsInReduce {
            worker: worker.clone(),
            waits_for,
            step,
        });
    }

    fn judge_stalled(&mut self) {
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let stalled = stalled(reducing, &self.members, self.now, &self.options.timeouts);
        if let Some((worker, failed)) = stalled {
            self.reduce_failed(&worker, &self.identity(), failed);
        }
    }

    pub(super) fn reduce_again(&mut self, reason: String) {
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        let mut work = std::mem::take(&mut reducing.work);
        let step = self.states.committed.next();
        work.failed_reduces += 1;
        if work.failed_reduces > REDUCE_RETRIES * 2 {
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
        self.outbox.notice(Notice::ReduceAgain { step, reason });
        self.go_on(work);
    }

    /// Where nothing moves in a reduce, members that have not answered while others have are hung. While bytes move
    /// between any members the reduce may take as long as it needs.
    pub(super) fn reduce_overdue(&mut self) {
        self.judge_stalled();
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let missing = reducing.slots.iter().filter(|w| !reducing.has_answered(w));
        let missing: Vec<_> = missing.cloned().collect();
        let stands = stands_still(reducing, &self.members, self.now);
        if missing.is_empty() || stands.is_none_or(|stands| stands <= self.reduce_patience()) {
            return;
        }
        if missing.len() < reducing.slots.len() {
            let step = self.states.committed.next();
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

    /// Time without movement after which a member that applies or hashes the state counts as hung: twice the reduce's
    /// patience, and [`APPLY_ONE`] per trained parameter.
    pub(super) fn reduce_patience(&self) -> Duration {
        let elements = u32::try_from(self.options.parameters).unwrap_or(u32::MAX);
        self.options.timeouts.reduce_patience * 2 + APPLY_ONE.saturating_mul(elements)
    }
}

/// The likeliest culprit of an all-reduce in which nothing moves on any member, once every waiting member has said for
/// whom it waits, or a beat after the first one has.
fn stalled(
    reducing: &Reducing,
    members: &Members,
    now: Duration,
    timeouts: &Timeouts,
) -> Option<(WorkerId, Failed)> {
    let stands = stands_still(reducing, members, now)?;
    // Reports from before the last movement are void.
    let since = now.saturating_sub(stands);
    let stalled = reducing.stalled.iter();
    let stalled = stalled.filter(|(_, (told, _))| *told >= since);
    let stalled: BTreeMap<_, _> = stalled.map(|(w, (told, f))| (w, (*told, f))).collect();
    let first = stalled.values().map(|(told, _)| *told).min()?;
    let mut waiting = reducing.slots.iter().filter(|w| !reducing.has_reduced(w));
    let complete = waiting.all(|w| stalled.contains_key(w));
    let heard = complete || now.saturating_sub(first) >= timeouts.beat;
    if !heard || stands < timeouts.reduce_patience {
        return None;
    }
    let told = stalled
        .iter()
        .map(|(worker, (_, failed))| (*worker, *failed));
    let (worker, failed) = most_waited_for(told)?;
    Some((worker.clone(), failed.clone()))
}

/// Time since anything moved on any member of the all-reduce; `None` while one of them is silent: its lease decides
/// then.
fn stands_still(reducing: &Reducing, members: &Members, now: Duration) -> Option<Duration> {
    let members = reducing.slots.iter().filter_map(|w| members.get(w));
    let mut last = reducing.since;
    for member in members {
        if member.suspect {
            return None;
        }
        last = last.max(member.progress_times().peers);
    }
    Some(now.saturating_sub(last))
}

/// The report of a waiting member that names the likeliest culprit: the member that most reports are about, as the one
/// waiting or the one waited for; among equals the one that more members wait for. A bystander, which waits for a
/// member that waits itself, is named by few.
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
