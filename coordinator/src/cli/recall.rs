//! What a coordinator that comes back remembers, from the lines of its ledger.
//!
//! In: the ledger, and the checkpoint the run could go on from. Out: the workers to wait for, the
//! digests to trust, the steps committed since that checkpoint, a number no worker had yet.

use std::collections::BTreeMap;
use std::path::Path;

use shared::error::Result;
use shared::evaluation::SetSums;
use shared::ids::Step;
use shared::ledger::{Commit, Record, State};

use crate::engine::Remembered;
use crate::store::{self, LEDGER};

/// What is remembered.
pub(super) struct Recalled {
    /// For the engine.
    pub(super) remembered: Remembered,
    /// Committed after the checkpoint, in order.
    pub(super) since: Vec<Commit>,
    /// Evaluated at the checkpoint or after it, as far as the run goes on from there.
    pub(super) evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// The next worker's number.
    pub(super) next_worker: u64,
}

/// Reads the ledger once more.
///
/// # Errors
/// Whatever is wrong with it.
pub(super) fn recall(output_dir: &Path, state: &State, from: Step) -> Result<Recalled> {
    let mut since: Vec<Commit> = Vec::new();
    let mut highest = 0;
    store::read(&output_dir.join(LEDGER), |_, record| {
        match record {
            Record::Commit(commit) => {
                since.retain(|c| c.step < commit.step);
                if commit.step > from {
                    since.push(commit.clone());
                }
            }
            Record::Rewind(rewind) => since.retain(|c| c.step <= rewind.step),
            Record::Members(members) => {
                let number = |w: &shared::ids::WorkerId| {
                    let name = w.0.split('.').next().unwrap_or_default();
                    name.rsplit('-').next().and_then(|n| n.parse::<u64>().ok())
                };
                let numbers = members.workers.iter().filter_map(number);
                highest = numbers.fold(highest, u64::max);
            }
            _ => {}
        }
        Ok(())
    })?;
    let (generation, workers) = state
        .members
        .as_ref()
        .map(|m| (m.generation, m.workers.clone()))
        .unwrap_or_default();
    let digests = since.iter().map(|c| (c.step, c.state_digest.clone()));
    let remembered = Remembered {
        committed: state.committed,
        digests: digests.collect(),
        generation,
        members: workers.into_iter().collect(),
        evaluations: state.evaluations.clone(),
        evaluated: state.evaluated,
        skipped: state.skipped.clone(),
    };
    let (awaited, mut evaluations) = (!remembered.members.is_empty(), state.evaluations.clone());
    let last = if awaited { state.committed } else { from };
    evaluations.retain(|step, _| (from..=last).contains(step));
    // Without somebody to wait for the run goes on from the checkpoint.
    if remembered.members.is_empty() {
        since.clear();
    }
    Ok(Recalled {
        remembered,
        since,
        evaluations,
        next_worker: highest + 1,
    })
}
