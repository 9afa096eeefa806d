//! Everything a run leaves for people, fed by committed steps.
//!
//! In: commits, notices, the end. Out: the terminal or JSON events, `metrics.jsonl`, `log_history`, TensorBoard events,
//! and `logs/cluster.jsonl` with who did what.
//! Keeps: after a rewind, back or forward, the files hold the history of the step that the run goes on from; a full
//! disk never ends the training.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use shared::config::RunConfig;
use shared::error::Result;
use shared::evaluation::{Course, EvaluationSet, SetSums};
use shared::ids::Step;
use shared::ledger::Commit;
use shared::numerics::loss_value;
use shared::paths::{RunPaths, TRAINER_STATE};
use shared::plan::{Plan, StepPlan};

use super::files::Files;
use super::memory::Memory;
use crate::engine::{Committed, Evaluated, Notice};
use crate::estimate::serving::refusals;
use crate::history::{
    Answers, AppendLog, EvaluationEntry, HistoryEntry, Reporter, Sentinel, StepRecord, TrainerState,
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
    pub course: Course,
    /// The evaluation sets, in the order of the sums.
    pub sets: &'a [EvaluationSet],
}

/// The open files of a run's history, and the terminal.
pub struct Journal {
    config: Arc<RunConfig>,
    plan: Arc<Plan>,
    reporter: Reporter,
    trainer_state: TrainerState,
    /// The trainer state at every step since this start.
    memory: Memory,
    files: Files,
    cluster: AppendLog,
    sentinel: Sentinel,
    course: Course,
    sets: Vec<EvaluationSet>,
    answers: Option<Answers>,
    /// Complaints said since the last checkpoint: each is said again only after the next one.
    complaints: BTreeSet<String>,
}

impl Journal {
    /// Opens the journal of a run whose checkpoint of step `from` lies in `checkpoint`, and that
    /// has committed `since` after it.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn open(
        config: Arc<RunConfig>,
        plan: Arc<Plan>,
        mut reporter: Reporter,
        from: Step,
        checkpoint: Option<&Path>,
        since: &LedgerHistory<'_>,
    ) -> Result<Self> {
        let stands = since.commits.last().map_or(from, |commit| commit.step);
        reporter.start(plan.total_steps(), config.logging_steps, stands);
        let paths = RunPaths::new(&config.output_dir);
        let trainer_state = match checkpoint {
            Some(folder) => {
                TrainerState::restore(&folder.join(TRAINER_STATE), &config, &plan, from)?
            }
            None => TrainerState::new(&config, &plan),
        };
        let cluster = AppendLog::open(&paths.cluster_log(), "the log cannot be written")?;
        let mut journal = Self {
            memory: Memory::new(TrainerState::new(&config, &plan), trainer_state.clone()),
            trainer_state,
            files: Files::open(paths, from)?,
            cluster,
            config,
            plan,
            reporter,
            sentinel: Sentinel::default(),
            course: since.course.clone(),
            sets: since.sets.to_vec(),
            answers: None,
            complaints: BTreeSet::new(),
        };
        journal.remember_evaluation(since, from);
        for commit in since.commits {
            let record = journal.remembered(commit);
            journal.keep(&record)?;
            journal.remember_evaluation(since, commit.step);
        }
        for commit in since.ahead {
            journal.remember_ahead(since, commit);
        }
        // Alarms that an earlier start gave are not given again.
        let _ = journal.sentinel.look(&journal.trainer_state.evaluations());
        Ok(journal)
    }

    fn remember_evaluation(&mut self, since: &LedgerHistory<'_>, step: Step) {
        if let Some(sums) = since.evaluations.get(&step) {
            let entry = self.entry(step, sums);
            self.keep_evaluation(step, &entry);
        }
    }

    /// Remembers a rewound step, which is no history unless the run goes forward to it.
    fn remember_ahead(&mut self, since: &LedgerHistory<'_>, commit: &Commit) {
        let (step, record) = (commit.step, self.remembered(commit));
        self.memory.step(&record);
        if let Some(sums) = since.evaluations.get(&step) {
            let epoch = self.plan.step(step).epoch;
            let entry = EvaluationEntry::new(step, epoch, &self.sets, sums);
            self.memory.evaluated(step, &entry);
        }
    }

    fn entry(&self, step: Step, sums: &[SetSums]) -> EvaluationEntry {
        EvaluationEntry::new(step, self.trainer_state.epoch, &self.sets, sums)
    }

    /// Adds an evaluation to the history and the curves, unless it is there already.
    fn keep_evaluation(&mut self, step: Step, entry: &EvaluationEntry) {
        let best = self.course.standing(step).best;
        self.memory.evaluated(step, entry);
        if self.trainer_state.evaluated(entry, best) {
            let told = self.files.entry(HistoryEntry::Evaluation(entry.clone()));
            self.complain(told);
        }
    }

    /// From now on the answers of each evaluation go to these files.
    pub fn keep_answers(&mut self, answers: Answers) {
        let text = format!("answers to eval_prompts: {}", answers.page().display());
        self.say(&text);
        self.answers = Some(answers);
    }

    /// Writes the answers of an evaluation down, before its ledger line: a recorded evaluation is not computed again.
    pub(super) fn answered(&mut self, evaluated: &Evaluated) {
        if let Some(answers) = &mut self.answers {
            let told = answers.add(evaluated.step, &evaluated.answers);
            self.complain(told);
        }
    }

    /// Writes an evaluation down, and reports it with the sentinel's alarms.
    pub(super) fn evaluated(&mut self, evaluated: &Evaluated) -> Result<()> {
        let Evaluated { step, standing, .. } = evaluated;
        self.course.add(*step, evaluated.sums.clone());
        let entry = self.entry(*step, &evaluated.sums);
        self.keep_evaluation(*step, &entry);
        let best = standing.best.map(|(step, _)| step);
        self.reporter.evaluation(&entry, best, standing.stops);
        let alarms = self.sentinel.look(&self.trainer_state.evaluations());
        for alarm in alarms {
            self.reporter.overfitting(&alarm);
        }
        if standing.stops {
            self.say(&format!(
                "stopped early at step {step}: {} evaluations in a row were not better",
                standing.without_improvement
            ));
        }
        let told = self.line(&json!({
            "event": "evaluation",
            "step": step,
            "term": evaluated.term,
            "generation": evaluated.generation,
            "compute_us": evaluated.compute_us,
            "wall_us": evaluated.wall_us,
        }));
        self.complain(told);
        Ok(())
    }

    /// The record of a step that an earlier start committed, from its ledger line.
    fn remembered(&self, commit: &Commit) -> StepRecord {
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

    /// Says at which address workers can join.
    pub fn listening(&mut self, address: &str) {
        self.reporter.listening(address, None);
    }

    /// Writes a committed step down.
    pub(super) fn commit(
        &mut self,
        committed: &Committed,
        plan: &StepPlan,
        traffic: (u64, u64),
    ) -> Result<()> {
        let record = step_record(committed, plan, &self.plan);
        self.keep(&record)?;
        let told = self.who_did_what(committed, traffic);
        self.complain(told);
        self.reporter.step(&record);
        Ok(())
    }

    /// Adds a step to the history and the curves. A full disk is reported, and lines that could not be written are
    /// tried again.
    fn keep(&mut self, record: &StepRecord) -> Result<()> {
        if let Some(entry) = self.trainer_state.record(record)? {
            let told = self.files.entry(HistoryEntry::Steps(entry));
            self.complain(told);
        }
        self.memory.step(record);
        let told = self.files.step(record.clone());
        self.complain(told);
        Ok(())
    }

    fn complain(&mut self, told: Result<()>) {
        let Err(error) = told else { return };
        let complaint = shared::error::render(&error);
        if self.complaints.insert(complaint.clone()) {
            self.say(&format!("the run goes on: {complaint}"));
        }
    }

    /// Reports a line that people should know, as [`Reporter::notice`] does.
    pub(super) fn say(&mut self, text: &str) {
        self.reporter.notice(text);
    }

    /// The newest step in the history.
    pub(super) fn stands(&self) -> Step {
        Step(self.trainer_state.global_step)
    }

    /// The state file of a checkpoint's step, as it was at that step, however late it is written.
    ///
    /// # Errors
    /// [`Code::Internal`](shared::error::Code::Internal) when it cannot be serialised.
    pub(super) fn trainer_state(&mut self, step: Step, paths: &RunPaths) -> Result<String> {
        if step == self.stands() {
            return self.trainer_state.to_json();
        }
        self.state_at(step, paths).to_json()
    }

    /// Moves the history to an earlier or a later step; with `void`, the steps after it are forgotten, because a fork
    /// made them void.
    pub(super) fn rewind(&mut self, step: Step, void: bool, paths: &RunPaths) {
        let stood = self.stands();
        let state = self.state_at(step, paths);
        if void {
            self.memory.forget_after(step);
        }
        let told = if step > stood {
            let entries = state.since(stood);
            self.files.forward(self.memory.steps(stood, step), entries)
        } else {
            self.files.back(step)
        };
        self.trainer_state = state;
        self.complain(told);
    }

    /// The trainer state after a step: from memory, or from the step's checkpoint. Where neither has it, the part of
    /// the present history up to the step: a gap in the history must not end a run.
    fn state_at(&mut self, step: Step, paths: &RunPaths) -> TrainerState {
        let course = &self.course;
        let best = |step| course.standing(step).best;
        if let Some(state) = self.memory.at(step, &best) {
            return state;
        }
        let file = paths.checkpoint(step).join(TRAINER_STATE);
        match TrainerState::restore(&file, &self.config, &self.plan, step) {
            Ok(state) => {
                self.memory.stands_at(state.clone());
                state
            }
            Err(error) => {
                self.complain(Err(error));
                let epoch = match step {
                    Step(0) => 0.0,
                    step => self.plan.step(step).epoch,
                };
                self.trainer_state.cut(step, epoch)
            }
        }
    }

    pub(super) fn notice(&mut self, notice: &Notice, workers: usize) {
        if let Notice::Loaded { worker, .. } = notice {
            self.reporter.worker_joined(&worker.0, workers);
        }
        self.reporter.notice(&notice.to_string());
    }

    pub(super) fn published(&mut self, step: Step, folder: &str) {
        self.complaints.clear();
        self.reporter.checkpoint(step, Path::new(folder));
    }

    pub(super) fn complete(&mut self, step: Step, paths: &RunPaths, traffic: (u64, u64)) {
        let told = self.line(&json!({
            "event": "complete", "step": step, "coordinator_bytes_received": traffic.0,
            "coordinator_bytes_sent": traffic.1,
        }));
        self.complain(told);
        for refusal in refusals(&self.config) {
            self.reporter.notice(&refusal);
        }
        self.reporter.ends_at(step);
        self.reporter.complete(paths.output_dir());
    }

    fn who_did_what(&mut self, committed: &Committed, traffic: (u64, u64)) -> Result<()> {
        self.line(&json!({
            "event": "step",
            "step": committed.step,
            "state_digest": committed.state_digest,
            "micro_batches": committed.contributions,
            "recomputed": committed.recomputed,
            "generation": committed.generation,
            "term": committed.term,
            "compute_us": committed.compute_us,
            "reduce_us": committed.slowest_us.0,
            "apply_us": committed.slowest_us.1,
            "bytes_sent": committed.bytes_sent,
            "coordinator_bytes_received": traffic.0,
            "coordinator_bytes_sent": traffic.1,
        }))
    }

    fn line(&mut self, value: &serde_json::Value) -> Result<()> {
        self.cluster.append(format!("{value}\n").as_bytes())
    }
}

fn step_record(committed: &Committed, plan: &StepPlan, all: &Plan) -> StepRecord {
    let scale = committed.loss_scale;
    let unscheduled = scale.map_or(0, |scale| scale.skipped_steps);
    let unless_skipped = |value| if committed.skipped { f64::NAN } else { value };
    StepRecord {
        step: committed.step,
        epoch: plan.epoch,
        loss: unless_skipped(loss_value(committed.loss, plan.loss_units)),
        grad_norm: unless_skipped(committed.grad_norm),
        learning_rate: all.learning_rate(committed.step, unscheduled),
        num_tokens: plan.loss_units,
        skipped: committed.skipped,
        loss_scale: scale.map(|scale| scale.scale),
        skipped_steps: scale.map(|scale| scale.after(committed.skipped).skipped_steps),
        workers: committed.contributions.len(),
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
