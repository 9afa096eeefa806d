//! The configuration that both speeds are measured with.

use std::path::Path;

use shared::config::{RunConfig, testing};
use shared::error::Result;

/// Four rows in a step, `lora_rank` 16 on q and v.
pub fn config(base: &Path, precision: &str) -> Result<RunConfig> {
    let lines = "lora_rank: 16\nmicro_batch_size: 4\nepochs: 1\nlearning_rate: 1e-3\n\
                 lr_scheduler_type: constant\nweight_decay: 0.01\nmax_seq_length: 512\n\
                 overflow: error\ndevice: cpu\nsave_steps: 100\nshuffle: false\nloss_on: all\n";
    let precision = match precision {
        "f32" => String::new(),
        flag => format!("{flag}: true\n"),
    };
    Ok(RunConfig {
        base_model: base.into(),
        ..testing::config(&format!("{lines}{precision}"))?
    })
}
