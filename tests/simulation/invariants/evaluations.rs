//! Every evaluation that is due happens before the next step, once, and comes to the same numbers.

use coordinator::engine::Evaluated;
use shared::ids::Step;

use super::Violation;
use crate::evaluation::{Reference, is_due};
use crate::plan::Setting;

/// It is of the committed state, and the first of it.
pub(super) fn in_order(committed: Step, before: Option<Step>, step: Step) -> Result<(), Violation> {
    if step == committed && before != Some(step) {
        return Ok(());
    }
    Err(Violation::new(
        "evaluations",
        format!(
            "step {step} was evaluated after step {committed} was committed, {before:?} was evaluated"
        ),
    ))
}

/// What it came to is what a single worker comes to.
pub(super) fn same_numbers(reference: &Reference, evaluated: &Evaluated) -> Result<(), Violation> {
    let step = evaluated.step;
    let violation = |what: String| Err(Violation::new("evaluations", what));
    if reference.evaluations.get(&step) != Some(&evaluated.sums) {
        return violation(format!("step {step} was evaluated to {:?}", evaluated.sums));
    }
    if reference.answers.get(&step) != Some(&evaluated.answers) {
        return violation(format!("step {step} was answered {:?}", evaluated.answers));
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
    setting: &Setting,
    step: Step,
    evaluated: Option<Step>,
) -> Result<(), Violation> {
    let due = (1..step.0).rev().map(Step).find(|s| is_due(setting, *s));
    match due.filter(|due| evaluated < Some(*due)) {
        Some(due) => Err(Violation::new(
            "evaluations",
            format!("step {step} was committed and step {due} never evaluated"),
        )),
        None => Ok(()),
    }
}
