//! Two workers computed the same micro-batch and got different integers: which worker is wrong?
//!
//! Two equal claims decide. Where no two are equal, a worker may compute on a spoiled state: every member hashes its
//! committed state again, and a member whose digest is not the agreed one is evicted. When all states are sound the run
//! ends rather than guess.

use shared::error::{Code, Error};
use shared::ids::{MicroBatchId, WorkerId};
use shared::wire::message::ToWorker;

use super::Engine;
use super::audit::Verdict;
use super::notice::Notice;
use super::state::Phase;
use super::work::StateCheck;

impl Engine {
    /// Takes a second opinion; false when this worker was not asked for it.
    pub(super) fn audited(
        &mut self,
        worker: &WorkerId,
        id: MicroBatchId,
        fingerprint: u64,
    ) -> bool {
        let Phase::Computing(work) = &mut self.phase else {
            return false;
        };
        let audit = work.audits.get_mut(&id);
        let Some(audit) = audit.filter(|a| a.asked_worker.as_ref() == Some(worker)) else {
            return false;
        };
        audit.claim(worker, fingerprint, self.now);
        self.judge(id);
        true
    }

    /// Judges every open audit anew, because the members that may give an opinion have changed.
    pub(super) fn judge_all(&mut self) {
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        work.state_check = None;
        for id in work.audits.keys().copied().collect::<Vec<_>>() {
            self.judge(id);
        }
    }

    fn judge(&mut self, id: MicroBatchId) {
        let working = self.members.working_classes();
        let now = self.now;
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        let Some(audit) = work.audits.get(&id).filter(|a| a.has_peers(&working)) else {
            return;
        };
        match audit.verdict(&audit.peers(&working)) {
            Verdict::Open => {}
            Verdict::Undecided => {
                if work.state_check.is_none() {
                    work.state_check = Some(StateCheck {
                        micro_batch: id,
                        sound: [].into(),
                        since: now,
                    });
                    self.send_working(&ToWorker::Reapply);
                }
            }
            Verdict::Settled { culprits } => {
                let claims = audit.describe();
                work.audits.remove(&id);
                for culprit in culprits {
                    self.evict_as_wrong(&culprit, id, &claims);
                }
            }
        }
    }

    /// A member has hashed its committed state while an audit was undecided.
    pub(super) fn rehashed(&mut self, worker: &WorkerId, committed_digest: &str) {
        let working = self.members.working();
        let Phase::Computing(work) = &mut self.phase else {
            return;
        };
        let Some(check) = &mut work.state_check else {
            return;
        };
        let agreed = self.states.state_digest.as_deref();
        if agreed.is_some_and(|agreed| agreed != committed_digest) {
            work.state_check = None;
            self.evict_as_corrupt(worker, "its committed state changed in memory");
            return;
        }
        check.sound.insert(worker.clone());
        if !working.iter().all(|w| check.sound.contains(w)) {
            return;
        }
        let (step, id) = (self.states.committed.next(), check.micro_batch);
        let claims = work
            .audits
            .get(&id)
            .map_or_else(String::new, |a| a.describe());
        let error = Error::new(
            Code::WrongCompute,
            format!("step {step}: workers compute micro-batch {id} differently"),
        )
        .why(claims)
        .why("all their states are sound, and no two of them agree: nobody can tell who is wrong")
        .fix("start again with one more worker, or without one of them");
        self.fail(error);
    }

    /// Evicts members that do not hash their state in time: they are hung.
    pub(super) fn state_check_overdue(&mut self) {
        let patience = self.reduce_patience();
        let Phase::Computing(work) = &self.phase else {
            return;
        };
        let overdue = |d: &&StateCheck| self.now.saturating_sub(d.since) > patience;
        let Some(check) = work.state_check.as_ref().filter(overdue) else {
            return;
        };
        let step = self.states.committed.next();
        let sound = check.sound.clone();
        for worker in self.members.working().iter() {
            if !sound.contains(worker) {
                let notice = Notice::HungInReduce {
                    worker: worker.clone(),
                    step,
                };
                self.remove(worker, notice);
            }
        }
    }

    fn evict_as_wrong(&mut self, culprit: &WorkerId, id: MicroBatchId, claims: &str) {
        let step = self.states.committed.next();
        let error = Error::new(
            Code::WrongCompute,
            format!("step {step}: {culprit} computed micro-batch {id} wrongly"),
        )
        .why(format!("fingerprints: {claims}"))
        .fix("check this machine's memory and device before it joins again");
        self.refuse(culprit, error);
    }
}
