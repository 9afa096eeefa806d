//! The ledger has no gap and no repeat, and each step credits every micro-batch exactly once.

use coordinator::engine::Committed;
use shared::ids::Step;

use super::Violation;
use crate::plan::Setting;
use crate::store::Store;

pub(super) fn step(before: Step, micro_batches: u32, commit: &Committed) -> Result<(), Violation> {
    if commit.step != before.next() {
        return Err(Violation::new(
            "gapless ledger",
            format!("step {} was committed after step {before}", commit.step),
        ));
    }
    credits(micro_batches, commit)
}

fn credits(micro_batches: u32, commit: &Committed) -> Result<(), Violation> {
    let credited: Vec<_> = commit.credits.keys().map(|id| id.0).collect();
    if credited.iter().copied().eq(0..micro_batches) {
        return Ok(());
    }
    Err(Violation::new(
        "every sample once",
        format!(
            "step {} credits {credited:?} of {micro_batches}",
            commit.step
        ),
    ))
}

/// What is written at the end.
pub(super) fn whole(store: &Store, setting: &Setting) -> Result<(), Violation> {
    let committed = store.committed();
    let steps = setting.steps;
    if !committed.keys().map(|s| s.0).eq(1..=steps) {
        return Err(Violation::new(
            "gapless ledger",
            format!("written are {:?} of {steps} steps", committed.keys()),
        ));
    }
    let mut commits = committed.values();
    commits.try_for_each(|c| credits(setting.micro_batches(c.step), c))
}
