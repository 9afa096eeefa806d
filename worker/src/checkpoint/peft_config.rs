//! adapter_config.json: the small stable set of keys that every PEFT version reads without a word.
//!
//! In: the configuration and the layout. Out: JSON with sorted keys and an indent of 2, the same
//! text for the same run. Rank and alpha are always written: a loader that guesses them would scale
//! wrongly without saying so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::config::{RunConfig, TargetModules, TaskType};

use crate::adapter::AdapterLayout;

/// The text of adapter_config.json.
#[must_use]
pub fn peft_config(config: &RunConfig, layout: &AdapterLayout) -> String {
    let task_type = match config.task_type {
        TaskType::TextGeneration => "CAUSAL_LM",
    };
    let values = BTreeMap::from([
        ("alpha_pattern", json!({})),
        (
            "base_model_name_or_path",
            json!(config.base_model.display().to_string()),
        ),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("inference_mode", json!(true)),
        ("init_lora_weights", json!(true)),
        ("layers_pattern", Value::Null),
        ("layers_to_transform", Value::Null),
        ("lora_alpha", whole(config.lora_alpha)),
        ("lora_dropout", json!(config.lora_dropout)),
        ("modules_to_save", Value::Null),
        ("peft_type", json!("LORA")),
        ("r", json!(config.lora_rank)),
        ("rank_pattern", json!({})),
        ("revision", Value::Null),
        ("target_modules", json!(target_modules(config, layout))),
        ("task_type", json!(task_type)),
        ("use_dora", json!(false)),
        ("use_rslora", json!(config.use_rslora)),
    ]);
    // The alternate form of a JSON value is the pretty one, indented by 2.
    format!("{:#}\n", json!(values))
}

/// An integer when it is one: PEFT writes what it was given, mostly integers.
fn whole(alpha: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if alpha.fract() == 0.0 && alpha.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return json!(alpha as i64);
    }
    json!(alpha)
}

/// As configured; all linears are spelt out as their short names, which match no output head.
fn target_modules(config: &RunConfig, layout: &AdapterLayout) -> BTreeSet<String> {
    match &config.target_modules {
        TargetModules::Names(names) => names.iter().cloned().collect(),
        TargetModules::AllLinear => layout
            .tensors
            .iter()
            .filter_map(|tensor| tensor.key.strip_suffix(".lora_A.weight"))
            .filter_map(|module| module.rsplit('.').next())
            .map(ToOwned::to_owned)
            .collect(),
    }
}
