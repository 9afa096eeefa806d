//! What is asked of a resolved configuration beyond its values.

use super::adapter::EMBEDDING_RATE;
use super::choices::{LossOn, OnNonFinite, Precision, Quantization};
use super::keys::{EvaluationConfig, FormatConfig, QuantizationConfig, RunConfig, StabilityConfig};
use crate::error::{Code, Error, Result};

impl RunConfig {
    /// Samples per optimizer step; never multiplied by workers.
    #[must_use]
    pub fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.gradient_accumulation_steps)
    }

    /// What is learned, whichever key says it.
    #[must_use]
    pub fn learned(&self) -> LossOn {
        if self.train_on_inputs {
            LossOn::All
        } else {
            self.loss_on
        }
    }

    /// The learning rate of an embedding's pair, where LoRA+ gives it one of its own.
    #[must_use]
    pub fn embedding_rate(&self) -> Option<f64> {
        let own = self.adapter.loraplus_lr_embedding.unwrap_or(EMBEDDING_RATE);
        self.adapter.loraplus_lr_ratio.map(|_| own)
    }

    /// The loss scale before step 1; there is none unless the run computes in fp16.
    #[must_use]
    pub fn first_loss_scale(&self) -> Option<u64> {
        let scale = self.stability.initial_loss_scale;
        (self.precision == Precision::Fp16).then_some(scale)
    }

    /// The configuration as workers are told it.
    ///
    /// # Errors
    /// [`Code::Internal`] when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(
                Code::Internal,
                "the configuration cannot be written as JSON",
            )
            .why(error.to_string())
        })
    }
}

impl EvaluationConfig {
    /// Whether there is validation data.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.dir.is_some() || self.split > 0.0
    }
}

impl Default for StabilityConfig {
    fn default() -> Self {
        Self {
            on_non_finite: OnNonFinite::Skip,
            max_skipped_steps: 10,
            initial_loss_scale: 65_536,
        }
    }
}

impl Default for QuantizationConfig {
    fn default() -> Self {
        Self {
            form: Quantization::None,
            double: true,
        }
    }
}

impl FormatConfig {
    /// The role that this name is given, whatever its case: by its own entry, or else by the first
    /// pattern that fits it.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&str> {
        let name = name.trim().to_lowercase();
        let exact = self.roles.iter().find(|n| n.name.to_lowercase() == name);
        let named = exact.or_else(|| self.roles.iter().find(|n| n.fits(&name)));
        named.map(|named| named.part.as_str())
    }
}
