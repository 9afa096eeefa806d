//! What the engine orders, as lines of the ledger.

use shared::ids::WorkerId;
use shared::ledger::{self, Credit, Evicted, Record};
use shared::plan::{Plan, StepPlan};

use crate::engine::{Committed, Notice};

/// A committed step: what was credited, and which rows that were.
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
        target_tokens: step.target_tokens,
        loss: committed.loss,
        grad_norm_bits: committed.grad_norm.to_bits(),
        skipped: committed.skipped,
        state_digest: committed.state_digest.clone(),
    })
}

/// Who was forced to leave, and why.
pub(super) fn evicted(notice: &Notice) -> Option<Record> {
    let worker: &WorkerId = match notice {
        Notice::Silent { worker }
        | Notice::Hung { worker, .. }
        | Notice::HungInReduce { worker, .. }
        | Notice::Corrupt { worker, .. } => worker,
        _ => return None,
    };
    Some(Record::Evicted(Evicted {
        worker: worker.clone(),
        reason: notice.to_string(),
    }))
}
