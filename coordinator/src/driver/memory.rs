//! What the history was at any step that the run may go on from.
//!
//! In: steps and evaluations as they are committed. Out: the trainer state after any of them, without a
//! file: a checkpoint's may be gone, or there may never have been one.
//! Keeps: no more than the history itself does, about a hundred bytes a step; what comes again takes the
//! place of what was there.

use std::collections::BTreeMap;

use shared::ids::Step;

use crate::history::{EvaluationEntry, StepRecord, TrainerState};

/// Steps since this start of the program, and the states they follow.
pub(super) struct Memory {
    /// States from files, and the one before step 1.
    bases: BTreeMap<Step, TrainerState>,
    steps: BTreeMap<Step, StepRecord>,
    evaluations: BTreeMap<Step, EvaluationEntry>,
}

impl Memory {
    /// Of a run that begins as `first` and stands at `now`.
    pub(super) fn new(first: TrainerState, now: TrainerState) -> Self {
        let mut memory = Self {
            bases: BTreeMap::new(),
            steps: BTreeMap::new(),
            evaluations: BTreeMap::new(),
        };
        memory.stands_at(first);
        memory.stands_at(now);
        memory
    }

    /// A state that was read from a file.
    pub(super) fn stands_at(&mut self, state: TrainerState) {
        self.bases.insert(Step(state.global_step), state);
    }

    /// A committed step.
    pub(super) fn step(&mut self, record: &StepRecord) {
        self.steps.insert(record.step, record.clone());
    }

    /// An evaluated one.
    pub(super) fn evaluated(&mut self, step: Step, entry: &EvaluationEntry) {
        self.evaluations.insert(step, entry.clone());
    }

    /// What was committed after a step does not come again.
    pub(super) fn forget_after(&mut self, step: Step) {
        let later = step.next();
        self.bases.split_off(&later);
        self.steps.split_off(&later);
        self.evaluations.split_off(&later);
    }

    /// Steps after `after`, up to `last`.
    pub(super) fn steps(&self, after: Step, last: Step) -> Vec<StepRecord> {
        let between = self.steps.range(after.next()..=last);
        between.map(|(_, record)| record.clone()).collect()
    }

    /// The trainer state after a step, `None` when a step before it is not known; `best` is the best
    /// evaluation up to a step.
    pub(super) fn at(
        &self,
        step: Step,
        best: &impl Fn(Step) -> Option<(Step, f64)>,
    ) -> Option<TrainerState> {
        let (base, state) = self.bases.range(..=step).next_back()?;
        let mut state = state.clone();
        let evaluate = |state: &mut TrainerState, step: Step| {
            if let Some(entry) = self.evaluations.get(&step) {
                state.evaluated(entry, best(step));
            }
        };
        evaluate(&mut state, *base);
        if *base < step {
            for (at, record) in self.steps.range(base.next()..=step) {
                // An error is a gap: this step does not follow.
                state.record(record).ok()?;
                evaluate(&mut state, *at);
            }
        }
        (state.global_step == step.0).then_some(state)
    }
}
