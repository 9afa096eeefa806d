//! The engine's commands as records for the ledger.

use shared::evaluation::EvaluationSet;
use shared::ids::Step;
use shared::ledger::{self, Credit, EvaluatedSet, EvaluationCredit, Record};
use shared::plan::{Plan, StepPlan};

use crate::engine::{Committed, Evaluated, MemberSet, Rewind};

/// The record of a committed step: each micro-batch with its worker, fingerprint and samples.
pub(super) fn commit(committed: &Committed, plan: &Plan, step: &StepPlan) -> Record {
    let samples = |index: u32| {
        let planned = usize::try_from(index)
            .ok()
            .and_then(|i| step.micro_batches.get(i));
        planned.map(|p| p.samples.clone()).unwrap_or_default()
    };
    let credits = committed.credits.iter().map(|(id, credited)| Credit {
        micro_batch: *id,
        worker: credited.worker.clone(),
        fingerprint: credited.fingerprint,
        samples: samples(id.0),
    });
    Record::Commit(ledger::Commit {
        step: committed.step,
        term: committed.term,
        generation: committed.generation,
        epoch: plan.epoch_of(committed.step),
        micro_batches: credits.collect(),
        loss_units: step.loss_units,
        loss: committed.loss,
        grad_norm_bits: committed.grad_norm.to_bits(),
        skipped: committed.skipped,
        loss_scale: committed.loss_scale,
        state_digest: committed.state_digest.clone(),
    })
}

/// The record of an evaluation: each micro-batch with its worker and fingerprint, and the sums of each set.
pub(super) fn evaluation(evaluated: &Evaluated, sets: &[EvaluationSet]) -> Record {
    let credits = evaluated.credits.iter();
    let credits = credits.map(|(id, credited)| EvaluationCredit {
        micro_batch: *id,
        worker: credited.worker.clone(),
        fingerprint: credited.fingerprint,
    });
    let named = sets.iter().zip(&evaluated.sums);
    Record::Evaluation(ledger::Evaluation {
        step: evaluated.step,
        term: evaluated.term,
        generation: evaluated.generation,
        micro_batches: credits.collect(),
        sets: named
            .map(|(set, sums)| EvaluatedSet::new(&set.name, sums))
            .collect(),
        best: evaluated.standing.best.map(|(step, _)| step),
        without_improvement: evaluated.standing.without_improvement,
        stops: evaluated.standing.stops,
    })
}

/// The record of a member set. A coordinator that is started again finds the members by their incarnations.
pub(super) fn members(set: MemberSet) -> Record {
    Record::Members(ledger::Members {
        generation: set.generation,
        workers: set.workers,
        incarnations: set.incarnations,
        device_classes: set.device_classes.into_iter().collect(),
    })
}

/// The record of a rewind, of a run whose newest step was `stood`.
pub(super) fn rewind(rewind: &Rewind, stood: Step) -> Record {
    let reason = if !rewind.forked.is_empty() {
        "device classes differ: what came after is void"
    } else if rewind.step > stood {
        "a later state came back"
    } else {
        "no worker held a later state"
    };
    Record::Rewind(ledger::Rewind {
        step: rewind.step,
        state_digest: rewind.state_digest.clone(),
        reason: reason.into(),
        forked: rewind.forked.iter().cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewind_says_whether_it_goes_back_forward_or_another_way() {
        let record = |step, forked: &[&str]| {
            let order = Rewind {
                step: Step(step),
                forked: forked.iter().map(|class| (*class).to_owned()).collect(),
                state_digest: Some("digest".into()),
            };
            match rewind(&order, Step(7)) {
                Record::Rewind(line) => (line.reason, line.forked),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            record(5, &[]),
            ("no worker held a later state".into(), vec![])
        );
        assert_eq!(record(9, &[]), ("a later state came back".into(), vec![]));
        let (reason, forked) = record(5, &["b", "a"]);
        assert!(reason.contains("void"), "{reason}");
        assert_eq!(forked, ["a", "b"]);
    }
}
