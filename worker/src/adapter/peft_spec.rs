//! adapter_config.json: what an adapter is, as PEFT writes it.
//!
//! In: the file. Out: an [`AdapterSpec`]. Keeps: what would be computed wrongly is refused with its
//! name; what PEFT takes when a key is absent is taken here too.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use shared::config::{AdapterKind, BiasMode, TargetModules};
use shared::error::{Error, Result};
use shared::model::AdapterSpec;

use super::peft::bad;

/// Settings that change the arithmetic and are not built; each must be absent or neutral.
const REFUSED: &[&str] = &[
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "use_qalora",
    "trainable_token_indices",
    "target_parameters",
    "exclude_modules",
    "alora_invocation_tokens",
    "use_bdlora",
];

/// What PEFT takes where the file says nothing.
const RANK: u32 = 8;
const ALPHA: f64 = 8.0;

#[derive(Deserialize)]
struct AdapterConfig {
    peft_type: Option<String>,
    r: Option<u32>,
    lora_alpha: Option<f64>,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    target_modules: Option<Modules>,
    #[serde(default)]
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    alpha_pattern: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    layers_to_transform: Option<Layers>,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    feedforward_modules: Option<Modules>,
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Modules {
    Pattern(String),
    Names(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    One(u32),
    Some(Vec<u32>),
}

/// What the file says.
pub(super) fn read_spec(path: &Path) -> Result<AdapterSpec> {
    let bytes = std::fs::read(path).map_err(|e| {
        bad("the adapter has no readable adapter_config.json")
            .in_file(path)
            .why(e.to_string())
    })?;
    let config: AdapterConfig = serde_json::from_slice(&bytes).map_err(|e| {
        bad("adapter_config.json cannot be used")
            .in_file(path)
            .why(e.to_string())
    })?;
    spec(config).map_err(|error| error.in_file(path))
}

fn spec(config: AdapterConfig) -> Result<AdapterSpec> {
    let kind = match config.peft_type.as_deref() {
        Some("LORA") => AdapterKind::Lora,
        Some("IA3") => AdapterKind::Ia3,
        other => {
            let kind = other.unwrap_or("nothing");
            return Err(bad(format!("the adapter is {kind}, not LORA or IA3")));
        }
    };
    let rank = config.r.unwrap_or(RANK);
    if rank == 0 {
        return Err(bad("the adapter is of rank 0"));
    }
    for &key in REFUSED {
        let value = config.rest.get(key);
        let neutral = match value {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::String(text)) => text == "none",
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Number(_) | Value::Bool(true)) => false,
        };
        if !neutral {
            return Err(not_supported(key));
        }
    }
    // Saved by PEFT as it was trained: on the base with its first values taken out.
    let init = config.init_lora_weights.as_str().unwrap_or_default();
    if ["pissa", "olora", "corda", "loftq"]
        .iter()
        .any(|name| init.starts_with(name))
    {
        return Err(not_supported("init_lora_weights")
            .why(format!("{init}: it was trained on a base model that was changed"))
            .fix("convert it to plain LoRA as PEFT's save_pretrained does with path_initial_model_for_weight_conversion"));
    }
    let bias = match config.bias.as_deref() {
        None | Some("none") => BiasMode::None,
        Some("all") => BiasMode::All,
        Some("lora_only") => BiasMode::LoraOnly,
        Some(_) => return Err(not_supported("bias")),
    };
    let targets = match config.target_modules {
        Some(Modules::Pattern(word)) if word == "all-linear" => TargetModules::AllLinear,
        Some(Modules::Pattern(pattern)) => TargetModules::Regex(pattern),
        Some(Modules::Names(names)) => TargetModules::Names(names),
        None => return Err(bad("adapter_config.json has no target_modules")),
    };
    let whole = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    Ok(AdapterSpec {
        kind,
        use_dora: config.use_dora,
        rank,
        alpha: config.lora_alpha.unwrap_or(ALPHA),
        use_rslora: config.use_rslora,
        rank_pattern: pattern("rank_pattern", config.rank_pattern, whole)?,
        alpha_pattern: pattern("alpha_pattern", config.alpha_pattern, Value::as_f64)?,
        targets,
        layers: config.layers_to_transform.map(|layers| match layers {
            Layers::One(layer) => vec![layer],
            Layers::Some(layers) => layers,
        }),
        modules_to_save: config.modules_to_save.unwrap_or_default(),
        bias,
        feedforward: match config.feedforward_modules {
            Some(Modules::Names(names)) => Some(names),
            Some(Modules::Pattern(_)) => return Err(not_supported("feedforward_modules")),
            // Without the key PEFT scales nothing at its input.
            None => Some(Vec::new()),
        },
    })
}

fn pattern<T>(
    key: &str,
    written: Option<serde_json::Map<String, Value>>,
    value: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(String, T)>> {
    let pairs = written.unwrap_or_default().into_iter();
    let read = pairs.map(|(name, number)| {
        let found = value(&number).ok_or_else(|| bad(format!("{key}: {name} is {number}")));
        found.map(|found| (name, found))
    });
    read.collect()
}

fn not_supported(key: &str) -> Error {
    bad(format!("the adapter uses `{key}`, which is not supported"))
}
