//! The course of a run's evaluations: which was best, and whether patience is over.
//!
//! Keeps: a pure function of the evaluations, so that a coordinator that comes back, or a run that
//! goes on from a checkpoint, decides the same.

use std::collections::BTreeMap;

use super::SetSums;
use crate::ids::Step;

/// When a run stops early.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Patience {
    /// So many evaluations in a row without a better one end the run; `None` never does.
    pub evaluations: Option<u32>,
    /// Better means lower by more than this, nats.
    pub threshold: f64,
}

/// Every evaluation so far: the sums of each set, the validation's first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    patience: Patience,
    evaluations: BTreeMap<Step, Vec<SetSums>>,
}

/// How things stand after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The step with the lowest validation loss; `None` while there is no finite one.
    pub best: Option<(Step, f64)>,
    /// Evaluations in a row that were not better.
    pub without_improvement: u32,
    /// Whether patience is over: the run ends with this step.
    pub stops: bool,
}

impl Course {
    /// A course with what is known already.
    #[must_use]
    pub fn new(patience: Patience, evaluations: BTreeMap<Step, Vec<SetSums>>) -> Self {
        Self {
            patience,
            evaluations,
        }
    }

    /// Adds an evaluation, or repeats it.
    pub fn add(&mut self, step: Step, sums: Vec<SetSums>) {
        self.evaluations.insert(step, sums);
    }

    /// Forgets the evaluations of all other steps.
    pub fn retain(&mut self, keep: impl Fn(Step) -> bool) {
        self.evaluations.retain(|step, _| keep(*step));
    }

    /// What an evaluation came to, when there was one.
    #[must_use]
    pub fn get(&self, step: Step) -> Option<&[SetSums]> {
        self.evaluations.get(&step).map(Vec::as_slice)
    }

    /// The step of the newest one up to a step.
    #[must_use]
    pub fn newest(&self, step: Step) -> Option<Step> {
        newest(&self.evaluations, step)
    }

    /// The evaluations up to a step, that one included.
    #[must_use]
    pub fn up_to(&self, step: Step) -> BTreeMap<Step, Vec<SetSums>> {
        let known = self.evaluations.range(..=step);
        known.map(|(step, sums)| (*step, sums.clone())).collect()
    }

    /// How things stood after the evaluation of `step`, whatever came later.
    #[must_use]
    pub fn standing(&self, step: Step) -> Standing {
        let mut best: Option<(Step, f64)> = None;
        let mut without_improvement = 0;
        let limit = self.patience.evaluations;
        let mut stops = false;
        for (at, sums) in self.evaluations.range(..=step) {
            let loss = sums.first().map_or(f64::NAN, SetSums::mean_loss);
            let better = match best {
                _ if loss.is_nan() => false,
                Some((_, least)) => least - loss > self.patience.threshold,
                None => true,
            };
            if better {
                best = Some((*at, loss));
                without_improvement = 0;
            } else {
                without_improvement += 1;
            }
            stops = limit.is_some_and(|limit| without_improvement >= limit);
        }
        Standing {
            best,
            without_improvement,
            stops,
        }
    }
}

/// The newest step up to `step` whose state is evaluated: what counts after a rewind to it, back or
/// forward.
#[must_use]
pub fn newest(evaluations: &BTreeMap<Step, Vec<SetSums>>, step: Step) -> Option<Step> {
    evaluations.range(..=step).next_back().map(|(at, _)| *at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(patience: Patience, losses: &[f32]) -> Course {
        let mut course = Course::new(patience, BTreeMap::new());
        for (step, loss) in (1..).zip(losses) {
            let mut sums = SetSums::default();
            sums.add(&[*loss], &[false]);
            course.add(Step(step * 10), vec![sums]);
        }
        course
    }

    #[test]
    fn patience_counts_evaluations_that_are_not_better() {
        let patience = Patience {
            evaluations: Some(2),
            threshold: 0.0,
        };
        let course = course(patience, &[2.0, 1.0, 1.5, 1.0, 0.5]);
        let at = |step| course.standing(Step(step));
        assert_eq!(at(20).best, Some((Step(20), 1.0)));
        assert_eq!((at(30).without_improvement, at(30).stops), (1, false));
        assert_eq!((at(40).without_improvement, at(40).stops), (2, true));
        assert_eq!(at(50).best, Some((Step(50), 0.5)));
        assert!(!at(50).stops);
    }

    #[test]
    fn a_loss_that_is_no_number_is_never_the_best() {
        let course = course(Patience::default(), &[f32::INFINITY, 3.0]);
        assert_eq!(course.standing(Step(10)).best, None);
        assert_eq!(course.standing(Step(20)).best, Some((Step(20), 3.0)));
        assert!(!course.standing(Step(20)).stops);
    }

    #[test]
    fn the_threshold_is_how_much_better_better_is() {
        let patience = Patience {
            evaluations: Some(1),
            threshold: 0.25,
        };
        let course = course(patience, &[1.0, 0.75, 0.5]);
        assert!(course.standing(Step(20)).stops);
    }
}
