//! From the totals to the commit: who has what, whose sum or slice is corrupt, whose state differs.
//!
//! Fingerprints add like the sums. Each member reports those of its own sum and of the total as it
//! arrived, cut into the members' slices. So a corrupt sum, a slice spoiled on its way or at its
//! owner, and a total that arrived wrong each name their culprit.
//! Keeps: a step commits once, when every live member agrees, and only on the credited gradients.

use std::collections::{BTreeMap, BTreeSet};

use shared::error::{Code, Error};
use shared::ids::{Identity, WorkerId};
use shared::numerics::Fingerprint;
use shared::wire::message::{Applied, Task, ToWorker};

use super::Engine;
use super::event::{Command, Committed};
use super::notice::Notice;
use super::state::{Phase, Reducing};
use super::work::StepWork;

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
        self.commit_when_agreed();
    }

    pub(super) fn commit_when_agreed(&mut self) {
        let working: BTreeSet<_> = self.working_ids().into_iter().collect();
        let Phase::Reducing(reducing) = &self.phase else {
            return;
        };
        let complete = working.iter().all(|w| reducing.applied.contains_key(w));
        if working.is_empty() || !complete || reducing.again.is_some() {
            return;
        }
        let corrupt = corruption(reducing);
        if let Some((culprit, what)) = corrupt {
            self.evict_as_corrupt(&culprit, &what);
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
        let total = Fingerprint(first.fingerprint);
        if live().any(|(_, a)| Fingerprint(a.fingerprint) != total)
            || total != reducing.work.total()
        {
            let (retries, work) = (reducing.retries + 1, self.take_work());
            self.reduce_again(
                work,
                retries,
                "the total is not the sum of the credits".into(),
            );
            return;
        }
        if live().all(|(_, a)| agrees(a, first)) {
            let first = first.clone();
            self.commit(first);
            return;
        }
        let step = self.committed.next();
        let digests = live()
            .map(|(w, a)| format!("{w} {}", a.state_digest))
            .collect();
        self.notice(Notice::StatesDiffer { step, digests });
        self.look_again();
    }

    /// Every member hashes its committed state and applies the total once more.
    pub(super) fn look_again(&mut self) {
        if let Phase::Reducing(reducing) = &mut self.phase {
            reducing.again = Some(BTreeMap::new());
            reducing.since = self.now;
        }
        self.send_working(&ToWorker::Reapply);
    }

    /// A second opinion: whose committed state is not the agreed one any more is the culprit.
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
        let working = self.working_ids();
        let Phase::Reducing(reducing) = &mut self.phase else {
            self.rehashed(worker, &committed_digest);
            return;
        };
        // An evaluation applies nothing.
        let state_digest = match reducing.work.task {
            Task::Evaluate => committed_digest.clone(),
            _ => state_digest,
        };
        let Some(again) = &mut reducing.again else {
            return;
        };
        again.insert(worker.clone(), (committed_digest, state_digest));
        if !working.iter().all(|w| again.contains_key(w)) {
            return;
        }
        let again = again.clone();
        let agreed = self.state_digest.clone();
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
        let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
        for worker in &working {
            *votes.entry(&again[worker].1).or_default() += 1;
        }
        let most = votes
            .iter()
            .max_by_key(|(_, n)| **n)
            .map(|(d, n)| ((*d).clone(), *n));
        let Some((digest, count)) = most else { return };
        if count * 2 <= working.len() {
            self.fail_disagreement(&again);
            return;
        }
        let dissent: Vec<_> = working
            .iter()
            .filter(|w| again[*w].1 != digest)
            .cloned()
            .collect();
        // The agreed outcome replaces what was reported first.
        if let Phase::Reducing(reducing) = &mut self.phase {
            let right = reducing
                .applied
                .values()
                .find(|a| a.state_digest == digest)
                .cloned();
            let Some(right) = right else {
                self.fail_disagreement(&again);
                return;
            };
            for report in reducing.applied.values_mut() {
                report.state_digest.clone_from(&digest);
                report.grad_norm = right.grad_norm;
                report.skipped = right.skipped;
                report.loss_scale = right.loss_scale;
                report.loss = right.loss;
                report.evaluation.clone_from(&right.evaluation);
            }
            reducing.again = None;
        }
        if dissent.is_empty() {
            self.commit_when_agreed();
        }
        for culprit in dissent {
            self.evict_as_corrupt(&culprit, "it applies the agreed total wrongly");
        }
    }

    fn fail_disagreement(&mut self, again: &BTreeMap<WorkerId, (String, String)>) {
        let step = self.committed.next();
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
        let step = self.committed.next();
        self.notice(Notice::Corrupt {
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
        // Nothing it applied may stand for the others.
        if let Phase::Reducing(reducing) = &mut self.phase {
            reducing.applied.clear();
            reducing.again = None;
        }
        self.refuse(culprit, error);
    }

    fn take_work(&mut self) -> StepWork {
        match &mut self.phase {
            Phase::Reducing(reducing) => std::mem::take(&mut reducing.work),
            _ => StepWork::default(),
        }
    }

    fn commit(&mut self, agreed: Applied) {
        let step = self.committed.next();
        if matches!(&self.phase, Phase::Reducing(r) if r.work.task == Task::Evaluate) {
            self.commit_evaluation(&agreed);
            return;
        }
        if let Some(known) = self.digests.get(&step)
            && *known != agreed.state_digest
        {
            let error = Error::new(
                Code::ReplayDiffers,
                format!("step {step} came out differently than before"),
            )
            .why(format!("now {}, before {known}", agreed.state_digest))
            .fix("was the device class, the driver or the program changed in between?")
            .fix("--overwrite starts anew");
            self.fail(error);
            return;
        }
        if self.fails_at(step, &agreed) {
            return;
        }
        let Phase::Reducing(reducing) = std::mem::replace(&mut self.phase, Phase::Gathering) else {
            return;
        };
        let Reducing { work, applied, .. } = reducing;
        let identity = self.identity();
        let slowest = |time: fn(&Applied) -> u64| applied.values().map(time).max().unwrap_or(0);
        let committed = Committed {
            step,
            term: identity.term,
            generation: identity.generation,
            loss: agreed.loss,
            grad_norm: agreed.grad_norm,
            skipped: agreed.skipped,
            loss_scale: agreed.loss_scale,
            state_digest: agreed.state_digest.clone(),
            contributions: work.contributions(),
            recomputed: work.lost,
            peer_bytes_sent: applied
                .iter()
                .map(|(w, a)| (w.clone(), a.peer_bytes_sent.clone()))
                .collect(),
            slowest_us: (slowest(|a| a.reduce_us), slowest(|a| a.apply_us)),
            compute_us: work.compute_us,
            credits: work.credited,
        };
        // Written down before anybody is told.
        self.out.push(Command::Commit(Box::new(committed)));
        let state_digest = agreed.state_digest.clone();
        self.send_working(&ToWorker::Commit { state_digest });
        self.committed = step;
        self.count_skipped(step, &agreed);
        self.digests.insert(step, agreed.state_digest.clone());
        self.state_digest = Some(agreed.state_digest);
        self.committed_at = self.now;
        self.outdate_those_who_do_not_follow();
        // A checkpoint holds the evaluation of its state.
        if self.save_due() && !self.evaluation_due() {
            self.write_checkpoint();
        }
    }
}

/// The first report that does not fit the credited gradients, and whose fault it is.
fn corruption(reducing: &Reducing) -> Option<(WorkerId, String)> {
    let (slots, applied) = (&reducing.slots, &reducing.applied);
    let at = |list: &[u64], slot: usize| Fingerprint(list.get(slot).copied().unwrap_or(u64::MAX));
    for worker in slots {
        let Some(report) = applied.get(worker) else {
            continue;
        };
        let own: Fingerprint = report.sent.iter().map(|f| Fingerprint(*f)).sum();
        if report.sent.len() != slots.len() || own != reducing.work.sum_of(worker) {
            return Some((
                worker.clone(),
                "its sum is not the sum of its credits".into(),
            ));
        }
    }
    let everybody: Option<Vec<&Applied>> = slots.iter().map(|w| applied.get(w)).collect();
    for (slot, owner) in slots.iter().enumerate() {
        let Some(final_slice) = applied.get(owner).map(|a| at(&a.received, slot)) else {
            continue;
        };
        if let Some(everybody) = &everybody {
            let sent: Fingerprint = everybody.iter().map(|a| at(&a.sent, slot)).sum();
            if sent != final_slice {
                return Some((owner.clone(), "the slice it sums up is corrupt".into()));
            }
        }
        for worker in slots {
            let arrived = applied.get(worker).map(|a| at(&a.received, slot));
            if arrived.is_some_and(|a| a != final_slice) {
                return Some((
                    worker.clone(),
                    format!("the total from {owner} arrived corrupt"),
                ));
            }
        }
    }
    None
}

fn agrees(one: &Applied, other: &Applied) -> bool {
    one.state_digest == other.state_digest
        && one.loss == other.loss
        && one.grad_norm.to_bits() == other.grad_norm.to_bits()
        && one.skipped == other.skipped
        && one.loss_scale == other.loss_scale
        && one.evaluation == other.evaluation
}
