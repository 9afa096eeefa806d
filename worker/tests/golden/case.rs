//! One stored case: what transformers and PEFT computed, and the folders to compute it from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::config::{
    AdapterConfig, AdapterKind, BiasMode, LoraInit, LrSchedulerType, Precision, Quantization,
    QuantizationConfig, RunConfig, TargetModules, testing,
};
use shared::dataset::Sample;
use shared::model::{ModelConfig, expected_tensors};

use super::weights::{write_as, write_safetensors};

/// A stored case.
#[derive(Deserialize)]
pub struct Golden {
    pub model: Value,
    /// Names and shapes on disk; empty in cases older than this field: what the program expects.
    #[serde(default)]
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Type of the weight files: f32, bf16 or fp16.
    #[serde(default = "f32_name")]
    pub stored: String,
    #[serde(default = "one")]
    pub shards: usize,
    /// Type of compute: f32, bf16 or fp16.
    #[serde(default = "f32_name")]
    pub precision: String,
    /// How bitsandbytes held the linears.
    #[serde(default)]
    pub quantization: Quantization,
    #[serde(default)]
    pub quantization_double: bool,
    /// PEFT's class and its arguments beyond those of `config`.
    #[serde(default = "lora_name")]
    pub peft_class: String,
    #[serde(default)]
    pub peft: Map<String, Value>,
    pub config: GoldenConfig,
    pub rows: Vec<Row>,
    pub adapter_keys: Map<String, Value>,
    pub initial_adapter_sha256: String,
    pub first_logits: BTreeMap<usize, Vec<f32>>,
    pub final_logits: BTreeMap<usize, Vec<f32>>,
    pub total_steps: u64,
    pub log_history: Vec<Logged>,
    /// Where the first adapter is a decomposition of the base, whose last digits are the processor's.
    #[serde(default)]
    pub initial_adapter: Option<String>,
    pub final_adapter: String,
    pub update_norm: f64,
    pub greedy: Greedy,
}

fn f32_name() -> String {
    "f32".to_owned()
}

fn lora_name() -> String {
    "LoraConfig".to_owned()
}

fn one() -> usize {
    1
}

/// The keys of a run's configuration that a case sets.
#[derive(Deserialize)]
pub struct GoldenConfig {
    lora_rank: u32,
    lora_alpha: f64,
    target_modules: Value,
    use_rslora: bool,
    loraplus_lr_ratio: Option<f64>,
    loraplus_lr_embedding: Option<f64>,
    batch_size: u32,
    gradient_accumulation_steps: u32,
    micro_batch_size: u32,
    epochs: u32,
    max_steps: Option<u64>,
    learning_rate: f64,
    lr_scheduler_type: LrSchedulerType,
    warmup_steps: u64,
    warmup_ratio: f64,
    weight_decay: f64,
    max_grad_norm: f64,
    seed: u64,
    shuffle: bool,
    init_adapter: bool,
}

#[derive(Deserialize)]
pub struct Row {
    pub ids: Vec<u32>,
    pub learned: Vec<u8>,
}

#[derive(Deserialize)]
pub struct Logged {
    pub step: u64,
    pub epoch: f64,
    pub loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
}

#[derive(Deserialize)]
pub struct Greedy {
    pub prompt: Vec<i64>,
    pub continuation: Vec<i64>,
}

/// Where the stored numbers lie: beside the crate that cargo runs, else where it was built.
pub fn golden_folder() -> PathBuf {
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let crate_folder = crate_folder.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&crate_folder).join("../tests/golden")
}

/// A case laid out as folders.
pub struct Case {
    pub golden: Golden,
    pub config: RunConfig,
    folder: tempfile::TempDir,
}

impl Case {
    /// Reads `tests/golden/<name>.json` and writes base model and init_adapter.
    pub fn load(name: &str) -> Self {
        let file = golden_folder().join(format!("{name}.json"));
        let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("config.json"), golden.model.to_string()).unwrap();
        write_weights(&base, &golden);
        let init_adapter = golden
            .config
            .init_adapter
            .then(|| init_adapter(folder.path(), &golden));
        let mut config = run_config(&golden.config, base, init_adapter);
        config.adapter = adapter(&golden);
        config.adapter_type = match golden.peft_class.as_str() {
            "IA3Config" => AdapterKind::Ia3,
            _ => AdapterKind::Lora,
        };
        config.precision = match golden.precision.as_str() {
            "bf16" => Precision::Bf16,
            "fp16" => Precision::Fp16,
            _ => Precision::F32,
        };
        config.quantization = QuantizationConfig {
            form: golden.quantization,
            double: golden.quantization_double,
        };
        Self {
            golden,
            config,
            folder,
        }
    }

    /// The base model's folder.
    pub fn base(&self) -> PathBuf {
        self.folder.path().join("base")
    }

    /// Writes the (changed) config.json again.
    pub fn rewrite_config(&self) {
        std::fs::write(
            self.base().join("config.json"),
            self.golden.model.to_string(),
        )
        .unwrap();
    }

    /// The rows as the prepared dataset gives them.
    pub fn samples<'a>(&'a self) -> Vec<Sample<'a>> {
        let sample = |row: &'a Row| Sample {
            ids: &row.ids,
            targets: &row.learned,
        };
        self.golden.rows.iter().map(sample).collect()
    }
}

/// Weight files as make_golden.py wrote them.
fn write_weights(base: &Path, golden: &Golden) {
    let tensors = if golden.tensors.is_empty() {
        expected_tensors(&ModelConfig::load(base).unwrap())
    } else {
        golden.tensors.clone()
    };
    let dtype = match golden.stored.as_str() {
        "bf16" => Dtype::BF16,
        "fp16" => Dtype::F16,
        _ => Dtype::F32,
    };
    // Families that compute with 1 + w store w.
    let gemma = golden.model["model_type"]
        .as_str()
        .is_some_and(|name| name.starts_with("gemma"));
    let center = if gemma { 0.0 } else { 1.0 };
    if golden.shards == 1 {
        write_as(&base.join("model.safetensors"), &tensors, center, dtype);
        return;
    }
    let mut places = Map::new();
    for shard in 0..golden.shards {
        let part = tensors.iter().skip(shard).step_by(golden.shards);
        let part: Vec<_> = part.cloned().collect();
        let name = format!("model-{:05}-of-{:05}.safetensors", shard + 1, golden.shards);
        write_as(&base.join(&name), &part, center, dtype);
        places.extend(part.into_iter().map(|(tensor, _)| (tensor, json!(name))));
    }
    let index = json!({"metadata": {}, "weight_map": places});
    let file = base.join("model.safetensors.index.json");
    std::fs::write(file, index.to_string()).unwrap();
}

fn init_adapter(folder: &Path, golden: &Golden) -> PathBuf {
    let folder = folder.join("init_adapter");
    std::fs::create_dir(&folder).unwrap();
    let shape = |value: &Value| serde_json::from_value::<Vec<usize>>(value.clone()).unwrap();
    let tensors: Vec<_> = golden
        .adapter_keys
        .iter()
        .map(|(key, value)| (key.clone(), shape(value)))
        .collect();
    write_safetensors(&folder.join("adapter_model.safetensors"), &tensors);
    let mut config = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "use_dora": false,
        "r": golden.config.lora_rank, "lora_alpha": golden.config.lora_alpha,
        "use_rslora": golden.config.use_rslora, "target_modules": golden.config.target_modules,
        "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": null,
    });
    for (key, value) in &golden.peft {
        config[key] = value.clone();
    }
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    folder
}

/// PEFT's arguments as a run's configuration says them.
fn adapter(golden: &Golden) -> AdapterConfig {
    let read = |key: &str| golden.peft.get(key).cloned().unwrap_or(Value::Null);
    let pairs = |key: &str| read(key).as_object().cloned().unwrap_or_default();
    AdapterConfig {
        use_dora: read("use_dora") == true,
        init: match read("init_lora_weights").as_str() {
            Some("gaussian") => LoraInit::Gaussian,
            Some("pissa") => LoraInit::Pissa,
            _ => LoraInit::Default,
        },
        rank_pattern: pairs("rank_pattern")
            .into_iter()
            .map(|(name, rank)| (name, u32::try_from(rank.as_u64().unwrap()).unwrap()))
            .collect(),
        alpha_pattern: pairs("alpha_pattern")
            .into_iter()
            .map(|(name, alpha)| (name, alpha.as_f64().unwrap()))
            .collect(),
        layers: serde_json::from_value(read("layers_to_transform")).unwrap(),
        modules_to_save: serde_json::from_value::<Option<Vec<_>>>(read("modules_to_save"))
            .unwrap()
            .unwrap_or_default(),
        bias: match read("bias").as_str() {
            Some("all") => BiasMode::All,
            Some("lora_only") => BiasMode::LoraOnly,
            _ => BiasMode::None,
        },
        loraplus_lr_ratio: golden.config.loraplus_lr_ratio,
        loraplus_lr_embedding: golden.config.loraplus_lr_embedding,
        feedforward_modules: serde_json::from_value(read("feedforward_modules")).unwrap(),
    }
}

fn run_config(golden: &GoldenConfig, base: PathBuf, init_adapter: Option<PathBuf>) -> RunConfig {
    let target_modules = match &golden.target_modules {
        Value::String(word) if word != "all-linear" => TargetModules::Regex(word.clone()),
        Value::String(_) => TargetModules::AllLinear,
        names => TargetModules::Names(serde_json::from_value(names.clone()).unwrap()),
    };
    RunConfig {
        base_model: base,
        lora_rank: golden.lora_rank,
        lora_alpha: golden.lora_alpha,
        target_modules,
        use_rslora: golden.use_rslora,
        init_adapter,
        batch_size: golden.batch_size,
        gradient_accumulation_steps: golden.gradient_accumulation_steps,
        micro_batch_size: golden.micro_batch_size,
        epochs: golden.epochs,
        max_steps: golden.max_steps,
        learning_rate: golden.learning_rate,
        lr_scheduler_type: golden.lr_scheduler_type,
        warmup_steps: golden.warmup_steps,
        warmup_ratio: golden.warmup_ratio,
        weight_decay: golden.weight_decay,
        max_grad_norm: golden.max_grad_norm,
        seed: golden.seed,
        shuffle: golden.shuffle,
        ..testing::config("max_seq_length: 512\noverflow: error\ndevice: cpu\nloss_on: all\n")
            .unwrap()
    }
}
