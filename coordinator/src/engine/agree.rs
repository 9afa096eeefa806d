//! From the totals to the commit: whether all members agree, whose sum or slice is corrupt, whose state differs.
//!
//! Fingerprints add like the sums. Each member reports the fingerprints of its own sum and of the total as it arrived;
//! where these do not add up, every member reports the fingerprints of each slice. So a corrupt sum, a slice spoiled on
//! its way or at its owner, and a total that arrived wrong each name their culprit.
//! Keeps: a step commits once, when every live member agrees, and only on the credited gradients.

use std::collections::{BTreeMap, BTreeSet};

use shared::error::{Code, Error};
use shared::ids::{Identity, Step, WorkerId};
use shared::numerics::Fingerprint;
use shared::wire::message::{Applied, SliceFingerprints, Task, ToWorker};

use super::Engine;
use super::event::{Command, Committed};
use super::notice::Notice;
use super::state::{Phase, Reducing};

impl Engine {
    pub(super) fn applied(&mut self, worker: &WorkerId, identity: &Identity, report: Applied) {
        if *identity != self.identity() {
            self.send(worker, ToWorker::Stale(identity.clone()));
            return;
        }
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        reducing.applied.insert(worker.clone(), report);
        if reducing.applied.len() + reducing.incomplete_totals.len() >= reducing.slots.len() {
            self.commit_when_agreed();
        }
    }

    pub(super) fn commit_when_agreed(&mut self) {
        let working: BTreeSet<_> = self.members.working().iter().cloned().collect();
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let complete = working.iter().all(|w| reducing.has_reduced(w));
        if working.is_empty() || !complete || reducing.is_questioned() {
            return;
        }
        if let Some(culprit) = wrong_sum(reducing) {
            self.evict_as_corrupt(&culprit, "its sum is not the sum of its credits");
            return;
        }
        if !reducing.incomplete_totals.is_empty() {
            self.ask_for_slices();
            return;
        }
        let live = || {
            reducing
                .applied
                .iter()
                .filter(|(w, _)| working.contains(*w))
        };
        let Some((_, first)) = live().next() else {
            return;
        };
        let total = Fingerprint(first.total_fingerprint);
        if live().any(|(_, a)| Fingerprint(a.total_fingerprint) != total)
            || total != reducing.work.total()
        {
            self.ask_for_slices();
            return;
        }
        if live().all(|(_, a)| agrees(a, first)) {
            let first = first.clone();
            self.commit(first);
            return;
        }
        let step = self.states.committed.next();
        let digests = live()
            .map(|(w, a)| format!("{w} {}", a.state_digest))
            .collect();
        self.outbox.notice(Notice::StatesDiffer { step, digests });
        self.look_again();
    }

    /// A total is not the sum of the credits: asks every member for its fingerprints by slice.
    fn ask_for_slices(&mut self) {
        if let Phase::Reducing(reducing) = &mut self.phase {
            reducing.slice_fingerprints = Some(BTreeMap::new());
            reducing.since = self.now;
        }
        self.send_working(&ToWorker::Explain);
    }

    /// Once all members have sent their fingerprints by slice: evicts the member that they name; where they name none,
    /// repeats the reduce.
    pub(super) fn slices(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        slices: SliceFingerprints,
    ) {
        if *identity != self.identity() {
            return;
        }
        let working = self.members.working();
        let Phase::Reducing(reducing) = &mut self.phase else {
            return;
        };
        let Some(told) = &mut reducing.slice_fingerprints else {
            return;
        };
        told.insert(worker.clone(), slices);
        if !working.iter().all(|w| told.contains_key(w)) {
            return;
        }
        if let Some((culprit, what)) = corruption(&reducing.slots, told, &reducing.work.sums()) {
            self.evict_as_corrupt(&culprit, &what);
            return;
        }
        self.reduce_again("the total is not the sum of the credits".into());
    }

    /// Asks every member to hash its committed state and to apply the total once more.
    pub(super) fn look_again(&mut self) {
        if let Phase::Reducing(reducing) = &mut self.phase {
            reducing.second_opinions = Some(BTreeMap::new());
            reducing.since = self.now;
        }
        self.send_working(&ToWorker::Reapply);
    }

    /// A member's second opinion. Once all are there: a member whose committed state has another digest than the agreed
    /// one is evicted.
    pub(super) fn reapplied(
        &mut self,
        worker: &WorkerId,
        identity: &Identity,
        committed_digest: String,
        state_digest: String,
    ) {
        if *identity != self.identity() {
            return;
        }
        let working = self.members.working();
        let Phase::Reducing(reducing) = &mut self.phase else {
            self.rehashed(worker, &committed_digest);
            return;
        };
        // An evaluation applies nothing.
        let state_digest = match reducing.work.task {
            Task::Evaluate => committed_digest.clone(),
            _ => state_digest,
        };
        let Some(again) = &mut reducing.second_opinions else {
            return;
        };
        again.insert(worker.clone(), (committed_digest, state_digest));
        if !working.iter().all(|w| again.contains_key(w)) {
            return;
        }
        let again = again.clone();
        let agreed = self.states.state_digest.clone();
        let spoiled: Vec<_> = working
            .iter()
            .filter(|w| agreed.as_ref().is_some_and(|a| again[*w].0 != *a))
            .cloned()
            .collect();
        if !spoiled.is_empty() {
            for culprit in spoiled {
                self.evict_as_corrupt(&culprit, "its committed state changed in memory");
            }
            return;
        }
        self.follow_the_majority(&again);
    }

    /// Takes the new state that more than half of the members have as right; members with another state applied the
    /// total wrongly and are evicted.
    fn follow_the_majority(&mut self, again: &BTreeMap<WorkerId, (String, String)>) {
        let working = self.members.working();
        let Some((digest, count)) = most_frequent(again, &working) else {
            return;
        };
        if count * 2 <= working.len() {
            self.fail_disagreement(again);
            return;
        }
        let dissent: Vec<_> = working
            .iter()
            .filter(|w| again[*w].1 != digest)
            .cloned()
            .collect();
        if let Phase::Reducing(reducing) = &mut self.phase
            && !reducing.settle_on(&digest)
        {
            self.fail_disagreement(again);
            return;
        }
        if dissent.is_empty() {
            self.commit_when_agreed();
        }
        for culprit in dissent {
            self.evict_as_corrupt(&culprit, "it applies the agreed total wrongly");
        }
    }

    fn fail_disagreement(&mut self, again: &BTreeMap<WorkerId, (String, String)>) {
        let step = self.states.committed.next();
        let mut error = Error::new(
            Code::ReplicasDisagree,
            format!("step {step}: the replicas disagree, and no majority is right"),
        );
        for (worker, (_, digest)) in again {
            error = error.why(format!("{worker} has {digest}"));
        }
        self.fail(error.fix("start again: the run goes on from its newest checkpoint"));
    }

    pub(super) fn evict_as_corrupt(&mut self, culprit: &WorkerId, what: &str) {
        let step = self.states.committed.next();
        self.outbox.notice(Notice::Corrupt {
            worker: culprit.clone(),
            step,
            what: what.to_owned(),
        });
        let error = Error::new(
            Code::Corrupt,
            format!("step {step}: {culprit} holds corrupt numbers: {what}"),
        )
        .why("fingerprints of the credited gradients do not add up to what it has")
        .fix("check this machine's memory and network before it joins again");
        // Reports from a reduce that the culprit took part in count no more.
        let works = self
            .members
            .get(culprit)
            .is_some_and(super::members::Member::is_working);
        if works && let Phase::Reducing(reducing) = &mut self.phase {
            reducing.forget_reports();
        }
        self.refuse(culprit, error);
    }

    fn commit(&mut self, agreed: Applied) {
        let step = self.states.committed.next();
        if matches!(&self.phase, Phase::Reducing(r) if r.work.task == Task::Evaluate) {
            self.commit_evaluation(&agreed);
            return;
        }
        let known = self.states.digests.get(&step);
        if let Some(known) = known.filter(|known| **known != agreed.state_digest) {
            let why = format!("now {}, before {known}", agreed.state_digest);
            if !self.forks(step, &format!("step {step}"), vec![why]) {
                return;
            }
        }
        if self.fails_at(step, &agreed) {
            return;
        }
        let Phase::Reducing(reducing) = std::mem::replace(&mut self.phase, Phase::Gathering) else {
            return;
        };
        let committed = committed(step, &self.identity(), reducing, &agreed);
        // The commit is recorded before any worker is told.
        let classes = self.members.classes_at_work();
        self.states.computed_by(&classes, step);
        self.outbox.push(Command::Commit(Box::new(committed)));
        let state_digest = agreed.state_digest.clone();
        self.send_working(&ToWorker::Commit { state_digest });
        self.states
            .commit(step, agreed.state_digest.clone(), self.now);
        self.count_skipped(step, &agreed);
        self.members.outdate_those_who_do_not_follow();
        self.step.hung_on.clear();
        self.store_owed();
    }
}

/// The record of a step whose members all agree.
fn committed(step: Step, identity: &Identity, reducing: Reducing, agreed: &Applied) -> Committed {
    let Reducing { work, applied, .. } = reducing;
    let slowest = |time: fn(&Applied) -> u64| applied.values().map(time).max().unwrap_or(0);
    let sent = applied.iter().map(|(w, a)| (w.clone(), a.bytes_sent));
    Committed {
        step,
        term: identity.term,
        generation: identity.generation,
        loss: agreed.loss,
        grad_norm: agreed.grad_norm,
        skipped: agreed.skipped,
        loss_scale: agreed.loss_scale,
        state_digest: agreed.state_digest.clone(),
        contributions: work.contributions(),
        recomputed: work.lost_credits,
        bytes_sent: sent.collect(),
        slowest_reduce_us: slowest(|a| a.reduce_us),
        slowest_apply_us: slowest(|a| a.apply_us),
        compute_us: work.compute_us,
        credits: work.credited,
    }
}

/// A member whose own sum does not have the fingerprint of its credits.
fn wrong_sum(reducing: &Reducing) -> Option<WorkerId> {
    let expected = reducing.work.sums();
    let nothing = Fingerprint::default();
    let wrong = |(worker, report): &(&WorkerId, &Applied)| {
        Fingerprint(report.contributed_fingerprint) != *expected.get(worker).unwrap_or(&nothing)
    };
    let reports = reducing.slots.iter();
    let mut reports = reports.filter_map(|w| Some((w, reducing.applied.get(w)?)));
    reports.find(wrong).map(|(worker, _)| worker.clone())
}

/// The member whose slice does not fit the others, and what is wrong with it. In turn: a member's sum must be that of
/// its credits, a slice's total the sum of what all sent for it, every copy of the total that of all credits.
fn corruption(
    slots: &[WorkerId],
    told: &BTreeMap<WorkerId, SliceFingerprints>,
    credits: &BTreeMap<&WorkerId, Fingerprint>,
) -> Option<(WorkerId, String)> {
    for (worker, slices) in told {
        let own: Fingerprint = slices.sent.iter().map(|f| Fingerprint(*f)).sum();
        if own != credits.get(worker).copied().unwrap_or_default() {
            let what = "its sum is not the sum of its credits".to_owned();
            return Some((worker.clone(), what));
        }
    }
    let at = |list: &[u64], slot: usize| Fingerprint(list.get(slot).copied().unwrap_or(u64::MAX));
    // What a member that is gone has sent is not known.
    let everybody: Option<Vec<_>> = slots.iter().map(|w| told.get(w)).collect();
    if let Some(everybody) = everybody {
        for (slot, (owner, own)) in slots.iter().zip(&everybody).enumerate() {
            let sent: Fingerprint = everybody.iter().map(|s| at(&s.sent, slot)).sum();
            if sent != at(&own.received, slot) {
                return Some((owner.clone(), "the slice it sums up is corrupt".into()));
            }
        }
    }
    // A total that is the sum of all credits shows where another one is not.
    let total: Fingerprint = credits.values().copied().sum();
    let whole = |s: &SliceFingerprints| {
        s.received
            .iter()
            .map(|f| Fingerprint(*f))
            .sum::<Fingerprint>()
    };
    let sound = told.values().find(|s| whole(s) == total)?;
    let (worker, slices) = told.iter().find(|(_, s)| whole(s) != total)?;
    let differs = |slot: &usize| at(&slices.received, *slot) != at(&sound.received, *slot);
    let slot = (0..slots.len()).find(differs).unwrap_or_default();
    let from = slots.get(slot).unwrap_or(worker);
    Some((
        worker.clone(),
        format!("the total from {from} arrived corrupt"),
    ))
}

fn agrees(one: &Applied, other: &Applied) -> bool {
    one.state_digest == other.state_digest
        && one.loss == other.loss
        && one.grad_norm.to_bits() == other.grad_norm.to_bits()
        && one.skipped == other.skipped
        && one.loss_scale == other.loss_scale
        && one.evaluation == other.evaluation
}

/// The new state that most members have, and how many have it.
fn most_frequent(
    opinions: &BTreeMap<WorkerId, (String, String)>,
    working: &[WorkerId],
) -> Option<(String, usize)> {
    let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
    for worker in working {
        *votes.entry(&opinions[worker].1).or_default() += 1;
    }
    let most = votes.into_iter().max_by_key(|(_, n)| *n);
    most.map(|(digest, n)| (digest.clone(), n))
}
