//! What kind of adapter a run trains, and which modules get one.
//!
//! Not here: rank, alpha and the other keys of an adapter (`keys`), which modules a base model has
//! (`shared::model`).

use serde::{Deserialize, Serialize};

use super::words::words;

words! {
    /// What lies over a linear.
    #[derive(Default)]
    AdapterKind {
        /// LoRA: A `[R, I]` and B `[O, R]`, whose product is added to the weight.
        #[default]
        Lora = "lora",
        /// IA3: one vector that scales inputs or outputs.
        Ia3 = "ia3",
    }
}

words! {
    /// Rule that LoRA's A and B are first set by.
    #[derive(Default)]
    LoraInit {
        /// A is drawn uniform (Kaiming's rule), B is zero.
        #[default]
        Default = "default",
        /// A is drawn normal, B is zero.
        Gaussian = "gaussian",
        /// A and B are the base's largest singular values, which are taken out of the base (PiSSA).
        Pissa = "pissa",
    }
}

words! {
    /// Biases that learn beside the adapter.
    #[derive(Default)]
    BiasMode {
        /// No bias learns.
        #[default]
        None = "none",
        /// Every bias of the base model learns.
        All = "all",
        /// The biases of the adapted linears learn.
        LoraOnly = "lora_only",
    }
}

/// Linears that are adapted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetModules {
    /// Exact name or suffix after a dot, sorted and without repeats.
    Names(Vec<String>),
    /// Every linear but the output head.
    AllLinear,
    /// Every linear of the attention blocks.
    Attention,
    /// Every linear of the MLP blocks.
    Mlp,
    /// Every linear whose whole path this regular expression fits.
    Regex(String),
}

/// The value of `target_modules` that is not a name.
pub(super) const ALL_LINEAR: &str = "all-linear";
/// Values of `target_modules` that stand for several modules.
pub(super) const GROUPS: &[&str] = &[ALL_LINEAR, "attention", "mlp"];
/// What stands before a regular expression in `target_modules`.
pub(super) const REGEX: &str = "re:";
/// PEFT's and Trainer's learning rate of an embedding's pair under LoRA+.
pub(super) const EMBEDDING_RATE: f64 = 1e-6;

impl TargetModules {
    /// Names that PEFT takes for the kind of adapter.
    pub(super) fn usual(kind: AdapterKind) -> Self {
        let names: &[&str] = match kind {
            AdapterKind::Ia3 => &["down_proj", "k_proj", "v_proj"],
            AdapterKind::Lora => &["q_proj", "v_proj"],
        };
        Self::Names(names.iter().map(|&name| name.to_owned()).collect())
    }
}

/// Whether a name means this module: its path, or the end of it after a dot.
#[must_use]
pub fn names_module(name: &str, module: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
