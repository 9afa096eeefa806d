//! Tensors straight from the mapped weight files.
//!
//! On the CPU, in the type of the file, a tensor is the file's own pages: nothing is copied and
//! nothing may ever be written. In another type or on another device it is converted once.

use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use shared::error::{Code, Error, Result};
use shared::model::{ModelConfig, WeightFiles};
use tch::{Device, Kind, Tensor};

use crate::device::failed;

/// The frozen tensors of a base model. Keeps the maps alive as long as any clone of it.
#[derive(Clone, Debug)]
pub struct BaseWeights {
    files: Arc<WeightFiles>,
    device: Device,
    kind: Kind,
}

impl BaseWeights {
    /// Maps the weight files of a folder.
    ///
    /// # Errors
    /// The ones of [`WeightFiles::open`].
    pub fn open(folder: &Path, config: &ModelConfig, device: Device, kind: Kind) -> Result<Self> {
        Ok(Self {
            files: Arc::new(WeightFiles::open(folder, config)?),
            device,
            kind,
        })
    }

    /// The type in which a folder holds its weights.
    ///
    /// # Errors
    /// The ones of [`WeightFiles::open`].
    pub fn stored_kind(folder: &Path, config: &ModelConfig) -> Result<Kind> {
        let files = WeightFiles::open(folder, config)?;
        let spec = files.spec("model.embed_tokens.weight");
        Ok(spec
            .and_then(|spec| kind_of(spec.dtype))
            .unwrap_or(Kind::Float))
    }

    /// One tensor on the device, in the type of compute.
    ///
    /// # Errors
    /// [`Code::MissingTensor`] for a name nobody checked, and libtorch's.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let missing = || Error::new(Code::MissingTensor, format!("there is no tensor {name}"));
        let spec = self.files.spec(name).ok_or_else(missing)?;
        let kind = kind_of(spec.dtype).ok_or_else(missing)?;
        let bytes = self.files.bytes(spec);
        let shape: Vec<i64> = spec.shape.iter().map(|&n| n as i64).collect();
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(kind.elt_size_in_bytes());
        let load = || {
            if !aligned {
                return Tensor::f_from_data_size(bytes, &shape, kind)?
                    .f_to_device(self.device)?
                    .f_to_kind(self.kind);
            }
            let mut strides = vec![1i64; shape.len()];
            for axis in (1..shape.len()).rev() {
                strides[axis - 1] = strides[axis] * shape[axis];
            }
            // SAFETY: shape and bytes belong together (checked when the file was opened), the map
            // outlives the tensor because every model holds a clone of `files`, and frozen
            // tensors are never written.
            let mapped = unsafe {
                Tensor::f_from_blob(bytes.as_ptr(), &shape, &strides, kind, Device::Cpu)
            }?;
            mapped.f_to_device(self.device)?.f_to_kind(self.kind)
        };
        load().map_err(failed(&format!("loading {name}")))
    }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}
