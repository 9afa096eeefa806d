//! Reads an adapter file back and compares it with what it must hold.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::error::{Code, Error, Result};

/// A tensor an adapter file must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Its key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// Every key, shape, dtype and value: nothing missing, nothing more, F32, finite.
///
/// # Errors
/// [`Code::ExportDiffers`] with all differences.
pub fn verify_adapter(file: &Path, expected: &[ExpectedTensor]) -> Result<()> {
    let differs = |why: String| {
        Error::new(
            Code::ExportDiffers,
            "the adapter does not read back as written",
        )
        .in_file(file)
        .why(why)
        .fix("do not use this file; start the run again, it goes on from a checkpoint")
    };
    let bytes = std::fs::read(file).map_err(|e| differs(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| differs(e.to_string()))?;
    for tensor in expected {
        let found = tensors
            .tensor(&tensor.key)
            .map_err(|e| differs(e.to_string()))?;
        if found.shape() != tensor.shape || found.dtype() != Dtype::F32 {
            let (shape, dtype) = (found.shape(), found.dtype());
            return Err(differs(format!("{} is {dtype:?} {shape:?}", tensor.key)));
        }
        let (values, _) = found.data().as_chunks::<4>();
        if !values.iter().all(|v| f32::from_le_bytes(*v).is_finite()) {
            return Err(differs(format!(
                "{} holds a value that is not finite",
                tensor.key
            )));
        }
    }
    if tensors.len() != expected.len() {
        return Err(differs(format!(
            "{} tensors, expected {}",
            tensors.len(),
            expected.len()
        )));
    }
    Ok(())
}
