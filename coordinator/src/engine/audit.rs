//! Wrong compute, found by computing a micro-batch twice: which ones, by which workers, and who was wrong.
//!
//! In: the share of micro-batches to audit, workers' claims about the fingerprint of one. Out: the worker to ask next,
//! or the culprits. Keeps: a fingerprint is believed when two different workers claim it; a step with an open audit
//! does not commit as long as a member is there that can give a second opinion.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{MicroBatchId, Step, WorkerId};

/// The open audit of one micro-batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// Each worker's claimed fingerprint, in order; the first claim is the credited one.
    claims: Vec<(WorkerId, u64)>,
    /// The worker that computes the second opinion now.
    pub(super) asked_worker: Option<WorkerId>,
    /// When the newest second opinion was heard; zero before any.
    pub(super) last_opinion_at: Duration,
}

/// What the claims about a micro-batch say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another opinion is needed.
    Open,
    /// Two workers claim the same fingerprint, which is therefore right.
    Settled {
        /// Workers whose first claim was another fingerprint.
        culprits: BTreeSet<WorkerId>,
    },
    /// Every worker repeated its own claim and no two agree: nobody can tell who is wrong.
    Undecided,
}

impl Audit {
    pub(super) fn new(worker: WorkerId, fingerprint: u64) -> Self {
        Self {
            claims: vec![(worker, fingerprint)],
            asked_worker: None,
            last_opinion_at: Duration::ZERO,
        }
    }

    /// Members that may give an opinion: those of the first claim's device class. Other classes may compute other
    /// integers without being wrong.
    pub(super) fn peers(&self, working: &[(WorkerId, String)]) -> Vec<WorkerId> {
        let first = self.claims.first().map(|(first, _)| first);
        let class = working.iter().find(|(w, _)| Some(w) == first);
        let alike = working
            .iter()
            .filter(|(_, c)| class.is_some_and(|(_, first)| first == c));
        alike.map(|(w, _)| w.clone()).collect()
    }

    /// Whether any member but the first claim's may give an opinion.
    pub(super) fn has_peers(&self, working: &[(WorkerId, String)]) -> bool {
        self.peers(working).len() > 1
    }

    pub(super) fn claim(&mut self, worker: &WorkerId, fingerprint: u64, now: Duration) {
        self.claims.push((worker.clone(), fingerprint));
        (self.asked_worker, self.last_opinion_at) = (None, now);
    }

    /// Whether to ask the worker `free` next: a worker without a claim first; then, once `late`, those with one claim
    /// again. The delay keeps a repeated first answer from being taken for the second one.
    pub(super) fn next(&self, free: &WorkerId, all: &[WorkerId], late: bool) -> bool {
        if self.asked_worker.is_some() {
            return false;
        }
        let said = |w: &WorkerId| self.claims.iter().filter(|(c, _)| c == w).count();
        let fresh = all.iter().any(|w| said(w) == 0);
        match said(free) {
            0 => true,
            1 => late && !fresh && self.claims.len() > 1,
            _ => false,
        }
    }

    pub(super) fn verdict(&self, all: &[WorkerId]) -> Verdict {
        let believed = self.claims.iter().find_map(|(worker, value)| {
            let seconded = self.claims.iter().any(|(w, v)| w != worker && v == value);
            seconded.then_some(*value)
        });
        if let Some(believed) = believed {
            let mut heard = BTreeSet::new();
            let first = self.claims.iter().filter(|(w, _)| heard.insert(w.clone()));
            let culprits = first.filter(|(_, v)| *v != believed);
            return Verdict::Settled {
                culprits: culprits.map(|(w, _)| w.clone()).collect(),
            };
        }
        let exhausted = all
            .iter()
            .all(|w| self.claims.iter().filter(|(c, _)| c == w).count() > 1);
        if exhausted {
            Verdict::Undecided
        } else {
            Verdict::Open
        }
    }

    /// Every claim, in words for people.
    pub(super) fn describe(&self) -> String {
        let said: Vec<_> = self
            .claims
            .iter()
            .map(|(worker, value)| format!("{worker} {value:016x}"))
            .collect();
        said.join(", ")
    }
}

/// Whether a micro-batch is in the share that is computed twice: a splitmix64 hash of step and number falls below
/// `rate`, so the choice depends on no worker.
pub(super) fn is_audited(rate: f64, step: Step, micro_batch: MicroBatchId) -> bool {
    if rate <= 0.0 {
        return false;
    }
    let mut z = step.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(micro_batch.0);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    unit < rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str) -> WorkerId {
        WorkerId(name.into())
    }

    #[test]
    fn the_share_is_kept() {
        let count = |rate| {
            (1..=1000)
                .flat_map(|s| (0..8).map(move |m| (Step(s), MicroBatchId(m))))
                .filter(|(s, m)| is_audited(rate, *s, *m))
                .count()
        };
        assert_eq!((count(0.0), count(1.0)), (0, 8000));
        assert!((300..500).contains(&count(0.05)), "{}", count(0.05));
    }

    #[test]
    fn a_third_worker_decides() {
        let all = [worker("a"), worker("b"), worker("c")];
        let mut audit = Audit::new(all[0].clone(), 1);
        assert!(!audit.next(&all[0], &all, true) && audit.next(&all[1], &all, true));
        audit.claim(&all[1], 2, Duration::ZERO);
        assert_eq!(audit.verdict(&all), Verdict::Open);
        assert!(!audit.next(&all[0], &all, true) && audit.next(&all[2], &all, true));
        audit.claim(&all[2], 2, Duration::ZERO);
        let culprits = [all[0].clone()].into();
        assert_eq!(audit.verdict(&all), Verdict::Settled { culprits });
    }

    #[test]
    fn only_devices_of_one_class_are_compared() {
        let on = |name, class: &str| (worker(name), class.to_owned());
        let working = [on("a", "cpu"), on("b", "cuda"), on("c", "cpu")];
        let peers = |name| Audit::new(worker(name), 1).peers(&working);
        assert_eq!(peers("a"), [worker("a"), worker("c")]);
        assert_eq!(peers("b"), [worker("b")]);
        assert_eq!(peers("gone"), []);
    }

    #[test]
    fn of_two_the_one_that_changes_its_mind_was_wrong() {
        let all = [worker("a"), worker("b")];
        let mut audit = Audit::new(all[0].clone(), 1);
        audit.claim(&all[1], 2, Duration::ZERO);
        assert!(!audit.next(&all[0], &all, false), "nobody twice at once");
        assert!(audit.next(&all[0], &all, true));
        audit.claim(&all[0], 1, Duration::ZERO);
        assert_eq!(audit.verdict(&all), Verdict::Open);
        let mut stubborn = audit.clone();
        audit.claim(&all[1], 1, Duration::ZERO);
        let culprits = [all[1].clone()].into();
        assert_eq!(audit.verdict(&all), Verdict::Settled { culprits });
        stubborn.claim(&all[1], 2, Duration::ZERO);
        assert_eq!(stubborn.verdict(&all), Verdict::Undecided);
    }
}
