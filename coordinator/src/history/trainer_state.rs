//! `trainer_state.json` in the Hugging Face form, and the `log_history` in it.
//!
//! In: the plan's size and one record per step. Out: a JSON file that transformers' `TrainerState.load_from_json`
//! reads, and back again on resume. Every `logging_steps` an entry with the mean of the step losses since the last
//! entry, without those of skipped steps, which are counted; the losses not yet in an entry are kept under
//! `stateful_callbacks`, the one place where transformers allows more, so that a resumed run writes the same entries as
//! one that never stopped.
//! Keeps: numbers are not rounded; nothing depends on workers or time.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::config::RunConfig;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::plan::Plan;
use shared::run_paths::checkpoint_name;

use super::evaluation::EvaluationEntry;
use super::number;
use super::record::StepRecord;

/// The state of a run as transformers' Trainer writes it. Fields are in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainerState {
    best_global_step: Option<u64>,
    best_metric: Option<f64>,
    best_model_checkpoint: Option<String>,
    /// Epochs done after `global_step`, in fractions.
    pub epoch: f64,
    eval_steps: u64,
    /// The newest step; only the step after it can be recorded next.
    pub global_step: u64,
    is_hyper_param_search: bool,
    is_local_process_zero: bool,
    is_world_process_zero: bool,
    /// Entries so far, of steps and evaluations, in order.
    pub log_history: Vec<HistoryEntry>,
    /// Number of steps that each entry of steps covers.
    pub logging_steps: u64,
    /// Steps of the whole run.
    pub max_steps: u64,
    num_input_tokens_seen: u64,
    /// Number of epochs of the whole run, the last of which may be incomplete.
    pub num_train_epochs: u64,
    /// Steps between checkpoints.
    pub save_steps: u64,
    stateful_callbacks: Stateful,
    total_flos: f64,
    /// `batch_size` of the configuration.
    pub train_batch_size: u32,
    trial_name: Option<String>,
    trial_params: Option<String>,
}

/// An entry of `log_history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HistoryEntry {
    /// The mean over the steps since the entry before.
    Steps(LogEntry),
    /// The figures of one evaluation.
    Evaluation(EvaluationEntry),
}

impl HistoryEntry {
    /// The step that the entry was written at.
    #[must_use]
    pub fn step(&self) -> u64 {
        match self {
            Self::Steps(entry) => entry.step,
            Self::Evaluation(entry) => entry.step,
        }
    }
}

/// The entry for the steps since the last one; figures without "since" are of its own step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Epochs done after this step, in fractions.
    pub epoch: f64,
    /// Norm of this step's gradient before clipping.
    #[serde(with = "number")]
    pub grad_norm: f64,
    /// The learning rate of this step, by the schedule.
    pub learning_rate: f64,
    /// Mean of the step losses since the last entry, of steps that were not skipped.
    #[serde(with = "number")]
    pub loss: f64,
    /// The loss scale this step was computed with, in fp16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<u64>,
    /// Target tokens of this step.
    pub num_tokens: u64,
    /// Steps since the last entry whose update was skipped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_steps: u64,
    /// The step that the entry was written at.
    pub step: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stateful {
    #[serde(rename = "SinceLastLog", default)]
    since_last_log: SinceLastLog,
}

/// Losses of the steps that no entry covers yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct SinceLastLog {
    #[serde(with = "number")]
    loss_sum: f64,
    skipped_steps: u64,
    steps: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl TrainerState {
    /// The state before step 1.
    #[must_use]
    pub fn new(config: &RunConfig, plan: &Plan) -> Self {
        Self {
            best_global_step: None,
            best_metric: None,
            best_model_checkpoint: None,
            epoch: 0.0,
            eval_steps: config.evaluation.every.unwrap_or(0),
            global_step: 0,
            is_hyper_param_search: false,
            is_local_process_zero: true,
            is_world_process_zero: true,
            log_history: Vec::new(),
            logging_steps: config.logging_steps,
            max_steps: plan.total_steps(),
            num_input_tokens_seen: 0,
            num_train_epochs: plan.epochs(),
            save_steps: config.save_steps,
            stateful_callbacks: Stateful::default(),
            total_flos: 0.0,
            train_batch_size: config.batch_size,
            trial_name: None,
            trial_params: None,
        }
    }

    /// Reads a checkpoint's file and goes on with this configuration and plan.
    ///
    /// # Errors
    /// [`Code::NoCheckpoint`] when the file cannot be read or stands at another step.
    pub fn restore(file: &Path, config: &RunConfig, plan: &Plan, step: Step) -> Result<Self> {
        let unusable = |why: String| {
            Error::new(
                Code::NoCheckpoint,
                "the checkpoint's trainer state cannot be used",
            )
            .in_file(file)
            .why(why)
            .fix("resume_from_checkpoint: another checkpoint, or --overwrite to start anew")
        };
        let text = std::fs::read_to_string(file).map_err(|e| unusable(e.to_string()))?;
        let saved: Self = serde_json::from_str(&text).map_err(|e| unusable(e.to_string()))?;
        if saved.global_step != step.0 {
            return Err(unusable(format!(
                "it is of step {}, not {step}",
                saved.global_step
            )));
        }
        Ok(Self {
            epoch: saved.epoch,
            global_step: saved.global_step,
            best_global_step: saved.best_global_step,
            best_metric: saved.best_metric,
            best_model_checkpoint: saved.best_model_checkpoint,
            log_history: saved.log_history,
            stateful_callbacks: saved.stateful_callbacks,
            ..Self::new(config, plan)
        })
    }

    /// Adds the next step; returns the entry when this step is one that is logged.
    ///
    /// # Errors
    /// [`Code::Internal`] when the record is not of the next step.
    pub fn record(&mut self, record: &StepRecord) -> Result<Option<LogEntry>> {
        if record.step.0 != self.global_step + 1 {
            let text = format!(
                "step {} follows step {} in the history",
                record.step, self.global_step
            );
            return Err(Error::new(Code::Internal, text));
        }
        self.global_step = record.step.0;
        self.epoch = record.epoch;
        let since = &mut self.stateful_callbacks.since_last_log;
        if !record.skipped {
            since.loss_sum += record.loss;
            since.steps += 1;
        }
        since.skipped_steps += u64::from(record.skipped);
        if !self.global_step.is_multiple_of(self.logging_steps.max(1)) {
            return Ok(None);
        }
        let since = std::mem::take(since);
        let entry = LogEntry {
            epoch: record.epoch,
            grad_norm: record.grad_norm,
            learning_rate: record.learning_rate,
            loss: since.loss_sum / since.steps as f64,
            loss_scale: record.loss_scale,
            num_tokens: record.num_tokens,
            skipped_steps: since.skipped_steps,
            step: record.step.0,
        };
        self.log_history.push(HistoryEntry::Steps(entry.clone()));
        Ok(Some(entry))
    }

    /// Adds an evaluation of the newest step; `best` is the best step so far and its loss. False when the evaluation is
    /// in the history already.
    pub fn evaluated(&mut self, entry: &EvaluationEntry, best: Option<(Step, f64)>) -> bool {
        self.best_global_step = best.map(|(step, _)| step.0);
        self.best_metric = best.map(|(_, loss)| loss);
        self.best_model_checkpoint = best.map(|(step, _)| checkpoint_name(step));
        let newest = self.evaluations().last().map(|e| e.step);
        if newest.is_some_and(|step| step >= entry.step) {
            return false;
        }
        self.log_history
            .push(HistoryEntry::Evaluation(entry.clone()));
        true
    }

    /// The entries after `step`.
    #[must_use]
    pub fn since(&self, step: Step) -> Vec<HistoryEntry> {
        let later = |entry: &&HistoryEntry| entry.step() > step.0;
        self.log_history.iter().filter(later).cloned().collect()
    }

    /// The state after an earlier step, made from the history's entries alone: losses that no entry covers are lost.
    #[must_use]
    pub fn cut(&self, step: Step, epoch: f64) -> Self {
        let mut state = self.clone();
        state.log_history.retain(|entry| entry.step() <= step.0);
        state.stateful_callbacks = Stateful::default();
        state.global_step = step.0;
        state.epoch = epoch;
        state
    }

    /// All evaluations in the history, in order.
    #[must_use]
    pub fn evaluations(&self) -> Vec<EvaluationEntry> {
        let of = |entry: &HistoryEntry| match entry {
            HistoryEntry::Evaluation(entry) => Some(entry.clone()),
            HistoryEntry::Steps(_) => None,
        };
        self.log_history.iter().filter_map(of).collect()
    }

    /// The file's content.
    ///
    /// # Errors
    /// [`Code::Internal`] when the state cannot be serialised.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(Code::Internal, "trainer state").why(e.to_string()))?;
        Ok(text + "\n")
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Code::Io`].
    pub fn save(&self, file: &Path) -> Result<()> {
        shared::storage::write_atomic(file, self.to_json()?.as_bytes())
    }
}

#[cfg(test)]
#[path = "trainer_state_tests.rs"]
mod tests;
