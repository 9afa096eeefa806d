//! The engine's commands as what happened in the run. Pure.

use shared::evaluation::EvaluationSet;
use shared::ids::Step;
use shared::ledger::{self, Credit, EvaluatedSet, EvaluationCredit};
use shared::numerics::loss_value;
use shared::plan::{Plan, StepPlan};

use crate::engine::{Committed, Evaluated, MemberSet, Notice, Rewind};
use crate::history::{
    CoordinatorTraffic, EvaluationEntry, EvaluationEvent, NoticeEvent, RunEvent, StepEvent,
    StepRecord,
};

/// A committed step, with each micro-batch's worker, fingerprint and samples.
pub(super) fn step(committed: &Committed, plan: &Plan, traffic: CoordinatorTraffic) -> RunEvent {
    let step = plan.step(committed.step);
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
    let commit = ledger::Commit {
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
    };
    RunEvent::Step(Box::new(StepEvent {
        record: step_record(committed, &step, plan),
        state_digest: committed.state_digest.clone(),
        micro_batches: committed.contributions.clone(),
        recomputed: committed.recomputed,
        generation: committed.generation,
        term: committed.term,
        compute_us: committed.compute_us.clone(),
        reduce_us: committed.slowest_reduce_us,
        apply_us: committed.slowest_apply_us,
        bytes_sent: committed.bytes_sent.clone(),
        traffic,
        commit,
    }))
}

/// The figures of a committed step that people are shown.
pub(super) fn step_record(committed: &Committed, plan: &StepPlan, all: &Plan) -> StepRecord {
    let scale = committed.loss_scale;
    let unscheduled = scale.map_or(0, |scale| scale.skipped_steps);
    let unless_skipped = |value| if committed.skipped { f64::NAN } else { value };
    StepRecord {
        step: committed.step,
        epoch: plan.epoch,
        loss: unless_skipped(loss_value(committed.loss, plan.loss_units)),
        grad_norm: unless_skipped(committed.grad_norm),
        learning_rate: all.learning_rate(committed.step, unscheduled),
        num_tokens: plan.loss_units,
        skipped: committed.skipped,
        loss_scale: scale.map(|scale| scale.scale),
        skipped_steps: scale.map(|scale| scale.after(committed.skipped).skipped_steps),
        workers: committed.contributions.len(),
    }
}

/// What people are told of a skipped step; `None` of one that was applied.
pub(super) fn skipped(record: &StepRecord) -> Option<RunEvent> {
    let why = match record.loss_scale {
        _ if !record.skipped => return None,
        Some(scale @ 2..) => format!(
            "an overflow at loss scale {scale}, which is {} from here",
            scale / 2
        ),
        _ => "a gradient did not fit".to_owned(),
    };
    let step = record.step;
    let text = format!("step {step}: the update was skipped, {why}");
    Some(RunEvent::notice(text))
}

/// An evaluation at the end of `epoch`, with each micro-batch's worker and fingerprint and the sums of each set.
pub(super) fn evaluation(evaluated: &Evaluated, epoch: f64, sets: &[EvaluationSet]) -> RunEvent {
    let credits = evaluated.credits.iter();
    let credits = credits.map(|(id, credited)| EvaluationCredit {
        micro_batch: *id,
        worker: credited.worker.clone(),
        fingerprint: credited.fingerprint,
    });
    let named = sets.iter().zip(&evaluated.sums);
    let standing = evaluated.standing;
    let best = standing.best;
    let best_step = best.map(|(step, _)| step);
    RunEvent::Evaluation(Box::new(EvaluationEvent {
        best_step,
        best_loss: best.map(|(_, loss)| loss),
        stops: standing.stops,
        entry: EvaluationEntry::new(evaluated.step, epoch, sets, &evaluated.sums),
        term: evaluated.term,
        generation: evaluated.generation,
        compute_us: evaluated.compute_us.clone(),
        wall_us: evaluated.wall_us,
        evaluation: ledger::Evaluation {
            step: evaluated.step,
            term: evaluated.term,
            generation: evaluated.generation,
            micro_batches: credits.collect(),
            sets: named
                .map(|(set, sums)| EvaluatedSet::new(&set.name, sums))
                .collect(),
            best: best_step,
            without_improvement: standing.without_improvement,
            stops: standing.stops,
        },
    }))
}

/// A member set. A coordinator that is started again finds the members by their incarnations.
pub(super) fn members(set: MemberSet) -> RunEvent {
    RunEvent::Members(ledger::Members {
        generation: set.generation,
        workers: set.workers,
        incarnations: set.incarnations,
        device_classes: set.device_classes.into_iter().collect(),
    })
}

/// A rewind of a run whose newest step was `stood`.
pub(super) fn rewind(rewind: &Rewind, stood: Step) -> RunEvent {
    let reason = if !rewind.forked.is_empty() {
        "device classes differ: what came after is void"
    } else if rewind.step > stood {
        "a later state came back"
    } else {
        "no worker held a later state"
    };
    RunEvent::Rewind(ledger::Rewind {
        step: rewind.step,
        state_digest: rewind.state_digest.clone(),
        reason: reason.into(),
        forked: rewind.forked.iter().cloned().collect(),
    })
}

/// A change in the cluster, with its sentence and, where it tells of an error, its code.
pub(super) fn notice(notice: Notice) -> RunEvent {
    let code = match &notice {
        Notice::Failed { error, .. } => Some(error.code),
        _ => None,
    };
    RunEvent::Notice(NoticeEvent {
        text: notice.to_string(),
        code,
        about: Some(notice),
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
                RunEvent::Rewind(line) => (line.reason, line.forked),
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

    #[test]
    fn a_skipped_step_is_told_with_its_reason_and_no_other_step_is() {
        let committed = |skipped, scale: Option<u64>| {
            let config = shared::config::testing::config("batch_size: 2\nepochs: 1\n").unwrap();
            let plan = Plan::new(&config, vec![1; 4], vec![2; 4]);
            let committed = Committed {
                step: Step(1),
                skipped,
                loss_scale: scale.map(shared::numerics::LossScale::new),
                ..Committed::default()
            };
            let record = step_record(&committed, &plan.step(Step(1)), &plan);
            super::skipped(&record).map(|event| match event {
                RunEvent::Notice(notice) => notice.text,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(committed(false, None), None);
        let text = committed(true, None).unwrap();
        assert_eq!(
            text,
            "step 1: the update was skipped, a gradient did not fit"
        );
        let text = committed(true, Some(8)).unwrap();
        assert!(
            text.ends_with("an overflow at loss scale 8, which is 4 from here"),
            "{text}"
        );
    }
}
