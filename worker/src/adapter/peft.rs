//! PEFT's files: adapter_config.json and the tensors beside it.
//!
//! In: a folder, or the safetensors file with its adapter_config.json in the same folder. Out: what
//! the adapter is and its values in f32. Keeps: where the folder carries a manifest of ours, what is loaded is what was
//! written. Not here: what adapter_config.json may say (see `peft_spec`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use shared::error::{Code, Error, Result};
use shared::manifest::verify_listed;
use shared::model::AdapterSpec;
use shared::run_paths::{ADAPTER_CONFIG_FILE, ADAPTER_COPY_FILE, ADAPTER_FILE};

use super::peft_spec::read_spec;

/// An adapter as it lies on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftAdapter {
    /// What adapter_config.json says the adapter is.
    pub spec: AdapterSpec,
    /// Shape and values of each tensor, by PEFT's key.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Path of the safetensors file, for errors.
    pub file: PathBuf,
}

impl PeftAdapter {
    /// Reads an adapter from a folder, or from a safetensors file with its config beside it.
    ///
    /// # Errors
    /// [`Code::BadInitAdapter`] when it cannot be read or used, [`Code::DigestDiffers`] when it is not what the
    /// manifest beside it lists.
    pub fn load(path: &Path) -> Result<Self> {
        let (folder, file) = if path.is_dir() {
            let names = [ADAPTER_FILE, ADAPTER_COPY_FILE];
            let found = names
                .iter()
                .map(|name| path.join(name))
                .find(|file| file.is_file());
            let file = found.ok_or_else(|| {
                bad("the adapter's folder has no adapter_model.safetensors")
                    .in_file(path)
                    .fix("of a run that is not finished, name one of its checkpoint-N folders; or let the run go on")
            })?;
            (path, file)
        } else {
            (path.parent().unwrap_or(Path::new(".")), path.to_owned())
        };
        let config = folder.join(ADAPTER_CONFIG_FILE);
        if config.is_file() && file.is_file() {
            verify_listed(folder, &[&file, &config])?;
        }
        Ok(Self {
            spec: read_spec(&config)?,
            tensors: read_tensors(&file)?,
            file,
        })
    }
}

pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::BadInitAdapter, what)
}

/// Reads shape and values of every tensor, by key.
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
