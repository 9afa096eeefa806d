//! Tensors straight from the mapped weight files.
//!
//! On the CPU, in the type of the file, a tensor is the file's own pages: nothing is copied and
//! nothing may ever be written. In another type or on another device it is converted once, and its
//! pages go back to the machine. A linear's weight may be held quantized: its codes are the file's
//! pages too where it lies so, or are made from one weight after the other at load.

use std::path::Path;
use std::sync::Arc;

use safetensors::Dtype;
use shared::config::{Quantization, QuantizationConfig};
use shared::error::{Code, Error, Result};
use shared::model::{ModelConfig, Stored, StoredNf4, WeightFiles, scale_name};
use tch::{Device, Kind, Tensor};

use crate::device::{
    FrozenWeight, Int8, Nested, Nf4, TorchResult, by_rows, failed, quantize_int8, quantize_nf4,
};
use crate::progress::Counters;

/// The frozen tensors of a base model. Keeps the maps alive as long as any clone of it.
#[derive(Clone, Debug)]
pub struct BaseWeights {
    files: Arc<WeightFiles>,
    device: Device,
    kind: Kind,
    quantization: QuantizationConfig,
    progress: Counters,
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
            quantization: QuantizationConfig::default(),
            progress: Counters::default(),
        })
    }

    /// Counts each tensor that is loaded, and what a decoder of them computes.
    #[must_use]
    pub fn counted(mut self, progress: &Counters) -> Self {
        self.progress = progress.clone();
        self
    }

    /// The counters that each loaded tensor is counted in.
    pub(super) fn progress(&self) -> &Counters {
        &self.progress
    }

    /// Holds the weights of linears as a configuration asks.
    ///
    /// # Errors
    /// [`Code::Contradiction`] when they lie quantized in another form.
    pub fn held(mut self, quantization: QuantizationConfig) -> Result<Self> {
        self.files.check_form(quantization.form)?;
        // A checkpoint that is quantized already is what it is, with the linears it left out.
        if !self.files.is_quantized() {
            self.quantization = quantization;
        }
        Ok(self)
    }

    /// Whether linears are held quantized.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        self.files.is_quantized() || self.quantization.form != Quantization::None
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
    /// [`Code::MissingTensor`] for a name nobody checked, [`Code::BadWeights`] for a value that the type of
    /// compute cannot hold, and libtorch's.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let load = |mapped: &Tensor| self.converted(&mapped.f_to_device(self.device)?);
        let mapped = self.mapped(name)?;
        let loaded = load(&mapped).map_err(failed(&format!("loading {name}")))?;
        if loaded.kind() != mapped.kind() && self.kind == Kind::Half {
            check_range(name, &mapped, &loaded)?;
        }
        if loaded.device() != mapped.device() || loaded.kind() != mapped.kind() {
            self.release(name);
        }
        self.progress.device(1);
        Ok(loaded)
    }

    /// A mapped tensor in the type of compute; the same pages where that is the file's type.
    fn converted(&self, mapped: &Tensor) -> TorchResult<Tensor> {
        let kind = self.kind;
        if mapped.f_kind()? == kind {
            return Ok(mapped.shallow_clone());
        }
        by_rows(&[mapped], &[], move |all| all[0].f_to_kind(kind))
    }

    /// The weight of a linear, named by its module, dense or quantized.
    ///
    /// # Errors
    /// As [`BaseWeights::tensor`]; [`Code::BadWeights`] for a value that cannot be quantized.
    pub fn frozen(&self, module: &str) -> Result<FrozenWeight> {
        let name = format!("{module}.weight");
        let frozen = match (self.files.stored(&name), self.quantization.form) {
            (Some(Stored::Nf4(stored)), _) => self.stored_nf4(&name, stored)?,
            (Some(Stored::Int8), _) => self.stored_int8(&name)?,
            (None, Quantization::None) => FrozenWeight::dense(&self.tensor(&name)?),
            (None, form) => {
                let mapped = self.mapped(&name)?;
                let made = match form {
                    Quantization::Nf4 => self.quantized_nf4(&mapped),
                    _ => self.quantized_int8(&mapped),
                };
                self.release(&name);
                made.transpose().ok_or_else(|| infinite(&name))?
            }
        };
        self.progress.device(1);
        frozen.map_err(failed(&format!("loading {name}")))
    }

    /// Four-bit codes of a weight as transformers makes them: first in the type of compute, then in four bits. On the
    /// CPU, so that every device has the same codes.
    fn quantized_nf4(&self, mapped: &Tensor) -> TorchResult<Option<FrozenWeight>> {
        let dense = self.converted(mapped)?;
        let Some(mut made) = quantize_nf4(&dense, self.quantization.double)? else {
            return Ok(None);
        };
        made.packed = made.packed.f_to_device(self.device)?;
        made.scales = made.scales.f_to_device(self.device)?;
        if let Some(nested) = &mut made.nested {
            nested.scales = nested.scales.f_to_device(self.device)?;
            nested.map = nested.map.f_to_device(self.device)?;
        }
        FrozenWeight::nf4(&made, self.kind, self.kind).map(Some)
    }

    fn quantized_int8(&self, mapped: &Tensor) -> TorchResult<Option<FrozenWeight>> {
        let dense = self.converted(mapped)?;
        let Some(mut made) = quantize_int8(&dense)? else {
            return Ok(None);
        };
        made.codes_OI = made.codes_OI.f_to_device(self.device)?;
        made.scales_O = made.scales_O.f_to_device(self.device)?;
        FrozenWeight::int8(&made, self.kind).map(Some)
    }

    fn stored_nf4(&self, name: &str, stored: &StoredNf4) -> Result<TorchResult<FrozenWeight>> {
        let part = |part: &str, kind: Kind| {
            let name = format!("{name}{part}");
            let tensor = self.view(&name, kind)?;
            let moved = tensor.f_to_device(self.device);
            moved.map_err(failed(&format!("loading {name}")))
        };
        let nested = match stored.nested {
            Some((block, offset)) => Some(Nested {
                scales: part(".nested_absmax", Kind::Float)?,
                map: part(".nested_quant_map", Kind::Float)?,
                block: block as i64,
                offset,
            }),
            None => None,
        };
        let of_scales = if nested.is_some() {
            Kind::Uint8
        } else {
            Kind::Float
        };
        let parts = Nf4 {
            shape: stored.shape.map(|n| n as i64),
            packed: part("", Kind::Uint8)?,
            scales: part(".absmax", of_scales)?,
            block: stored.block as i64,
            nested,
        };
        let rounded = kind_of(stored.dtype).unwrap_or(Kind::Float);
        Ok(FrozenWeight::nf4(&parts, rounded, self.kind))
    }

    fn stored_int8(&self, name: &str) -> Result<TorchResult<FrozenWeight>> {
        let moved = |tensor: Tensor| {
            let moved = tensor.f_to_device(self.device);
            moved.map_err(failed(&format!("loading {name}")))
        };
        let spec = self.files.spec(name).ok_or_else(|| missing(name))?;
        let codes = self.view(name, Kind::Int8)?;
        let shape: Vec<i64> = spec.shape.iter().map(|&n| n as i64).collect();
        let codes = codes.f_view(shape.as_slice()).map_err(failed("loading"))?;
        let parts = Int8 {
            codes_OI: moved(codes)?,
            scales_O: moved(self.view(&scale_name(name), Kind::Float)?)?,
        };
        Ok(FrozenWeight::int8(&parts, self.kind))
    }

    /// A tensor as it lies, in its own type.
    fn mapped(&self, name: &str) -> Result<Tensor> {
        let spec = self.files.spec(name).ok_or_else(|| missing(name))?;
        let kind = kind_of(spec.dtype).ok_or_else(|| missing(name))?;
        let shape: Vec<i64> = spec.shape.iter().map(|&n| n as i64).collect();
        let flat = self.view(name, kind)?;
        let shaped = flat.f_view(shape.as_slice());
        shaped.map_err(failed(&format!("loading {name}")))
    }

    /// The pages of a tensor that stands elsewhere now.
    fn release(&self, name: &str) {
        if let Some(spec) = self.files.spec(name) {
            self.files.release(spec);
        }
    }

    /// The bytes of a tensor as elements of a type, in one row.
    fn view(&self, name: &str, kind: Kind) -> Result<Tensor> {
        let spec = self.files.spec(name).ok_or_else(|| missing(name))?;
        let bytes = self.files.bytes(spec);
        let size = kind.elt_size_in_bytes();
        let length = (bytes.len() / size) as i64;
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(size);
        let tensor = if aligned {
            // SAFETY: the bytes are there (checked when the file was opened) and aligned; every decoder holds a clone
            // of `files`, dropped last, so the map outlives the tensor; frozen tensors are never written.
            unsafe { Tensor::f_from_blob(bytes.as_ptr(), &[length], &[1], kind, Device::Cpu) }
        } else {
            Tensor::f_from_data_size(bytes, &[length], kind)
        };
        tensor.map_err(failed(&format!("loading {name}")))
    }
}

/// Refuses a tensor that had a finite value which became infinite on the way to fp16, whose largest is 65504.
fn check_range(name: &str, before: &Tensor, after: &Tensor) -> Result<()> {
    let sound = || -> TorchResult<i64> {
        let strange_before = before.f_isfinite()?.f_logical_not()?;
        let finite = after.f_isfinite()?.f_to_device(before.device())?;
        let kept = finite.f_logical_or(&strange_before)?;
        kept.f_all()?.f_int64_value(&[])
    };
    if sound().map_err(failed(&format!("loading {name}")))? == 1 {
        return Ok(());
    }
    let what = format!("the tensor {name} does not fit into fp16");
    Err(Error::new(Code::BadWeights, what)
        .why("it holds a value beyond 65504")
        .fix("--set bf16=true --set fp16=false, or leave both out for f32"))
}

fn missing(name: &str) -> Error {
    Error::new(Code::MissingTensor, format!("there is no tensor {name}"))
}

fn infinite(name: &str) -> Error {
    Error::new(
        Code::BadWeights,
        format!("the tensor {name} cannot be quantized"),
    )
    .why("it holds a value that is not a finite number, or is too large for float16")
    .fix("use weights without such values, or leave `quantization` out")
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
