//! One stored case: what transformers and PEFT computed, and the folders to compute it from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::config::{
    DeviceClassPolicy, Dialogue, LrSchedulerType, Overflow, Precision, RunConfig, TargetModules,
    TaskType,
};
use shared::dataset::Sample;
use shared::model::{ModelConfig, expected_tensors};

use super::weights::write_safetensors;

/// A stored case.
#[derive(Deserialize)]
pub struct Golden {
    pub model: Value,
    pub config: GoldenConfig,
    pub rows: Vec<Row>,
    pub adapter_keys: Map<String, Value>,
    pub initial_adapter_sha256: String,
    pub first_logits: BTreeMap<usize, Vec<f32>>,
    pub final_logits: BTreeMap<usize, Vec<f32>>,
    pub total_steps: u64,
    pub log_history: Vec<Logged>,
    pub final_adapter: String,
    pub update_norm: f64,
    pub greedy: Greedy,
}

/// The keys of a run's configuration that a case sets.
#[derive(Deserialize)]
pub struct GoldenConfig {
    lora_rank: u32,
    lora_alpha: f64,
    target_modules: Value,
    use_rslora: bool,
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

/// A case laid out as folders.
pub struct Case {
    pub golden: Golden,
    pub config: RunConfig,
    folder: tempfile::TempDir,
}

impl Case {
    /// Reads `tests/golden/<name>.json` and writes base model and init_adapter.
    pub fn load(name: &str) -> Self {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/{name}.json"));
        let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        std::fs::create_dir(&base).unwrap();
        std::fs::write(base.join("config.json"), golden.model.to_string()).unwrap();
        let model = ModelConfig::load(&base).unwrap();
        write_safetensors(&base.join("model.safetensors"), &expected_tensors(&model));
        let init_adapter = golden
            .config
            .init_adapter
            .then(|| init_adapter(folder.path(), &golden));
        let config = run_config(&golden.config, base, init_adapter);
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
    let config = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "use_dora": false,
        "r": golden.config.lora_rank, "lora_alpha": golden.config.lora_alpha,
        "use_rslora": golden.config.use_rslora, "target_modules": golden.config.target_modules,
        "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": null,
    });
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    folder
}

fn run_config(golden: &GoldenConfig, base: PathBuf, init_adapter: Option<PathBuf>) -> RunConfig {
    let target_modules = match &golden.target_modules {
        Value::String(_) => TargetModules::AllLinear,
        names => TargetModules::Names(serde_json::from_value(names.clone()).unwrap()),
    };
    RunConfig {
        train_data_dir: PathBuf::new(),
        metadata_path: None,
        base_model: base,
        task_type: TaskType::TextGeneration,
        output_dir: PathBuf::new(),
        lora_rank: golden.lora_rank,
        lora_alpha: golden.lora_alpha,
        lora_dropout: 0.0,
        target_modules,
        use_rslora: golden.use_rslora,
        init_adapter,
        parent: None,
        parent_optimizer: true,
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
        precision: Precision::F32,
        stability: Default::default(),
        max_seq_length: 512,
        overflow: Overflow::Error,
        device: "cpu".into(),
        save_steps: 1000,
        save_total_limit: None,
        logging_steps: 1,
        evaluation: shared::config::EvaluationConfig::default(),
        shuffle: golden.shuffle,
        group_by_length: false,
        packing: false,
        train_on_inputs: true,
        loss_on: shared::config::LossOn::All,
        resume_from_checkpoint: None,
        min_workers: 1,
        max_workers: None,
        failure_detection: 8.0,
        ride_through: 60.0,
        device_class: DeviceClassPolicy::Mixed,
        audit_rate: 0.0,
        dialogue: Dialogue::Turns,
        csv_columns: None,
        privacy: Default::default(),
        formats: Default::default(),
    }
}
