//! adapter_config.json: the small stable set of keys that every PEFT version reads without a word.
//!
//! In: the configuration and the layout. Out: JSON with sorted keys and an indent of 2, the same
//! text for the same run. Rank and alpha are always written: a loader that guesses them would scale
//! wrongly without saying so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use shared::config::{
    AdapterKind, BiasMode, LoraInit, RunConfig, TargetModules, TaskType, names_module,
};
use shared::model::Role;

use crate::adapter::AdapterLayout;

/// The text of adapter_config.json.
#[must_use]
pub fn peft_config(config: &RunConfig, layout: &AdapterLayout) -> String {
    let task_type = match config.task_type {
        TaskType::TextGeneration => "CAUSAL_LM",
    };
    let whole = &config.adapter.modules_to_save;
    let mut values = BTreeMap::from([
        (
            "base_model_name_or_path",
            json!(config.base_model.display().to_string()),
        ),
        ("fan_in_fan_out", json!(false)),
        ("inference_mode", json!(true)),
        (
            "modules_to_save",
            if whole.is_empty() {
                Value::Null
            } else {
                json!(whole)
            },
        ),
        ("revision", Value::Null),
        ("target_modules", target_modules(config, layout)),
        ("task_type", json!(task_type)),
    ]);
    values.extend(match config.adapter_type {
        AdapterKind::Lora => of_lora(config),
        AdapterKind::Ia3 => of_ia3(config, layout),
    });
    // The alternate form of a JSON value is the pretty one, indented by 2.
    format!("{:#}\n", json!(values))
}

fn of_lora(config: &RunConfig) -> Vec<(&'static str, Value)> {
    let adapter = &config.adapter;
    let ranks = adapter.rank_pattern.iter();
    let ranks: Map<_, _> = ranks
        .map(|(name, rank)| (name.clone(), json!(rank)))
        .collect();
    let alphas = adapter.alpha_pattern.iter();
    let alphas: Map<_, _> = alphas
        .map(|(name, alpha)| (name.clone(), whole(*alpha)))
        .collect();
    let layers = match (&adapter.layers, &config.target_modules) {
        // PEFT takes layers with a list of names only; an expression is spelt out instead.
        (_, TargetModules::Regex(_)) | (None, _) => Value::Null,
        (Some(layers), _) => json!(layers),
    };
    let bias = match adapter.bias {
        BiasMode::None => "none",
        BiasMode::All => "all",
        BiasMode::LoraOnly => "lora_only",
    };
    let init = match adapter.init {
        LoraInit::Default => json!(true),
        LoraInit::Gaussian => json!("gaussian"),
        LoraInit::Pissa => json!("pissa"),
    };
    vec![
        ("alpha_pattern", Value::Object(alphas)),
        ("bias", json!(bias)),
        ("init_lora_weights", init),
        ("layers_pattern", Value::Null),
        ("layers_to_transform", layers),
        ("lora_alpha", whole(config.lora_alpha)),
        ("lora_dropout", json!(config.lora_dropout)),
        ("peft_type", json!("LORA")),
        ("r", json!(config.lora_rank)),
        ("rank_pattern", Value::Object(ranks)),
        ("use_dora", json!(adapter.use_dora)),
        ("use_rslora", json!(config.use_rslora)),
    ]
}

/// PEFT wants the names of scaled inputs among those of the targets, as they are written there.
fn of_ia3(config: &RunConfig, layout: &AdapterLayout) -> Vec<(&'static str, Value)> {
    let scaled = layout
        .tensors
        .iter()
        .filter(|tensor| tensor.role == Role::ScaledInput);
    let paths: BTreeSet<&str> = scaled.map(|tensor| tensor.module.as_str()).collect();
    let inputs = match target_modules(config, layout) {
        Value::Array(mut names) => {
            names.retain(|name| {
                let name = name.as_str().unwrap_or_default();
                paths.iter().any(|path| names_module(name, path))
            });
            json!(names)
        }
        _ => json!(paths),
    };
    vec![
        ("feedforward_modules", json!(inputs)),
        ("init_ia3_weights", json!(true)),
        ("peft_type", json!("IA3")),
    ]
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

/// As configured; words for groups are spelt out as short names, which match no output head. Where
/// layers are named that the kind or the form cannot say, whole paths stand.
fn target_modules(config: &RunConfig, layout: &AdapterLayout) -> Value {
    let laid_over = layout
        .tensors
        .iter()
        .filter(|tensor| !matches!(tensor.role, Role::Bias | Role::Whole));
    let modules: BTreeSet<&str> = laid_over.map(|tensor| tensor.module.as_str()).collect();
    let layers = config.adapter.layers.is_some();
    match &config.target_modules {
        TargetModules::Regex(_) if layers => json!(modules),
        TargetModules::Regex(pattern) => json!(pattern),
        _ if layers && config.adapter_type == AdapterKind::Ia3 => json!(modules),
        TargetModules::Names(names) => json!(names.iter().collect::<BTreeSet<_>>()),
        TargetModules::AllLinear | TargetModules::Attention | TargetModules::Mlp => {
            let short: BTreeSet<&str> = modules.into_iter().map(last_part).collect();
            json!(short)
        }
    }
}

fn last_part(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}
