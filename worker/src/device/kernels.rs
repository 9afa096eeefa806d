//! Parts of the model by kernels of this program, on the CPU.
//!
//! In and out: as the methods of [`Backend`](super::Backend) say. Keeps: the bits are the same for any number of threads
//! (`worker/cshim`); gradients flow to every input that asks for one but tables and masks. Shapes in names as there.

#![allow(non_snake_case)]

use std::ffi::c_char;

use shared::model::Activation;
use tch::Tensor;

use super::shim::{Pointer, check, maybe, owned, pointer};
use super::torch::TorchResult;

unsafe extern "C" {
    fn shim_has_kernels(value: Pointer) -> i32;
    fn shim_only_operators();
    fn shim_attention(
        query: Pointer,
        key: Pointer,
        value: Pointer,
        seen: Pointer,
        causal: i32,
        scale: f64,
        output: *mut Pointer,
    ) -> *mut c_char;
    fn shim_cross_entropy(logits: Pointer, wanted: Pointer, losses: *mut Pointer) -> *mut c_char;
    fn shim_gated(gate: Pointer, up: Pointer, gelu_tanh: i32, output: *mut Pointer) -> *mut c_char;
    fn shim_normed(input: Pointer, weight: Pointer, eps: f64, output: *mut Pointer) -> *mut c_char;
    fn shim_rotated(
        heads: Pointer,
        cos: Pointer,
        sin: Pointer,
        output: *mut Pointer,
    ) -> *mut c_char;
}

/// Whether kernels of this program compute on the device that holds a tensor: on the CPU.
pub(super) fn has_kernels(value: &Tensor) -> bool {
    // SAFETY: the borrow keeps the tensor alive through the call; the shim reads its device.
    unsafe { shim_has_kernels(pointer(value)) == 1 }
}

/// Switches the kernels of this program off for the rest of the process: the CPU computes as a GPU would, by libtorch's
/// operators. For tests of that on machines without a GPU.
pub fn only_operators() {
    // SAFETY: nothing is passed; the shim sets a flag.
    unsafe { shim_only_operators() };
}

pub(super) fn attention(
    [query, key, value]: [&Tensor; 3],
    seen: Option<&Tensor>,
    causal: bool,
    scale: f64,
) -> TorchResult<Tensor> {
    let [query, key, value] = [query, key, value].map(pointer);
    let (seen, causal) = (maybe(seen), i32::from(causal));
    // SAFETY: the caller's borrows keep every tensor alive through the call; the shim takes null for a mask that is not
    // there, and writes `output` alone.
    made(|output| unsafe { shim_attention(query, key, value, seen, causal, scale, output) })
}

pub(super) fn cross_entropy(logits_CV: &Tensor, wanted_C: &Tensor) -> TorchResult<Tensor> {
    let (logits, wanted) = (pointer(logits_CV), pointer(wanted_C));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_cross_entropy(logits, wanted, output) })
}

pub(super) fn gated(
    activation: Activation,
    gate_PI: &Tensor,
    up_PI: &Tensor,
) -> TorchResult<Tensor> {
    let (gate, up) = (pointer(gate_PI), pointer(up_PI));
    let gelu_tanh = i32::from(activation == Activation::GeluTanh);
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_gated(gate, up, gelu_tanh, output) })
}

pub(super) fn normed(input_PH: &Tensor, weight_H: &Tensor, eps: f64) -> TorchResult<Tensor> {
    let (input, weight) = (pointer(input_PH), pointer(weight_H));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_normed(input, weight, eps, output) })
}

pub(super) fn rotated(
    heads_BTND: &Tensor,
    cos_T1R: &Tensor,
    sin_T1R: &Tensor,
) -> TorchResult<Tensor> {
    let (heads, cos, sin) = (pointer(heads_BTND), pointer(cos_T1R), pointer(sin_T1R));
    // SAFETY: the borrows keep every tensor alive through the call; the shim only reads them, and writes `output`
    // alone.
    made(|output| unsafe { shim_rotated(heads, cos, sin, output) })
}

/// The tensor that `call` writes when no message comes back.
fn made(call: impl FnOnce(*mut Pointer) -> *mut c_char) -> TorchResult<Tensor> {
    let mut output: Pointer = std::ptr::null_mut();
    check(call(&raw mut output))?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(output) })
}
