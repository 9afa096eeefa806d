//! The figures of one committed step that people are shown.

use serde::{Deserialize, Serialize};
use shared::ids::Step;

use super::number;

/// A committed step's figures, as a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's number, from 1.
    pub step: Step,
    /// Epochs done after the step, in fractions.
    pub epoch: f64,
    /// Mean loss of the step's target tokens, in nats; null in JSON when not finite.
    #[serde(with = "number")]
    pub loss: f64,
    /// L2 norm of the gradient before clipping; null in JSON when not finite.
    #[serde(with = "number")]
    pub grad_norm: f64,
    /// The learning rate of the step, by the schedule.
    pub learning_rate: f64,
    /// Target tokens of the step's samples.
    pub num_tokens: u64,
    /// Whether the update was skipped because a value was not finite or out of range.
    #[serde(default)]
    pub skipped: bool,
    /// The loss scale that the gradients were computed with; `None` outside fp16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<u64>,
    /// Skipped steps of the run so far, in fp16: the learning rate's schedule does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// Number of workers with a credited micro-batch.
    pub workers: usize,
}

#[cfg(test)]
pub(super) fn record(step: u64) -> StepRecord {
    StepRecord {
        step: Step(step),
        epoch: step as f64 / 3.0,
        loss: 3.0 / step as f64,
        grad_norm: 0.5 + step as f64 / 7.0,
        learning_rate: 1.5e-4 / step as f64,
        num_tokens: 100 + step,
        skipped: false,
        loss_scale: None,
        skipped_steps: None,
        workers: 2,
    }
}
