//! What kind of adapter a run trains, beyond rank, alpha and where it lies.
//!
//! In: the keys from `adapter_type` to `loraplus_lr_embedding`. Out: an [`AdapterConfig`], whose default is plain
//! LoRA. Not here: which modules a base model has (`shared::model`).

use serde::{Deserialize, Serialize};

use super::run::RunConfig;

/// The kind of adapter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// What lies over a linear.
    pub kind: AdapterKind,
    /// LoRA learns directions, and a magnitude per output beside them (DoRA).
    pub use_dora: bool,
    /// Where LoRA's matrices start.
    pub init: LoraInit,
    /// Other ranks for some modules, the first that fits counts.
    pub rank_pattern: Vec<(String, u32)>,
    /// Other alphas for some modules, the first that fits counts.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Only these layers are adapted; `None` is all.
    pub layers: Option<Vec<u32>>,
    /// Whole modules that are trained and saved beside the adapter, sorted.
    pub modules_to_save: Vec<String>,
    /// Which biases learn.
    pub bias: BiasMode,
    /// B's learning rate is that of A times this (LoRA+); `None` is the same for both.
    pub loraplus_lr_ratio: Option<f64>,
    /// Learning rate of an embedding's pair under LoRA+; `None` is PEFT's 1e-6.
    pub loraplus_lr_embedding: Option<f64>,
    /// IA3: which of the modules are scaled at their input; `None` is the MLP's last.
    pub feedforward_modules: Option<Vec<String>>,
}

/// What lies over a linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// Two thin matrices.
    #[default]
    Lora,
    /// One vector that scales inputs or outputs.
    Ia3,
}

/// Where LoRA's matrices start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoraInit {
    /// A uniform, B zero.
    #[default]
    Default,
    /// A normal, B zero.
    Gaussian,
    /// The base's largest singular values, which are taken out of it.
    Pissa,
}

/// Which biases learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasMode {
    /// None.
    #[default]
    None,
    /// All the base model has.
    All,
    /// Those of adapted linears.
    LoraOnly,
}

/// Whether activations are computed again on the way back instead of being kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checkpointing {
    /// Where they would not fit.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// PEFT's and Trainer's learning rate of an embedding's pair under LoRA+.
pub(super) const EMBEDDING_RATE: f64 = 1e-6;

impl RunConfig {
    /// The learning rate of an embedding's pair, where LoRA+ gives it one of its own.
    #[must_use]
    pub fn embedding_rate(&self) -> Option<f64> {
        let own = self.adapter.loraplus_lr_embedding.unwrap_or(EMBEDDING_RATE);
        self.adapter.loraplus_lr_ratio.map(|_| own)
    }
}

/// Whether a name means this module: its path, or the end of it after a dot.
#[must_use]
pub fn names_module(name: &str, module: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
