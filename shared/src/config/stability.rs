//! What a configuration says about values that are not finite, and about the loss scale of fp16.

use serde::{Deserialize, Serialize};

/// What happens to a step with values that are not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNonFinite {
    /// It is skipped and counted, on every worker alike.
    #[default]
    Skip,
    /// The run ends before it.
    Fail,
}

/// Policy and first loss scale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StabilityConfig {
    /// What happens to a step with values that are not finite.
    pub on_non_finite: OnNonFinite,
    /// So many of them in a row end the run.
    pub max_skipped_steps: u32,
    /// The loss scale before step 1 in fp16, a power of two.
    pub initial_loss_scale: u64,
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
