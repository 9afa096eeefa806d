//! Nothing is given up that somebody still holds: no way back while a holder is on its way, no release of the
//! last holder before its state is on storage.

use std::time::Duration;

use coordinator::engine::Rewind;
use shared::ids::{Step, WorkerId};

use super::Violation;
use crate::store::Store;

/// A machine that holds a state.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) machine: usize,
    pub(crate) step: Step,
    /// It came with this very state, and said so.
    pub(crate) told: bool,
    /// It has the best state, in memory or kept.
    pub(crate) best: bool,
    /// Its session broke so long ago, and it has not been waited for as long as it may take.
    pub(crate) on_its_way: Option<Duration>,
}

/// Back to an earlier step only when nobody is there or on its way with the committed state; or for the best one, which
/// `lost` says nobody there has, when nobody is on its way with that.
pub(super) fn rewind(
    committed: Step,
    rewind: &Rewind,
    lost: bool,
    holders: &[Holder],
) -> Result<(), Violation> {
    if rewind.step >= committed || !rewind.forked.is_empty() {
        return Ok(());
    }
    let comes = |h: &Holder| h.on_its_way.is_some();
    let has = |h: &&Holder| {
        if lost {
            comes(h) && h.best
        } else {
            h.step == committed && (comes(h) || h.told)
        }
    };
    match holders.iter().find(has) {
        Some(holder) => Err(Violation::new(
            "no needless rollback",
            format!(
                "from step {committed} to {}, and of m{} it is known: {holder:?}",
                rewind.step, holder.machine
            ),
        )),
        None => Ok(()),
    }
}

/// Whoever may go is not the last one with what is not on storage.
pub(super) fn release(
    committed: Step,
    worker: &WorkerId,
    others: &[Holder],
    store: &Store,
) -> Result<(), Violation> {
    let stored = committed == Step(0) || store.checkpoints.contains_key(&committed);
    let held = others.iter().any(|h| h.step.next() >= committed);
    if stored || held {
        return Ok(());
    }
    Err(Violation::new(
        "the last holder stays",
        format!("{worker} may go, and the state of step {committed} is nowhere else"),
    ))
}
