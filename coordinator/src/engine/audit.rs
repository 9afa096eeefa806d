//! Wrong compute, found by computing again: which micro-batches, by whom, and who was wrong.
//!
//! In: the share of micro-batches, claims about their integers. Out: whom to ask next, or the
//! culprits. Keeps: a value is believed when two different workers claim it; a step with an open
//! audit does not commit as long as somebody is there who can give a second opinion, whenever it came.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{MicroBatchId, Step, WorkerId};

/// An audit that is not settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Audit {
    /// Who said what, in order; the first is the one whose integers were credited.
    claims: Vec<(WorkerId, u64)>,
    /// Who is computing it now.
    pub(super) asked: Option<WorkerId>,
    /// When the newest second opinion was heard.
    pub(super) heard: Duration,
}

/// What the claims say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody else has to be asked.
    Open,
    /// Two workers claim the same: these claimed something else.
    Settled {
        /// Whose first claim was wrong.
        culprits: BTreeSet<WorkerId>,
    },
    /// Both keep to what they said: nobody can tell who is wrong.
    Undecided,
}

impl Audit {
    pub(super) fn new(worker: WorkerId, fingerprint: u64) -> Self {
        Self {
            claims: vec![(worker, fingerprint)],
            asked: None,
            heard: Duration::ZERO,
        }
    }

    /// Who may have an opinion: the working members of the class that computed it first. The integers
    /// of unlike devices differ, and nobody is wrong.
    pub(super) fn peers(&self, working: &[(WorkerId, String)]) -> Vec<WorkerId> {
        let first = self.claims.first().map(|(first, _)| first);
        let class = working.iter().find(|(w, _)| Some(w) == first);
        let alike = working
            .iter()
            .filter(|(_, c)| class.is_some_and(|(_, first)| first == c));
        alike.map(|(w, _)| w.clone()).collect()
    }

    /// Whether anybody but the one who computed it first may have an opinion.
    pub(super) fn has_peers(&self, working: &[(WorkerId, String)]) -> bool {
        self.peers(working).len() > 1
    }

    pub(super) fn claim(&mut self, worker: &WorkerId, fingerprint: u64, now: Duration) {
        self.claims.push((worker.clone(), fingerprint));
        (self.asked, self.heard) = (None, now);
    }

    /// Whom to ask next: somebody who has not said anything, else those who have, once more. Those only when it is
    /// `late`: what repeats an answer is heard before the next question, and is none to it.
    pub(super) fn next(&self, free: &WorkerId, all: &[WorkerId], late: bool) -> bool {
        if self.asked.is_some() {
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

    /// Both values, for people.
    pub(super) fn describe(&self) -> String {
        let said: Vec<_> = self
            .claims
            .iter()
            .map(|(worker, value)| format!("{worker} {value:016x}"))
            .collect();
        said.join(", ")
    }
}

/// Whether a micro-batch belongs to the share that is computed twice: the same whoever computes.
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
