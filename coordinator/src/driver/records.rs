//! What the ledger says of an event. Pure.

use shared::ledger::{self, Record};
use shared::run_paths::checkpoint_name;

use crate::history::RunEvent;

/// The ledger's line of an event; `None` of one that decides nothing and proves nothing.
pub(super) fn record(event: &RunEvent) -> Option<Record> {
    Some(match event {
        RunEvent::Members(members) => Record::Members(members.clone()),
        RunEvent::Step(step) => Record::Commit(step.commit.clone()),
        RunEvent::Evaluation(evaluation) => Record::Evaluation(evaluation.evaluation.clone()),
        RunEvent::Evicted(evicted) => Record::Evicted(evicted.clone()),
        RunEvent::Checkpoint {
            step, state_digest, ..
        } => Record::Checkpoint(ledger::Checkpoint {
            step: *step,
            folder: checkpoint_name(*step),
            state_digest: state_digest.clone(),
            ..ledger::Checkpoint::default()
        }),
        RunEvent::CheckpointSetAside(checkpoint) => Record::Checkpoint(checkpoint.clone()),
        RunEvent::Rewind(rewind) => Record::Rewind(rewind.clone()),
        RunEvent::Complete(complete) => Record::Complete(ledger::Complete {
            step: complete.step,
            adapter_sha256: complete.adapter_sha256.clone(),
        }),
        RunEvent::Started { .. }
        | RunEvent::Listening { .. }
        | RunEvent::WorkerJoined { .. }
        | RunEvent::Overfitting { .. }
        | RunEvent::Notice(_)
        | RunEvent::Error(_) => return None,
    })
}
