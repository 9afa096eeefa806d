//! Every evaluation that is due happens before the next step, once, and comes to the same numbers.

use coordinator::engine::Evaluated;
use shared::ids::Step;

use super::Violation;
use crate::evaluation::Reference;

pub(super) fn evaluation(
    reference: &Reference,
    committed: Step,
    before: Option<Step>,
    evaluated: &Evaluated,
) -> Result<(), Violation> {
    let step = evaluated.step;
    let violation = |what: String| Err(Violation::new("evaluations", what));
    if step != committed || before == Some(step) {
        return violation(format!(
            "step {step} was evaluated after step {committed} was committed, {before:?} was evaluated"
        ));
    }
    if reference.evaluations.get(&step) != Some(&evaluated.sums) {
        return violation(format!("step {step} was evaluated to {:?}", evaluated.sums));
    }
    let stops = step == reference.last && evaluated.standing.stops;
    if evaluated.standing.stops != stops {
        return violation(format!(
            "step {step} stops the run: {:?}",
            evaluated.standing
        ));
    }
    Ok(())
}

/// What was due before this step was evaluated.
pub(super) fn none_missing(
    reference: &Reference,
    step: Step,
    evaluated: Option<Step>,
) -> Result<(), Violation> {
    let due = reference.evaluations.range(..step).next_back();
    let missing = due.filter(|(due, _)| evaluated < Some(**due));
    match missing {
        Some((due, _)) => Err(Violation::new(
            "evaluations",
            format!("step {step} was committed and step {due} never evaluated"),
        )),
        None => Ok(()),
    }
}
