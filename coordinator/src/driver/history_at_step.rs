//! The history at every step that the run may go on from.
//!
//! In: steps and evaluations as they are committed. Out: the trainer state after any of these steps, without its file:
//! the checkpoint may be gone, or may never have been written.
//! Keeps: about a hundred bytes of memory a step, no more than the history itself; a step that comes again replaces its
//! earlier record.

use std::collections::BTreeMap;

use shared::ids::Step;

use crate::history::{EvaluationEntry, StepRecord, TrainerState};

/// Records of the steps since this start of the program, and the trainer states they follow.
pub(super) struct HistoryAtStep {
    /// Trainer states from files, and the one before step 1.
    bases: BTreeMap<Step, TrainerState>,
    steps: BTreeMap<Step, StepRecord>,
    /// Each evaluation with the best step up to it.
    evaluations: BTreeMap<Step, (EvaluationEntry, Option<(Step, f64)>)>,
}

impl HistoryAtStep {
    /// The history of a run whose state before step 1 is `first` and whose newest is `now`.
    pub(super) fn new(first: TrainerState, now: TrainerState) -> Self {
        let mut history = Self {
            bases: BTreeMap::new(),
            steps: BTreeMap::new(),
            evaluations: BTreeMap::new(),
        };
        history.stands_at(first);
        history.stands_at(now);
        history
    }

    /// Adds a trainer state that was read from a file.
    pub(super) fn stands_at(&mut self, state: TrainerState) {
        self.bases.insert(Step(state.global_step), state);
    }

    /// Adds a committed step.
    pub(super) fn step(&mut self, record: &StepRecord) {
        self.steps.insert(record.step, record.clone());
    }

    /// Adds the evaluation of a step, with the best step up to it and that one's loss.
    pub(super) fn evaluated(
        &mut self,
        step: Step,
        entry: EvaluationEntry,
        best: Option<(Step, f64)>,
    ) {
        self.evaluations.insert(step, (entry, best));
    }

    /// Forgets everything after a step, because a fork made it void.
    pub(super) fn forget_after(&mut self, step: Step) {
        let later = step.next();
        self.bases.split_off(&later);
        self.steps.split_off(&later);
        self.evaluations.split_off(&later);
    }

    /// The records of steps after `after`, up to and including `last`.
    pub(super) fn steps(&self, after: Step, last: Step) -> Vec<StepRecord> {
        let between = self.steps.range(after.next()..=last);
        between.map(|(_, record)| record.clone()).collect()
    }

    /// The trainer state after a step, `None` when a step before it is not known.
    pub(super) fn at(&self, step: Step) -> Option<TrainerState> {
        let (base, state) = self.bases.range(..=step).next_back()?;
        let mut state = state.clone();
        let evaluate = |state: &mut TrainerState, step: Step| {
            if let Some((entry, best)) = self.evaluations.get(&step) {
                state.evaluated(entry, *best);
            }
        };
        evaluate(&mut state, *base);
        if *base < step {
            for (at, record) in self.steps.range(base.next()..=step) {
                // An error means a gap before this step.
                state.record(record).ok()?;
                evaluate(&mut state, *at);
            }
        }
        (state.global_step == step.0).then_some(state)
    }
}
