//! Logits of base and adapter for given tokens, for comparison with PEFT.
//!
//! `logits RESOLVED_YAML ADAPTER_FOLDER ID,ID,...` prints one JSON array: positions x vocabulary,
//! flat. tests/golden/check_peft.py calls it.

use std::path::{Path, PathBuf};

use shared::config;
use shared::error::{Code, Error, Result};
use worker::device::{self, DeviceRequest};
use worker::train::Trainer;

fn main() -> Result<()> {
    device::reexec_with_environment()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [resolved, adapter, ids] = arguments.as_slice() else {
        return Err(Error::new(
            Code::Usage,
            "logits RESOLVED_YAML ADAPTER_FOLDER ID,ID,...",
        ));
    };
    let mut config = config::load(Path::new(resolved), &[], Path::new("/"))?.config;
    config.init_adapter = Some(PathBuf::from(adapter));
    let ids: Vec<i64> = ids
        .split(',')
        .map(|id| {
            id.parse()
                .map_err(|e| Error::new(Code::Usage, format!("`{id}` is no token id: {e}")))
        })
        .collect::<Result<_>>()?;
    let device = device::open(DeviceRequest::Cpu, 1)?;
    let base = config.base_model.clone();
    let mut trainer = Trainer::load(&config, &base, device)?;
    let params = trainer.initial_adapter()?;
    trainer.set_adapter(&params)?;
    println!("{}", serde_json::json!(trainer.logits(&ids)?));
    Ok(())
}
