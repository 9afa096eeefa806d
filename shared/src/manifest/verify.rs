//! Reads an adapter file back and compares it with what it must hold.

use safetensors::Dtype;

use super::tensors::TensorFile;
use crate::error::{Code, Error, Result};
use crate::storage::Objects;

/// A tensor an adapter file must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTensor {
    /// Key of the tensor in the safetensors file.
    pub key: String,
    /// Shape that the tensor must have, outermost dimension first.
    pub shape: Vec<usize>,
}

/// Every key, shape, dtype and value: nothing missing, nothing more, F32, finite.
///
/// # Errors
/// [`Code::ExportDiffers`] with all differences.
pub fn verify_adapter(from: &dyn Objects, name: &str, expected: &[ExpectedTensor]) -> Result<()> {
    let differs = |why: String| {
        Error::new(
            Code::ExportDiffers,
            "the adapter does not read back as written",
        )
        .in_file(from.place(name))
        .why(why)
        .fix("do not use this file; start the run again, it goes on from a checkpoint")
    };
    let mut tensors = TensorFile::open(from, name).map_err(differs)?;
    for tensor in expected {
        let found = tensors.info(&tensor.key).map_err(differs)?;
        if found.shape != tensor.shape || found.dtype != Dtype::F32 {
            let (shape, dtype) = (&found.shape, found.dtype);
            return Err(differs(format!("{} is {dtype:?} {shape:?}", tensor.key)));
        }
        let finite = |piece: &[u8]| {
            let mut values = piece.as_chunks::<4>().0.iter();
            if values.all(|v| f32::from_le_bytes(*v).is_finite()) {
                return Ok(());
            }
            let key = &tensor.key;
            Err(format!("{key} holds a value that is not finite"))
        };
        tensors.floats(&tensor.key, finite).map_err(differs)?;
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
