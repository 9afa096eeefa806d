//! Safe doors to the C++ shim: products, gradients from given values, random numbers, determinism.
//!
//! Keeps: no exception and no message of the shim is lost; tensors that come out are owned. Shapes in names: B rows, I
//! inputs, O outputs.

#![allow(non_snake_case)]

use std::ffi::{CStr, c_char, c_void};

use tch::{TchError, Tensor};

use super::frozen::FrozenWeight;
use super::torch::TorchResult;

pub(super) type Pointer = *mut c_void;

unsafe extern "C" {
    fn shim_free(text: *mut c_char);
    fn shim_use_plain_allocator();
    fn shim_held_bytes() -> usize;
    fn shim_device_peak(value: Pointer, in_use: *mut usize, reserved: *mut usize) -> *mut c_char;
    fn shim_set_deterministic() -> *mut c_char;
    fn shim_set_threads(threads: i32);
    fn shim_check_threads() -> *mut c_char;
    fn shim_cpu_capability(out: *mut *mut c_char) -> *mut c_char;
    fn shim_frozen_linear(
        input: Pointer,
        weight: Pointer,
        bias: Pointer,
        output: *mut Pointer,
    ) -> *mut c_char;
    fn shim_learning_linear(input: Pointer, weight: Pointer, output: *mut Pointer) -> *mut c_char;
    fn shim_product(left: Pointer, right: Pointer, output: *mut Pointer) -> *mut c_char;
    fn shim_normal(generator: Pointer, into: Pointer, deviation: f64) -> *mut c_char;
    fn shim_generator(seed: u64, out: *mut Pointer) -> *mut c_char;
    fn shim_uniform(generator: Pointer, into: Pointer, from: f64, to: f64) -> *mut c_char;
    fn shim_generator_free(generator: Pointer);
    fn shim_gradients(
        output: Pointer,
        seed: Pointer,
        inputs: *const Pointer,
        count: usize,
        gradients: *mut Pointer,
    ) -> *mut c_char;
}

pub(super) fn maybe(value: Option<&Tensor>) -> Pointer {
    value.map_or(std::ptr::null_mut(), pointer)
}

/// `y = x W^T + b` with a dense frozen weight, x `[B, I]`, y `[B, O]`; only x gets a gradient.
///
/// # Errors
/// libtorch's.
pub fn frozen_linear(
    input_BI: &Tensor,
    weight_OI: &Tensor,
    bias_O: Option<&Tensor>,
) -> TorchResult<Tensor> {
    frozen_product(input_BI, &FrozenWeight::dense(weight_OI)?, bias_O)
}

/// [`frozen_linear`] with a weight that may be quantized.
///
/// # Errors
/// libtorch's.
pub fn frozen_product(
    input_BI: &Tensor,
    weight_OI: &FrozenWeight,
    bias_O: Option<&Tensor>,
) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    // SAFETY: the borrows keep both tensors and the weight's handle alive through the call; the shim takes null for a
    // bias that is not there. It writes `output` when and only when no message comes back.
    let message = unsafe {
        shim_frozen_linear(
            pointer(input_BI),
            weight_OI.handle(),
            maybe(bias_O),
            &raw mut output,
        )
    };
    check(message)?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

/// `y = x W^T` with a weight that learns, x `[B, I]`, W `[O, I]`; both get a gradient.
///
/// # Errors
/// libtorch's.
pub fn learning_linear(input_BI: &Tensor, weight_OI: &Tensor) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    // SAFETY: the borrows keep both tensors alive through the call; `output` is written when and only when no message
    // comes back.
    check(unsafe { shim_learning_linear(pointer(input_BI), pointer(weight_OI), &raw mut output) })?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

/// The product of two matrices, `[M, K]` and `[K, N]`, without a graph; the same bits for any number of threads.
///
/// # Errors
/// libtorch's.
pub fn product(left: &Tensor, right: &Tensor) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    // SAFETY: the borrows keep both tensors alive through the call; `output` is written when and only when no message
    // comes back.
    check(unsafe { shim_product(pointer(left), pointer(right), &raw mut output) })?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}

/// Gradients of `sum(output * seed)` with respect to `inputs`, in their order; the graph is freed.
///
/// # Errors
/// libtorch's, also when an input had no part in the output.
pub fn gradients(output: &Tensor, seed: &Tensor, inputs: &[&Tensor]) -> TorchResult<Vec<Tensor>> {
    let pointers: Vec<Pointer> = inputs.iter().map(|tensor| pointer(tensor)).collect();
    let mut found: Vec<Pointer> = vec![std::ptr::null_mut(); inputs.len()];
    // SAFETY: the borrows keep all tensors alive through the call; `pointers` and `found` have `pointers.len()` places
    // each, of which the shim reads and writes no more.
    let message = unsafe {
        shim_gradients(
            pointer(output),
            pointer(seed),
            pointers.as_ptr(),
            pointers.len(),
            found.as_mut_ptr(),
        )
    };
    check(message)?;
    // SAFETY: no message came back, so the shim wrote a new tensor into every place, which only this call holds.
    Ok(found.into_iter().map(|p| unsafe { owned(p) }).collect())
}

/// torch's CPU generator with a state of its own: nobody else draws from it.
#[derive(Debug)]
pub struct Generator(Pointer);

impl Generator {
    /// A generator as `torch.Generator().manual_seed(seed)` makes it.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(seed: u64) -> TorchResult<Self> {
        let mut generator: Pointer = std::ptr::null_mut();
        // SAFETY: `generator` is a place of this call; it is written when no message comes back, and only then used.
        check(unsafe { shim_generator(seed, &raw mut generator) })?;
        Ok(Self(generator))
    }

    /// As `torch.empty(shape).uniform_(from, to)` on the CPU in f32.
    ///
    /// # Errors
    /// libtorch's.
    pub fn uniform(&mut self, shape: &[i64], from: f64, to: f64) -> TorchResult<Tensor> {
        let into = Tensor::f_empty(shape, (tch::Kind::Float, tch::Device::Cpu))?;
        // SAFETY: the generator lives as long as `self`, which is borrowed alone; `into` is this call's own tensor.
        check(unsafe { shim_uniform(self.0, pointer(&into), from, to) })?;
        Ok(into)
    }
}

impl Generator {
    /// As `torch.empty(shape).normal_(0, deviation)` on the CPU in f32.
    ///
    /// # Errors
    /// libtorch's.
    pub fn normal(&mut self, shape: &[i64], deviation: f64) -> TorchResult<Tensor> {
        let into = Tensor::f_empty(shape, (tch::Kind::Float, tch::Device::Cpu))?;
        // SAFETY: the generator lives as long as `self`, which is borrowed alone; `into` is this call's own tensor.
        check(unsafe { shim_normal(self.0, pointer(&into), deviation) })?;
        Ok(into)
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: `new` alone makes a `Generator`, from a pointer of the shim's, and nothing copies it: it is freed
        // once, here.
        unsafe { shim_generator_free(self.0) };
    }
}

/// Deterministic kernels or an error, no TF32, no autotuning; for the whole process.
///
/// # Errors
/// libtorch's.
pub fn set_deterministic() -> TorchResult<()> {
    // SAFETY: nothing is passed; the shim sets flags of libtorch's global context.
    check(unsafe { shim_set_deterministic() })
}

/// From here on tensors on the CPU lie in memory that can be used again when they are gone.
pub(super) fn use_plain_allocator() {
    // SAFETY: nothing is passed; the allocator is static, and set once however often this is called.
    unsafe { shim_use_plain_allocator() }
}

/// Bytes that tensors on the CPU take now; 0 before [`super::open`].
#[must_use]
pub fn held_bytes() -> u64 {
    // SAFETY: nothing is passed; the shim reads an atomic counter.
    unsafe { shim_held_bytes() as u64 }
}

/// The most bytes that tensors took at once on this tensor's accelerator, and that were taken from its driver for them.
///
/// # Errors
/// libtorch's, also for a tensor on the CPU.
pub(super) fn device_peak(value: &Tensor) -> TorchResult<(u64, u64)> {
    let (mut in_use, mut reserved) = (0, 0);
    // SAFETY: the borrow keeps the tensor alive through the call; both numbers are places of this call, which the shim
    // writes.
    check(unsafe { shim_device_peak(pointer(value), &raw mut in_use, &raw mut reserved) })?;
    Ok((in_use as u64, reserved as u64))
}

/// How many threads compute on the CPU; 0 is as many as libtorch would take. No bit depends on it.
pub fn set_threads(threads: usize) {
    // SAFETY: a number is passed, and it is never negative: 0 is as many as libtorch would take.
    unsafe { shim_set_threads(i32::try_from(threads).unwrap_or(i32::MAX)) }
}

/// Whether OpenMP lets threads work together, without which bits would depend on their number.
pub(super) fn check_threads() -> TorchResult<()> {
    // SAFETY: nothing is passed and nothing is computed; the shim asks OpenMP.
    check(unsafe { shim_check_threads() })
}

/// Which kernels libtorch picks on this CPU, such as `AVX512`.
pub(super) fn cpu_capability() -> TorchResult<String> {
    let mut text: *mut c_char = std::ptr::null_mut();
    // SAFETY: `text` is a place of this call; it is written when no message comes back, and only then read.
    check(unsafe { shim_cpu_capability(&raw mut text) })?;
    // SAFETY: no message came back, so `text` is a C string of the shim's that nobody freed.
    Ok(unsafe { take(text) })
}

pub(super) fn pointer(tensor: &Tensor) -> Pointer {
    tensor.as_ptr().cast_mut().cast()
}

pub(super) fn check(message: *mut c_char) -> TorchResult<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a message is a C string of the shim's, and every caller hands it here once.
    Err(TchError::Torch(unsafe { take(message) }))
}

/// # Safety
/// `tensor` is a new tensor of the shim's that nobody else holds.
pub(super) unsafe fn owned(tensor: Pointer) -> Tensor {
    // SAFETY: promised by the caller.
    unsafe { Tensor::from_ptr(tensor.cast()) }
}

/// # Safety
/// `text` is a C string of the shim's that nobody freed.
unsafe fn take(text: *mut c_char) -> String {
    // SAFETY: promised by the caller.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        shim_free(text);
        owned
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    /// Rows and columns that lie apart, across, on each other, or are single.
    #[test]
    fn products_of_every_layout_equal_those_of_operators() {
        let mut generator = Generator::new(3).unwrap();
        let mut random = |shape: [i64; 2]| generator.uniform(&shape, -1.0, 1.0).unwrap();
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            let [left, right, row, column] =
                [[70, 300], [300, 90], [1, 300], [300, 1]].map(|s| random(s).to_kind(kind));
            let cases = [
                (left.shallow_clone(), right.shallow_clone()),
                (left.tr().contiguous().tr(), right.tr().contiguous().tr()),
                (
                    left.narrow(1, 7, 200),
                    right.narrow(0, 7, 200).narrow(1, 3, 50),
                ),
                (row.expand([40, 300], false), right.shallow_clone()),
                (left.shallow_clone(), column.expand([300, 40], false)),
                (row.shallow_clone(), column.shallow_clone()),
                (column.narrow(0, 0, 50), row.shallow_clone()),
                (left.slice(1, 0, 300, 2), right.slice(0, 0, 300, 2)),
            ];
            for (number, (left, right)) in cases.iter().enumerate() {
                let found = product(left, right).unwrap();
                let wide = |t: &Tensor| t.to_kind(Kind::Double);
                let expected = wide(left).matmul(&wide(right));
                let apart = (wide(&found) - &expected).norm().double_value(&[]);
                let share = if kind == Kind::Float { 1e-6 } else { 4e-3 };
                assert!(
                    apart <= share * expected.norm().double_value(&[]),
                    "{kind:?} {number}"
                );
            }
        }
    }
}
