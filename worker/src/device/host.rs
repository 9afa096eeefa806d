//! Vectors of the host, to and from tensors of any device in one copy.
//!
//! In: f32 values in one row. Out: the same values on the other side. Keeps: nothing between holds them a second time;
//! the copy is over when the call returns.

use tch::{Device, Kind, TchError, Tensor};

use super::torch::TorchResult;

/// Copies the values into a tensor `[N]` of as many.
///
/// # Errors
/// Another number of values, and libtorch's.
pub fn copy_in(values: &[f32], into: &mut Tensor) -> TorchResult<()> {
    fits(into, values.len())?;
    // SAFETY: `values` is borrowed until the end of the call, where the view ends too; the view is only read from.
    let view = unsafe { view(values.as_ptr(), values.len()) }?;
    into.f_copy_(&view)
}

/// Copies a tensor `[N]` over as many values.
///
/// # Errors
/// Another number of values, and libtorch's.
pub fn copy_out(from: &Tensor, values: &mut [f32]) -> TorchResult<()> {
    fits(from, values.len())?;
    // SAFETY: `values` is borrowed alone until the end of the call, where the view ends too; the view alone writes to
    // it.
    let mut view = unsafe { view(values.as_mut_ptr(), values.len()) }?;
    view.f_copy_(from)
}

/// libtorch would repeat a single value.
fn fits(tensor: &Tensor, values: usize) -> TorchResult<()> {
    let size = tensor.size();
    if tensor.numel() == values && size.len() == 1 {
        return Ok(());
    }
    Err(TchError::Shape(format!("{values} values for {size:?}")))
}

/// # Safety
/// As many values lie there as long as the tensor lives; nobody else writes to them meanwhile.
unsafe fn view(values: *const f32, length: usize) -> TorchResult<Tensor> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // SAFETY: the caller promises that `length` values lie there as long as the tensor lives.
    unsafe { Tensor::f_from_blob(values.cast(), &[length], &[1], Kind::Float, Device::Cpu) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_there_and_back() {
        let mut tensor = Tensor::zeros([4], (Kind::Float, Device::Cpu));
        copy_in(&[1.0, -2.5, f32::MIN_POSITIVE, 4.0], &mut tensor).unwrap();
        let mut values = [0.0; 4];
        copy_out(&tensor, &mut values).unwrap();
        assert_eq!(values, [1.0, -2.5, f32::MIN_POSITIVE, 4.0]);
        values.fill(7.0);
        assert_eq!(tensor.double_value(&[0]), 1.0);
        assert_eq!(values[0], 7.0);
    }

    #[test]
    fn another_number_is_refused_and_not_repeated() {
        let mut tensor = Tensor::zeros([4], (Kind::Float, Device::Cpu));
        assert!(copy_in(&[1.0], &mut tensor).is_err());
        assert!(copy_out(&tensor, &mut [0.0; 5]).is_err());
        assert!(copy_out(&tensor.view([2, 2]), &mut [0.0; 4]).is_err());
        assert_eq!(Vec::<f32>::try_from(tensor).unwrap(), [0.0; 4]);
    }
}
