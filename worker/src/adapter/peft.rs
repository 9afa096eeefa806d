//! PEFT's files: adapter_config.json and the tensors beside it.
//!
//! In: a folder, or the safetensors file with its adapter_config.json in the same folder. Out: what
//! the adapter is and its values in f32. What would be computed wrongly (DoRA, biases, patterns,
//! whole modules) is refused with its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde_json::Value;
use shared::error::{Code, Error, Result};

/// An adapter as it lies on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftAdapter {
    /// Rank of its matrices.
    pub lora_rank: usize,
    /// Factor on `B A`.
    pub scaling: f64,
    /// Shape and values by PEFT's key.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// The file of the tensors.
    pub file: PathBuf,
}

#[derive(Deserialize)]
struct AdapterConfig {
    peft_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// Settings that change the arithmetic; each must be absent, null, false, empty or `none`.
const REFUSED: &[&str] = &[
    "use_dora",
    "lora_bias",
    "bias",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "layer_replication",
    "use_qalora",
    "trainable_token_indices",
    "target_parameters",
];

impl PeftAdapter {
    /// Reads an adapter from a folder, or from a safetensors file with its config beside it.
    ///
    /// # Errors
    /// [`Code::BadInitAdapter`] when it cannot be read or used.
    pub fn load(path: &Path) -> Result<Self> {
        let (folder, file) = if path.is_dir() {
            let names = [
                "adapter_model.safetensors",
                "pytorch_lora_weights.safetensors",
            ];
            let found = names
                .iter()
                .map(|name| path.join(name))
                .find(|file| file.is_file());
            let file = found.ok_or_else(|| {
                bad("the adapter's folder has no adapter_model.safetensors").in_file(path)
            })?;
            (path, file)
        } else {
            (path.parent().unwrap_or(Path::new(".")), path.to_owned())
        };
        let config = read_config(&folder.join("adapter_config.json"))?;
        let rank_f64 = f64::from(u32::try_from(config.r).unwrap_or(u32::MAX));
        let divisor = if config.use_rslora {
            rank_f64.sqrt()
        } else {
            rank_f64
        };
        let tensors = read_tensors(&file)?;
        Ok(Self {
            lora_rank: config.r,
            scaling: config.lora_alpha / divisor,
            tensors,
            file,
        })
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::BadInitAdapter, what)
}

fn read_config(path: &Path) -> Result<AdapterConfig> {
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
    if config.peft_type.as_deref() != Some("LORA") || config.r == 0 {
        let kind = config.peft_type.as_deref().unwrap_or("nothing");
        return Err(bad(format!(
            "the adapter is {kind} of rank {}, not LORA",
            config.r
        ))
        .in_file(path));
    }
    for &key in REFUSED {
        let neutral = match config.rest.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::String(text)) => text == "none",
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        };
        if !neutral {
            return Err(
                bad(format!("the adapter uses `{key}`, which is not supported")).in_file(path),
            );
        }
    }
    Ok(config)
}

/// Shape and values by key.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn read_tensors(path: &Path) -> Result<Tensors> {
    let broken = |detail: String| {
        bad("the adapter's tensors cannot be read")
            .in_file(path)
            .why(detail)
    };
    let bytes = std::fs::read(path).map_err(|e| broken(e.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let values = widened(view.dtype(), view.data())
            .ok_or_else(|| broken(format!("{name} has type {:?}", view.dtype())))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(broken(format!("{name} holds a value that is not finite")));
        }
        tensors.insert(name.to_owned(), (view.shape().to_vec(), values));
    }
    Ok(tensors)
}

fn widened(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let halves = || data.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::F32 => Some(
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        ),
        Dtype::F16 => Some(
            halves()
                .map(|b| half::f16::from_le_bytes(*b).to_f32())
                .collect(),
        ),
        Dtype::BF16 => Some(
            halves()
                .map(|b| half::bf16::from_le_bytes(*b).to_f32())
                .collect(),
        ),
        _ => None,
    }
}
