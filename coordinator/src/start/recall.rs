//! What a coordinator that comes back remembers, from the lines of its ledger.
//!
//! In: what was read of the ledger, and the checkpoint the run could go on from. Out: the workers to
//! wait for, the digests to trust, the steps committed since that checkpoint, and those that lie ahead of
//! where the run stands and may be gone forward to.
//! Keeps: nothing is read again, but for a checkpoint that is older than the newest one in the ledger.

use std::collections::BTreeMap;

use shared::error::{Code, Error, Result};
use shared::evaluation::SetSums;
use shared::ids::Step;
use shared::ledger::Commit;
use shared::manifest::Manifest;
use shared::storage::{Folder, Objects};
use shared::wire::message::SyncSource;

use crate::engine::{Remembered, Restorable, StoredCheckpoint};
use crate::store::{CommitsAfter, Replay, Store};

/// What is remembered.
pub(super) struct Recalled {
    /// For the engine.
    pub(super) remembered: Remembered,
    /// Committed after the checkpoint, as far as the run goes on from there, in order.
    pub(super) since: Vec<Commit>,
    /// Committed after that, in order.
    pub(super) ahead: Vec<Commit>,
    /// Evaluated at the checkpoint or after it.
    pub(super) evaluations: BTreeMap<Step, Vec<SetSums>>,
}

/// Of a run that goes on from `from`, whose ledger is open.
///
/// # Errors
/// Whatever is wrong with the ledger, where it has to be read once more, and with the manifest of the
/// checkpoint the run goes on from.
pub(super) fn recall(
    objects: &dyn Objects,
    store: &dyn Store,
    replay: &Replay,
    from: &Restorable,
) -> Result<Recalled> {
    let state = store.state();
    let state = state.ok_or_else(|| Error::new(Code::Internal, "the ledger has no run"))?;
    let since = match replay.since(from.step) {
        Some(since) => since,
        None => again(store, from.step)?,
    };
    let members = state.members.as_ref();
    let mut remembered = Remembered {
        begins_after: state.run.begins_after,
        committed: state.committed,
        digests: replay.digests().clone(),
        generation: members.map(|m| m.generation).unwrap_or_default(),
        awaited: members
            .map(|m| m.incarnations.iter().cloned().collect())
            .unwrap_or_default(),
        stored: stored(objects, replay),
        parts: replay.parts().clone(),
        evaluations: state.evaluations.clone(),
        evaluated: state.evaluated,
        skipped: state.skipped.clone(),
    };
    let mut evaluations = state.evaluations.clone();
    evaluations.retain(|step, _| *step >= from.step);
    let (mut stands, mut ahead) = (since.commits, since.rewound);
    // Without somebody to wait for the run goes on from the checkpoint.
    if remembered.awaited.is_empty() {
        stands.append(&mut ahead);
        ahead = std::mem::take(&mut stands);
    }
    inherit_evaluations(&mut remembered, from)?;
    Ok(Recalled {
        remembered,
        since: stands,
        ahead,
        evaluations,
    })
}

/// The newest checkpoint in the ledger is not the one that the run goes on from.
fn again(store: &dyn Store, from: Step) -> Result<CommitsAfter> {
    let mut replay = Replay::after(from);
    store.replay(&mut |record| replay.follow(record))?;
    Ok(replay.since(from).unwrap_or_default())
}

/// A run that goes on from elsewhere takes the evaluations over with the state.
fn inherit_evaluations(remembered: &mut Remembered, from: &Restorable) -> Result<()> {
    let SyncSource::Checkpoint(folder) = &from.source else {
        return Ok(());
    };
    let before = Manifest::read(&Folder::new(folder))?.evaluations;
    let newest = before.keys().next_back().copied();
    remembered.evaluated = remembered.evaluated.or(newest);
    for (step, sums) in before {
        remembered.evaluations.entry(step).or_insert(sums);
    }
    Ok(())
}

/// Checkpoints that have a line in the ledger and a folder, oldest first.
fn stored(objects: &dyn Objects, replay: &Replay) -> Vec<StoredCheckpoint> {
    let there = replay
        .checkpoints()
        .filter(|known| objects.has(&known.folder));
    there
        .map(|checkpoint| StoredCheckpoint {
            step: checkpoint.step,
            folder: objects.place(&checkpoint.folder).display().to_string(),
            state_digest: checkpoint.state_digest.clone(),
        })
        .collect()
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
