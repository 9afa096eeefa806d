//! What a configuration says about evaluations during the run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Validation data, how often, and when it ends the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationConfig {
    /// Folder or file with data that is not trained on.
    pub dir: Option<PathBuf>,
    /// Share of the training data that is kept out of it; 0 keeps nothing out.
    pub split: f64,
    /// Steps between evaluations; `None` is once per epoch.
    pub every: Option<u64>,
    /// So many evaluations in a row without a better one end the run.
    pub patience: Option<u32>,
    /// Better means lower by more than this, nats per token.
    pub threshold: f64,
    /// What the model is asked at each evaluation; an older run asked nothing.
    #[serde(default)]
    pub prompts: Vec<String>,
    /// Longest answer, tokens.
    #[serde(default)]
    pub max_new_tokens: u32,
}

impl EvaluationConfig {
    /// Whether there is validation data.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.dir.is_some() || self.split > 0.0
    }
}
