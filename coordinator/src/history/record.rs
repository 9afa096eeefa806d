//! One committed step, as people hear of it.

use serde::{Deserialize, Serialize};
use shared::ids::Step;

use super::number;

/// A committed step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its number.
    pub step: Step,
    /// Epochs done after it.
    pub epoch: f64,
    /// Mean loss over its target tokens; null in JSON when not finite.
    #[serde(with = "number")]
    pub loss: f64,
    /// Norm of the gradient before clipping; null in JSON when not finite.
    #[serde(with = "number")]
    pub grad_norm: f64,
    /// The learning rate it used.
    pub learning_rate: f64,
    /// Its target tokens.
    pub num_tokens: u64,
    /// The update was skipped: a value was not finite or out of range.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The loss scale it was computed with, in fp16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<u64>,
    /// Steps of the run that were skipped so far, in fp16; the learning rate does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped_steps: Option<u64>,
    /// Workers that contributed a micro-batch.
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
