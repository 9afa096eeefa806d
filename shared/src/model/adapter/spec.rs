//! What an adapter is, whoever says it: a run's configuration or PEFT's adapter_config.json.
//!
//! Keeps: a name in a pattern means what PEFT means by it: a regular expression for the end of a
//! module path, whole parts of it.

use regex::Regex;

use super::Candidate;
use crate::config::{AdapterKind, BiasMode, RunConfig, TargetModules, names_module};
use crate::error::{Code, Error, Result};

/// The description of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSpec {
    /// What lies over a module.
    pub kind: AdapterKind,
    /// DoRA: a magnitude for each output, and a direction that the pair turns.
    pub use_dora: bool,
    /// Rank, where no pattern says another.
    pub rank: u32,
    /// Alpha, where no pattern says another.
    pub alpha: f64,
    /// Alpha is divided by the root of the rank.
    pub use_rslora: bool,
    /// Ranks of modules that differ from `rank`, by PEFT's pattern; the first pattern that matches decides.
    pub rank_pattern: Vec<(String, u32)>,
    /// Alphas of modules that differ from `alpha`, by PEFT's pattern; the first pattern that matches decides.
    pub alpha_pattern: Vec<(String, f64)>,
    /// Modules that are adapted, before `layers` narrows them.
    pub targets: TargetModules,
    /// Layers that are adapted, by index; `None` is all.
    pub layers: Option<Vec<u32>>,
    /// Modules that are trained whole.
    pub modules_to_save: Vec<String>,
    /// Biases that learn beside the adapter.
    pub bias: BiasMode,
    /// IA3: which are scaled at their input; `None` is the MLP's last.
    pub feedforward: Option<Vec<String>>,
}

impl From<&RunConfig> for AdapterSpec {
    fn from(config: &RunConfig) -> Self {
        let adapter = &config.adapter;
        Self {
            kind: config.adapter_type,
            use_dora: adapter.use_dora,
            rank: config.lora_rank,
            alpha: config.lora_alpha,
            use_rslora: config.use_rslora,
            rank_pattern: adapter.rank_pattern.clone(),
            alpha_pattern: adapter.alpha_pattern.clone(),
            targets: config.target_modules.clone(),
            layers: adapter.layers.clone(),
            modules_to_save: adapter.modules_to_save.clone(),
            bias: adapter.bias,
            feedforward: adapter.feedforward_modules.clone(),
        }
    }
}

impl AdapterSpec {
    /// Rank of a module.
    #[must_use]
    pub fn rank_of(&self, module: &str) -> u32 {
        first(&self.rank_pattern, module)
            .copied()
            .unwrap_or(self.rank)
    }

    /// Alpha of a module.
    #[must_use]
    pub fn alpha_of(&self, module: &str) -> f64 {
        first(&self.alpha_pattern, module)
            .copied()
            .unwrap_or(self.alpha)
    }

    /// The factor on a module's B·A.
    #[must_use]
    pub fn scaling_of(&self, module: &str) -> f64 {
        let rank = f64::from(self.rank_of(module));
        let divisor = if self.use_rslora { rank.sqrt() } else { rank };
        self.alpha_of(module) / divisor
    }

    /// Whether IA3 scales a module at its input.
    #[must_use]
    pub fn scales_input(&self, module: &str) -> bool {
        match &self.feedforward {
            Some(names) => names.iter().any(|name| names_module(name, module)),
            None => names_module("down_proj", module),
        }
    }

    /// Whether every pattern means some module.
    pub(super) fn patterns_match(&self, chosen: &[Candidate]) -> Result<()> {
        let ranks = self
            .rank_pattern
            .iter()
            .map(|(name, _)| ("rank_pattern", name));
        let alphas = self
            .alpha_pattern
            .iter()
            .map(|(name, _)| ("alpha_pattern", name));
        let feedforward = self
            .feedforward
            .iter()
            .flatten()
            .filter(|_| self.kind == AdapterKind::Ia3);
        let feedforward = feedforward.map(|name| ("feedforward_modules", name));
        for (key, name) in ranks.chain(alphas).chain(feedforward) {
            let pattern = pattern(name).map_err(|reason| {
                Error::new(
                    Code::NoTargetModule,
                    format!("{key} holds no pattern: {name}"),
                )
                .why(reason)
            })?;
            if !chosen
                .iter()
                .any(|candidate| pattern.is_match(&candidate.spec.name))
            {
                let what = format!("{key} names {name}, which no adapted module is called");
                return Err(Error::new(Code::NoTargetModule, what)
                    .why("a name is the end of a module path, such as q_proj or 0.self_attn.q_proj")
                    .fix("name an adapted module, or add it to target_modules"));
            }
        }
        Ok(())
    }
}

fn first<'a, T>(patterns: &'a [(String, T)], module: &str) -> Option<&'a T> {
    let fits = |name: &str| pattern(name).is_ok_and(|pattern| pattern.is_match(module));
    let found = patterns.iter().find(|(name, _)| fits(name));
    found.map(|(_, value)| value)
}

/// PEFT's own: a regular expression for the last parts of a path.
fn pattern(name: &str) -> std::result::Result<Regex, String> {
    Regex::new(&format!("^(?:.*\\.)?(?:{name})$")).map_err(|e| e.to_string())
}
