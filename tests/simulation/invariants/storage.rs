//! What has a name on storage is what the members agreed on, and the result is decided by the ledger.

use shared::ids::Step;
use shared::numerics;

use super::Violation;
use crate::store::{Checkpoint, Store};

/// A checkpoint's content is the agreed one when it gets its name.
pub(super) fn published(
    agreed: Option<&String>,
    step: Step,
    checkpoint: &Checkpoint,
) -> Result<(), Violation> {
    if agreed == Some(&numerics::state_digest(&checkpoint.state)) && checkpoint.is_sound() {
        return Ok(());
    }
    Err(Violation::new(
        "published is agreed",
        format!("checkpoint {step} holds another state"),
    ))
}

/// The newest one and the best one stay.
pub(super) fn removed(best: Option<Step>, step: Step, store: &Store) -> Result<(), Violation> {
    let newest = store.checkpoints.keys().next_back() == Some(&step);
    if best != Some(step) && !newest {
        return Ok(());
    }
    Err(Violation::new(
        "retention",
        format!("checkpoint {step} goes, and the best is {best:?}"),
    ))
}

/// Only what is damaged, or of a course that the run has left, is set aside.
pub(super) fn set_aside(
    step: Step,
    digest: Option<&String>,
    store: &Store,
) -> Result<(), Violation> {
    let checkpoint = store.checkpoints.get(&step);
    if checkpoint.is_none_or(|c| !c.is_sound() || digest != Some(&c.state_digest)) {
        return Ok(());
    }
    Err(Violation::new(
        "culprits",
        format!("checkpoint {step} is set aside, and it is sound"),
    ))
}

/// What loaders find is the state of the step that the ledger makes the result.
pub(super) fn result(
    last: Step,
    (step, digest): (Step, Option<&String>),
    store: &Store,
) -> Result<(), Violation> {
    let violation = |what: String| Err(Violation::new("result", what));
    let Some(exported) = &store.exported else {
        return violation("the run is complete, and there is no adapter".into());
    };
    if (exported.result, exported.last) != (step, last) {
        return violation(format!(
            "the result is that of step {} of {}, and not of step {step} of {last}",
            exported.result, exported.last
        ));
    }
    if digest != Some(&numerics::state_digest(&exported.state)) {
        return violation(format!("the result is not the state of step {step}"));
    }
    Ok(())
}
