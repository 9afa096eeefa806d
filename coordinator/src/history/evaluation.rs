//! The figures of an evaluation, as its entry in `log_history`.

use serde::{Deserialize, Serialize};
use shared::evaluation::{EvaluationSet, PARENT, SetSums, TRAIN_SAMPLE};
use shared::ids::Step;

use super::number;

/// An evaluation, in Trainer's names where it has some. Losses are in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationEntry {
    /// Epochs done at the evaluated step, in fractions.
    pub epoch: f64,
    /// Mean cross entropy of a validation token.
    #[serde(with = "number")]
    pub eval_loss: f64,
    /// Mean over the validation samples of each sample's mean cross entropy.
    #[serde(with = "number")]
    pub eval_sample_loss: f64,
    /// Perplexity of the validation tokens, `exp(eval_loss)`.
    #[serde(with = "number")]
    pub eval_perplexity: f64,
    /// Share of validation tokens that are the most probable one.
    #[serde(with = "number")]
    pub eval_accuracy: f64,
    /// Number of validation tokens that have a loss.
    pub eval_num_tokens: i64,
    /// Number of validation samples with such a token.
    pub eval_num_samples: i64,
    /// Mean cross entropy of a token in a fixed sample of the training rows, without dropout.
    #[serde(with = "number")]
    pub eval_train_sample_loss: f64,
    /// Share of these rows whose answer the model would write word for word.
    #[serde(with = "number")]
    pub eval_train_sample_verbatim: f64,
    /// Mean cross entropy of a token in a fixed sample of the parent's training rows.
    #[serde(
        with = "number::optional",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub eval_parent_loss: Option<f64>,
    /// The step whose committed state was evaluated.
    pub step: u64,
}

impl EvaluationEntry {
    /// The entry of an evaluation of `step`, where `epoch` epochs are done.
    #[must_use]
    pub fn new(step: Step, epoch: f64, sets: &[EvaluationSet], sums: &[SetSums]) -> Self {
        let validation = sums.first().copied().unwrap_or_default();
        let of = |name: &str| {
            let mut named = sets.iter().zip(sums);
            named
                .find(|(set, _)| set.name == name)
                .map(|(_, sums)| *sums)
        };
        let sample = of(TRAIN_SAMPLE).unwrap_or_default();
        Self {
            epoch,
            eval_loss: validation.mean_loss(),
            eval_sample_loss: validation.mean_sample_loss(),
            eval_perplexity: validation.perplexity(),
            eval_accuracy: validation.accuracy(),
            eval_num_tokens: validation.targets,
            eval_num_samples: validation.samples,
            eval_train_sample_loss: sample.mean_loss(),
            eval_train_sample_verbatim: sample.verbatim_share(),
            eval_parent_loss: of(PARENT).map(|sums| sums.mean_loss()),
            step: step.0,
        }
    }
}
