//! The configuration that both speeds are measured with.

use std::path::Path;

use shared::config::RunConfig;
use shared::error::{Code, Error, Result};

/// Four rows in a step, `lora_rank` 16 on q and v.
pub fn config(base: &Path, precision: &str) -> Result<RunConfig> {
    let value = serde_json::json!({
        "train_data_dir": "", "metadata_path": null, "base_model": base,
        "task_type": "text-generation", "output_dir": "", "lora_rank": 16, "lora_alpha": 32.0,
        "lora_dropout": 0.0, "target_modules": {"names": ["q_proj", "v_proj"]},
        "use_rslora": false, "init_adapter": null, "parent": null, "parent_optimizer": true,
        "batch_size": 4,
        "gradient_accumulation_steps": 1, "micro_batch_size": 4, "epochs": 1, "max_steps": null,
        "learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_steps": 0,
        "warmup_ratio": 0.0, "weight_decay": 0.01, "max_grad_norm": 1.0, "seed": 42,
        "precision": precision, "max_seq_length": 512, "overflow": "error", "device": "cpu",
        "save_steps": 100, "save_total_limit": null, "logging_steps": 1, "shuffle": false,
        "train_on_inputs": true, "resume_from_checkpoint": null, "min_workers": 1,
        "max_workers": null, "failure_detection": 8.0, "ride_through": 60.0,
        "device_class": "mixed", "audit_rate": 0.0,
        "dialogue": "turns", "csv_columns": null,
    });
    serde_json::from_value(value).map_err(|e| Error::new(Code::Internal, e.to_string()))
}
