//! The history of a run's steps and evaluations: the trainer state now and at every earlier step, and the growing files
//! of it.
//!
//! In: steps, evaluations and rewinds. Out: `log_history`, `metrics.jsonl`, TensorBoard events.
//! Keeps: after a rewind, back or forward, the files hold the history of the step that the run goes on from; what a
//! full disk does not take waits, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use shared::config::RunConfig;
use shared::error::{Error, Result};
use shared::evaluation::{Course, EvaluationSet, SetSums};
use shared::ids::Step;
use shared::ledger::Commit;
use shared::plan::Plan;
use shared::run_paths::{RunPaths, TRAINER_STATE};

use super::events::step_record;
use super::files::Files;
use super::history_at_step::HistoryAtStep;
use crate::engine::Committed;
use crate::history::{
    EvaluationEntry, EventSink, HistoryEntry, RunEvent, StepRecord, TrainerState,
};

/// The steps and evaluations that the ledger has after the checkpoint that a run goes on from.
pub struct LedgerHistory<'a> {
    /// Commits after the checkpoint that still stand, in order.
    pub commits: &'a [Commit],
    /// Commits after these that were rewound, in order: the run may go forward to them.
    pub ahead: &'a [Commit],
    /// Sums of the evaluations of these steps and of the checkpoint's own step.
    pub evaluations: &'a BTreeMap<Step, Vec<SetSums>>,
    /// Every evaluation of the run, from its first step.
    pub course: &'a Course,
    /// The evaluation sets, in the order of the sums.
    pub sets: &'a [EvaluationSet],
}

/// The trainer state of a run, now and at every step since this start, and its open files.
pub(super) struct RunHistory {
    config: Arc<RunConfig>,
    plan: Arc<Plan>,
    paths: RunPaths,
    pub(super) trainer_state: TrainerState,
    pub(super) at_steps: HistoryAtStep,
    files: Files,
    /// What could not be written or read since it was last asked for: none of it ends a run.
    complaints: Vec<Error>,
}

impl RunHistory {
    /// Opens the history of a run whose checkpoint of step `from` lies in `checkpoint`, and that has committed `since`
    /// after it.
    ///
    /// # Errors
    /// [`Code::Io`](shared::error::Code::Io) with the path.
    pub(super) fn open(
        config: Arc<RunConfig>,
        plan: Arc<Plan>,
        from: Step,
        checkpoint: Option<&Path>,
        since: &LedgerHistory<'_>,
    ) -> Result<Self> {
        let paths = RunPaths::new(&config.output_dir);
        let trainer_state = match checkpoint {
            Some(folder) => {
                TrainerState::restore(&folder.join(TRAINER_STATE), &config, &plan, from)?
            }
            None => TrainerState::new(&config, &plan),
        };
        let mut history = Self {
            at_steps: HistoryAtStep::new(TrainerState::new(&config, &plan), trainer_state.clone()),
            trainer_state,
            files: Files::open(paths.clone(), from)?,
            paths,
            config,
            plan,
            complaints: Vec::new(),
        };
        history.restore(since, from)?;
        Ok(history)
    }

    /// Adds what the ledger has after the checkpoint.
    fn restore(&mut self, since: &LedgerHistory<'_>, from: Step) -> Result<()> {
        self.restore_evaluation(since, from);
        for commit in since.commits {
            self.step(&self.recorded(commit))?;
            self.restore_evaluation(since, commit.step);
        }
        // A rewound step is no history unless the run goes forward to it.
        for commit in since.ahead {
            let (step, record) = (commit.step, self.recorded(commit));
            self.at_steps.step(&record);
            if let Some(sums) = since.evaluations.get(&step) {
                let epoch = self.plan.step(step).epoch;
                let entry = EvaluationEntry::new(step, epoch, since.sets, sums);
                self.at_steps
                    .evaluated(step, entry, since.course.standing(step).best);
            }
        }
        Ok(())
    }

    fn restore_evaluation(&mut self, since: &LedgerHistory<'_>, step: Step) {
        if let Some(sums) = since.evaluations.get(&step) {
            let entry = EvaluationEntry::new(step, self.trainer_state.epoch, since.sets, sums);
            self.evaluated(step, &entry, since.course.standing(step).best);
        }
    }

    /// The record of a step that an earlier start committed, from its ledger line.
    fn recorded(&self, commit: &Commit) -> StepRecord {
        let workers: BTreeSet<_> = commit.micro_batches.iter().map(|c| &c.worker).collect();
        let committed = Committed {
            step: commit.step,
            loss: commit.loss,
            grad_norm: f64::from_bits(commit.grad_norm_bits),
            skipped: commit.skipped,
            loss_scale: commit.loss_scale,
            contributions: workers.into_iter().map(|w| (w.clone(), 1)).collect(),
            ..Committed::default()
        };
        step_record(&committed, &self.plan.step(commit.step), &self.plan)
    }

    /// Adds a step to the trainer state, the history at each step and the files.
    ///
    /// # Errors
    /// [`Code::Internal`](shared::error::Code::Internal) when it is not the step after the newest one: a gap would
    /// falsify every later curve.
    fn step(&mut self, record: &StepRecord) -> Result<()> {
        if let Some(entry) = self.trainer_state.record(record)? {
            let written = self.files.entry(HistoryEntry::Steps(entry));
            self.complain(written);
        }
        self.at_steps.step(record);
        let written = self.files.step(record.clone());
        self.complain(written);
        Ok(())
    }

    /// Adds an evaluation to the history and the curves, unless it is there already.
    fn evaluated(&mut self, step: Step, entry: &EvaluationEntry, best: Option<(Step, f64)>) {
        self.at_steps.evaluated(step, entry.clone(), best);
        if self.trainer_state.evaluated(entry, best) {
            let written = self.files.entry(HistoryEntry::Evaluation(entry.clone()));
            self.complain(written);
        }
    }

    fn complain(&mut self, written: Result<()>) {
        self.complaints.extend(written.err());
    }

    /// What could not be written or read since it was last asked for. A piece that a file did not take waits.
    pub(super) fn complaints(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.complaints)
    }

    /// The newest step in the history.
    pub(super) fn newest(&self) -> Step {
        Step(self.trainer_state.global_step)
    }

    /// Epochs done after the newest step, in fractions.
    pub(super) fn epoch(&self) -> f64 {
        self.trainer_state.epoch
    }

    /// Every evaluation in the history, in order.
    pub(super) fn evaluations(&self) -> Vec<EvaluationEntry> {
        self.trainer_state.evaluations()
    }

    /// The state file of a checkpoint's step, as it was at that step, however late it is written.
    ///
    /// # Errors
    /// [`Code::Internal`](shared::error::Code::Internal) when it cannot be serialised.
    pub(super) fn trainer_state(&mut self, step: Step) -> Result<String> {
        if step == self.newest() {
            return self.trainer_state.to_json();
        }
        self.state_at(step).to_json()
    }

    /// Moves the history to an earlier or a later step; with `void`, the steps after it are forgotten, because a fork
    /// made them void.
    fn rewind(&mut self, step: Step, void: bool) {
        let stood = self.newest();
        let state = self.state_at(step);
        if void {
            self.at_steps.forget_after(step);
        }
        let written = if step > stood {
            let entries = state.since(stood);
            self.files
                .forward(self.at_steps.steps(stood, step), entries)
        } else {
            self.files.back(step)
        };
        self.trainer_state = state;
        self.complain(written);
    }

    /// The trainer state after a step: from memory, or from the step's checkpoint. Where neither has it, the part of
    /// the present history up to the step: a gap in the history must not end a run.
    fn state_at(&mut self, step: Step) -> TrainerState {
        if let Some(state) = self.at_steps.at(step) {
            return state;
        }
        let file = self.paths.checkpoint(step).join(TRAINER_STATE);
        match TrainerState::restore(&file, &self.config, &self.plan, step) {
            Ok(state) => {
                self.at_steps.stands_at(state.clone());
                state
            }
            Err(error) => {
                self.complaints.push(error);
                let epoch = match step {
                    Step(0) => 0.0,
                    step => self.plan.step(step).epoch,
                };
                self.trainer_state.cut(step, epoch)
            }
        }
    }
}

impl EventSink for RunHistory {
    fn take(&mut self, event: &RunEvent) -> Result<()> {
        match event {
            RunEvent::Step(step) => self.step(&step.record)?,
            RunEvent::Evaluation(evaluation) => {
                let entry = &evaluation.entry;
                self.evaluated(Step(entry.step), entry, evaluation.best());
            }
            RunEvent::Rewind(rewind) => self.rewind(rewind.step, !rewind.forked.is_empty()),
            _ => {}
        }
        Ok(())
    }
}
