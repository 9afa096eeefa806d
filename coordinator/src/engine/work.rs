//! The micro-batches of the step in work: who may deliver each, and who was credited.
//!
//! Keeps: a micro-batch is in exactly one of pool, assigned, credited; it is credited to one worker; a lost worker's
//! assignments and credits go back to the pool, unless another worker may still deliver the micro-batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shared::ids::{MicroBatchId, WorkerId};
use shared::numerics::Fingerprint;
use shared::wire::message::Task;

use super::audit::Audit;
use super::{Cost, WorkKind};

/// Micro-batches of the step in work.
#[derive(Debug, Default)]
pub(super) struct StepWork {
    /// What the micro-batches are computed for: training or an evaluation.
    pub(super) task: Task,
    /// Cost of each micro-batch, by its number.
    costs: Vec<Cost>,
    pub(super) pool: VecDeque<MicroBatchId>,
    pub(super) assigned: BTreeMap<MicroBatchId, BTreeSet<WorkerId>>,
    pub(super) credited: BTreeMap<MicroBatchId, Credited>,
    pub(super) audits: BTreeMap<MicroBatchId, Audit>,
    pub(super) compute_us: BTreeMap<WorkerId, u64>,
    /// Number of credited micro-batches that were lost with their worker.
    pub(super) lost_credits: u32,
    /// Number of failed reduces in an unchanged member set.
    pub(super) failed_reduces: u32,
    /// Set while the claims about an audited micro-batch cannot decide who is wrong.
    pub(super) state_check: Option<StateCheck>,
}

/// A check of all committed states: every member hashes its own, as one of them may be spoiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StateCheck {
    /// The audited micro-batch that two workers computed differently.
    pub(super) micro_batch: MicroBatchId,
    /// Members whose committed state has the agreed digest.
    pub(super) sound: BTreeSet<WorkerId>,
    pub(super) since: Duration,
}

/// A credited micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credited {
    /// The worker whose sum holds it: when this worker leaves, the micro-batch is computed again.
    pub worker: WorkerId,
    /// Fingerprint of the micro-batch's integers: fingerprints add like the integers.
    pub fingerprint: u64,
}

impl StepWork {
    pub(super) fn new(task: Task, costs: Vec<Cost>) -> Self {
        Self {
            task,
            pool: (0..).map(MicroBatchId).take(costs.len()).collect(),
            costs,
            ..Self::default()
        }
    }

    /// What a micro-batch costs.
    pub(super) fn cost(&self, micro_batch: MicroBatchId) -> Cost {
        let index = usize::try_from(micro_batch.0).unwrap_or(usize::MAX);
        self.costs.get(index).copied().unwrap_or(Cost {
            kind: WorkKind::Train,
            tokens: 1,
        })
    }

    /// The largest cost among the step's micro-batches of one kind.
    pub(super) fn largest(&self, kind: WorkKind) -> Cost {
        let of_kind = self.costs.iter().filter(|c| c.kind == kind);
        let tokens = of_kind.map(|c| c.tokens).max().unwrap_or(1);
        Cost { kind, tokens }
    }

    /// Workers with an assignment or a credit in this step.
    pub(super) fn holders(&self) -> BTreeSet<&WorkerId> {
        let assigned = self.assigned.values().flatten();
        let credited = self.credited.values().map(|c| &c.worker);
        assigned.chain(credited).collect()
    }

    /// Gives back to the pool what workers outside `those` were assigned or credited: a worker that is gone has taken
    /// its sums along.
    pub(super) fn keep_only(&mut self, those: &[WorkerId]) {
        let those: BTreeSet<_> = those.iter().collect();
        let gone = self.holders().into_iter().filter(|w| !those.contains(w));
        let gone: Vec<_> = gone.cloned().collect();
        for worker in &gone {
            self.give_back(worker);
        }
        let asks_nobody = |audit: &Audit| {
            audit
                .asked_worker
                .as_ref()
                .is_some_and(|w| !those.contains(w))
        };
        for audit in self.audits.values_mut().filter(|a| asks_nobody(a)) {
            audit.asked_worker = None;
        }
    }

    /// Assigns the pool's next micro-batch to a worker.
    pub(super) fn assign(&mut self, worker: &WorkerId) -> Option<MicroBatchId> {
        let micro_batch = self.pool.pop_front()?;
        self.assigned
            .entry(micro_batch)
            .or_default()
            .insert(worker.clone());
        Some(micro_batch)
    }

    /// Credits a result when the micro-batch is assigned to this worker; returns the other workers it was assigned to.
    pub(super) fn credit(
        &mut self,
        micro_batch: MicroBatchId,
        worker: &WorkerId,
        fingerprint: u64,
    ) -> Option<BTreeSet<WorkerId>> {
        let mut others = self
            .assigned
            .get(&micro_batch)
            .filter(|holders| holders.contains(worker))?
            .clone();
        others.remove(worker);
        self.assigned.remove(&micro_batch);
        let credited = Credited {
            worker: worker.clone(),
            fingerprint,
        };
        self.credited.insert(micro_batch, credited);
        Some(others)
    }

    /// Credits a returning worker with what its sum holds, if all of that is still in the pool: then no other worker
    /// was given any of it; an audit that was open when the session broke is opened again.
    pub(super) fn readmit(
        &mut self,
        worker: &WorkerId,
        sums: &BTreeMap<MicroBatchId, u64>,
        audited: impl Fn(MicroBatchId) -> bool,
    ) -> bool {
        let pool: BTreeSet<_> = self.pool.iter().copied().collect();
        if !sums.keys().all(|m| pool.contains(m)) {
            return false;
        }
        self.pool.retain(|m| !sums.contains_key(m));
        for (micro_batch, fingerprint) in sums {
            if audited(*micro_batch) {
                let audit = Audit::new(worker.clone(), *fingerprint);
                self.audits.insert(*micro_batch, audit);
            }
            let credited = Credited {
                worker: worker.clone(),
                fingerprint: *fingerprint,
            };
            self.credited.insert(*micro_batch, credited);
        }
        true
    }

    /// Takes an assignment back; returns whether the worker had it.
    pub(super) fn withdraw(&mut self, micro_batch: MicroBatchId, worker: &WorkerId) -> bool {
        let Some(holders) = self.assigned.get_mut(&micro_batch) else {
            return false;
        };
        let was_to = holders.remove(worker);
        if holders.is_empty() {
            self.assigned.remove(&micro_batch);
            self.back(micro_batch);
        }
        was_to
    }

    /// Gives everything that the worker was assigned or credited in this step back to the pool, in order.
    pub(super) fn give_back(&mut self, worker: &WorkerId) {
        let held: Vec<_> = self
            .assigned
            .iter()
            .filter(|(_, holders)| holders.contains(worker))
            .map(|(m, _)| *m)
            .collect();
        for micro_batch in held {
            self.withdraw(micro_batch, worker);
        }
        let lost: Vec<_> = self
            .credited
            .extract_if(.., |_, c| c.worker == *worker)
            .map(|(m, _)| m)
            .collect();
        for micro_batch in lost {
            self.lost_credits += 1;
            self.audits.remove(&micro_batch);
            self.back(micro_batch);
        }
        self.compute_us.remove(worker);
    }

    fn back(&mut self, micro_batch: MicroBatchId) {
        let at = self.pool.partition_point(|m| *m < micro_batch);
        self.pool.insert(at, micro_batch);
    }

    /// Whether every micro-batch is credited.
    pub(super) fn is_computed(&self) -> bool {
        self.pool.is_empty() && self.assigned.is_empty()
    }

    /// Every micro-batch of the step is in exactly one of pool, assigned and credited; what is credited is not given
    /// out again; only what is credited is audited.
    ///
    /// # Errors
    /// The first micro-batch of which that is not so, in words for people.
    pub(super) fn check(&self) -> Result<(), String> {
        for id in (0..).map(MicroBatchId).take(self.costs.len()) {
            let in_pool = self.pool.iter().filter(|m| **m == id).count();
            let assigned = usize::from(self.assigned.contains_key(&id));
            let credited = usize::from(self.credited.contains_key(&id));
            match in_pool + assigned + credited {
                1 => {}
                0 => return Err(format!("micro-batch {id} is lost")),
                _ if credited > 0 => {
                    return Err(format!("micro-batch {id} is credited and given out again"));
                }
                _ => return Err(format!("micro-batch {id} is in two places")),
            }
        }
        let places = self.pool.len() + self.assigned.len() + self.credited.len();
        if places != self.costs.len() {
            return Err(format!("the step has {places} micro-batches"));
        }
        let mut audits = self.audits.keys();
        match audits.find(|id| !self.credited.contains_key(id)) {
            Some(id) => Err(format!("micro-batch {id} is audited and not credited")),
            None => Ok(()),
        }
    }

    pub(super) fn contributions(&self) -> BTreeMap<WorkerId, u32> {
        let mut counts = BTreeMap::new();
        for credited in self.credited.values() {
            *counts.entry(credited.worker.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// The fingerprint that each worker's sum must have.
    pub(super) fn sums(&self) -> BTreeMap<&WorkerId, Fingerprint> {
        let mut sums = BTreeMap::new();
        for credited in self.credited.values() {
            let sum = sums.entry(&credited.worker).or_insert(Fingerprint(0));
            *sum += Fingerprint(credited.fingerprint);
        }
        sums
    }

    /// The fingerprint that the total must have.
    pub(super) fn total(&self) -> Fingerprint {
        self.credited
            .values()
            .map(|c| Fingerprint(c.fingerprint))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId(name.into())
    }

    fn work(micro_batches: usize) -> StepWork {
        let cost = Cost {
            kind: WorkKind::Train,
            tokens: 1,
        };
        StepWork::new(Task::Train, vec![cost; micro_batches])
    }

    #[test]
    fn a_doubled_micro_batch_is_credited_to_the_first_only() {
        let (a, b) = (worker("a"), worker("b"));
        let mut work = work(1);
        let only = work.assign(&a).unwrap();
        work.assigned.get_mut(&only).unwrap().insert(b.clone());
        assert_eq!(work.credit(only, &b, 7), Some([a.clone()].into()));
        assert_eq!(work.credit(only, &a, 7), None);
        assert_eq!(work.contributions(), [(b, 1)].into());
    }

    #[test]
    fn what_another_may_deliver_does_not_go_back_to_the_pool() {
        let (a, b) = (worker("a"), worker("b"));
        let mut work = work(2);
        let first = work.assign(&a).unwrap();
        work.assigned.get_mut(&first).unwrap().insert(b.clone());
        let second = work.assign(&a).unwrap();
        work.credit(second, &a, 1).unwrap();
        work.give_back(&a);
        assert_eq!(work.pool, [second]);
        assert_eq!(work.lost_credits, 1);
        assert!(work.assigned[&first].contains(&b));
    }

    #[test]
    fn whoever_is_gone_takes_its_credits_along() {
        let (a, b) = (worker("a"), worker("b"));
        let mut work = work(3);
        for holder in [&a, &b, &b] {
            let id = work.assign(holder).unwrap();
            work.credit(id, holder, 1).unwrap();
        }
        work.keep_only(std::slice::from_ref(&a));
        assert_eq!(work.pool, [MicroBatchId(1), MicroBatchId(2)]);
        assert_eq!(
            (work.lost_credits, work.contributions()),
            (2, [(a, 1)].into())
        );
    }

    #[test]
    fn sums_come_back_only_when_nobody_was_given_any_of_them() {
        let (a, b) = (worker("a"), worker("b"));
        let mut work = work(3);
        let sums: BTreeMap<_, _> = [(MicroBatchId(0), 5), (MicroBatchId(2), 6)].into();
        assert!(work.readmit(&a, &sums, |_| false));
        assert_eq!(work.pool, [MicroBatchId(1)]);
        assert_eq!(work.sums()[&a], Fingerprint(11));
        assert!(!work.readmit(&b, &[(MicroBatchId(0), 5)].into(), |_| false));
    }
}
