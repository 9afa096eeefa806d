//! Every committed state is the one that a single worker without any fault has at that step.

use std::collections::BTreeMap;

use coordinator::engine::Committed;
use shared::ids::Step;

use super::Violation;

pub(super) fn step(
    reference: &BTreeMap<Step, String>,
    commit: &Committed,
) -> Result<(), Violation> {
    if reference.get(&commit.step) == Some(&commit.state_digest) {
        return Ok(());
    }
    Err(Violation::new(
        "same bytes",
        format!("step {} was committed with another state", commit.step),
    ))
}
