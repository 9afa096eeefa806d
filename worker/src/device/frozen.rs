//! Frozen weights behind one handle: dense, in four bits or in eight.
//!
//! In: tensors as they lie in memory or in a file. Out: [`FrozenWeight`], which products take, and bitsandbytes' codes
//! of a weight. The value of element e, in row order, with i its row:
//!
//! ```text
//! NF4     codebook[code_e] * scale[e / block]                   codebook [16], code 4 bits, block 64
//!         scale[n] = map[code8_n] * nested[n / 256] + offset    where the scales have 8 bits, map [256]
//! int8    code_e * scale[i] / 127                               code -127 to 127
//! ```
//!
//! each rounded to the type of compute, NF4 to the weight's former type before that. The code book is `kNf4` in
//! `worker/cshim/nf4.h`. Keeps: a dense weight is the very tensor it was made of; a quantized one is made dense
//! for each product anew, and only its codes and scales stay. Shapes in names: O outputs, I inputs.

#![allow(non_snake_case)]

use std::ffi::{c_char, c_int};

use tch::{Kind, Tensor};

use super::shim::{Pointer, check, owned, pointer};
use super::torch::TorchResult;

#[repr(C)]
struct RawNf4 {
    rows: i64,
    columns: i64,
    packed: Pointer,
    scales: Pointer,
    block: i64,
    nested_scales: Pointer,
    nested_map: Pointer,
    nested_block: i64,
    offset: f32,
    rounded: c_int,
    compute: c_int,
}

unsafe extern "C" {
    fn shim_frozen_dense(weight: Pointer, out: *mut Pointer) -> *mut c_char;
    fn shim_frozen_nf4(parts: *const RawNf4, out: *mut Pointer) -> *mut c_char;
    fn shim_frozen_int8(
        codes: Pointer,
        scales: Pointer,
        compute: c_int,
        out: *mut Pointer,
    ) -> *mut c_char;
    fn shim_frozen_value(weight: Pointer, out: *mut Pointer) -> *mut c_char;
    fn shim_frozen_by_operators(weight: Pointer, out: *mut Pointer) -> *mut c_char;
    fn shim_frozen_free(weight: Pointer);
    fn shim_nf4_quantize(
        weight: Pointer,
        nested: c_int,
        finite: *mut c_int,
        packed: *mut Pointer,
        scales: *mut Pointer,
        nested_scales: *mut Pointer,
        offset: *mut f32,
    ) -> *mut c_char;
    fn shim_int8_quantize(
        weight: Pointer,
        finite: *mut c_int,
        codes: *mut Pointer,
        scales: *mut Pointer,
    ) -> *mut c_char;
    fn shim_nested_map(out: *mut Pointer) -> *mut c_char;
}

/// A weight `[O, I]` that never learns.
#[derive(Debug)]
pub struct FrozenWeight(Pointer);

// SAFETY: the handle is a `c10::intrusive_ptr`, which counts references atomically, and the shim never writes to the
// weight it points to.
unsafe impl Send for FrozenWeight {}

/// NF4: 4-bit codes of sixteen values between -1 and 1, in blocks that share a scale: the block's largest magnitude.
#[derive(Debug)]
pub struct Nf4 {
    /// Outputs and inputs, `[O, I]`.
    pub shape: [i64; 2],
    /// Two codes to a byte, the earlier in the high half, u8.
    pub packed: Tensor,
    /// Largest magnitude of each block: f32, or u8 with `nested`.
    pub scales: Tensor,
    /// Elements of a block, 64 for bitsandbytes.
    pub block: i64,
    /// What the u8 scales mean; `None` where scales are f32.
    pub nested: Option<Nested>,
}

/// Scales of blocks, themselves held in eight bits.
#[derive(Debug)]
pub struct Nested {
    /// Largest magnitude of each block of scales, f32.
    pub scales: Tensor,
    /// Values of the 256 codes between -1 and 1, f32 `[256]`.
    pub map: Tensor,
    /// Number of scales in a block of scales, 256 for bitsandbytes.
    pub block: i64,
    /// Mean of all scales, which was taken off before they were quantized.
    pub offset: f32,
}

/// Eight bits: codes from -127 to 127, scaled by the row's largest magnitude.
#[derive(Debug)]
pub struct Int8 {
    /// Codes `[O, I]`, i8.
    pub codes_OI: Tensor,
    /// Largest magnitude of each row, f32.
    pub scales_O: Tensor,
}

impl FrozenWeight {
    /// A dense weight `[O, I]`: the tensor itself, not a copy.
    ///
    /// # Errors
    /// libtorch's, when it is no matrix.
    pub fn dense(weight_OI: &Tensor) -> TorchResult<Self> {
        // SAFETY: the borrow keeps the tensor alive through the call, and the shim takes a reference of its own; the
        // handle is written when no message comes back.
        Self::made(|out| unsafe { shim_frozen_dense(pointer(weight_OI), out) })
    }

    /// A weight in four bits, that had the type `rounded` before and is computed with in `compute`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn nf4(parts: &Nf4, rounded: Kind, compute: Kind) -> TorchResult<Self> {
        let nested = parts.nested.as_ref();
        let none = std::ptr::null_mut;
        let raw = RawNf4 {
            rows: parts.shape[0],
            columns: parts.shape[1],
            packed: pointer(&parts.packed),
            scales: pointer(&parts.scales),
            block: parts.block,
            nested_scales: nested.map_or_else(none, |nested| pointer(&nested.scales)),
            nested_map: nested.map_or_else(none, |nested| pointer(&nested.map)),
            nested_block: nested.map_or(1, |nested| nested.block),
            offset: nested.map_or(0.0, |nested| nested.offset),
            rounded: number(rounded),
            compute: number(compute),
        };
        // SAFETY: `parts` is borrowed, so its tensors live through the call; the shim takes null for what is not
        // nested, and references of its own to the others.
        Self::made(|out| unsafe { shim_frozen_nf4(&raw const raw, out) })
    }

    /// A weight in eight bits, computed with in `compute`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn int8(parts: &Int8, compute: Kind) -> TorchResult<Self> {
        let (codes, scales) = (pointer(&parts.codes_OI), pointer(&parts.scales_O));
        // SAFETY: `parts` is borrowed, so its tensors live through the call; the shim takes references of its own.
        Self::made(|out| unsafe { shim_frozen_int8(codes, scales, number(compute), out) })
    }

    /// The weight `[O, I]` in the type of compute: the tensor itself where it is dense, otherwise a new one.
    ///
    /// # Errors
    /// libtorch's.
    pub fn value(&self) -> TorchResult<Tensor> {
        // SAFETY: `self` holds a reference to the weight, which `drop` alone gives back.
        made(|out| unsafe { shim_frozen_value(self.0, out) })
    }

    /// [`Self::value`] as a GPU computes it, by libtorch's operators, on any device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn value_by_operators(&self) -> TorchResult<Tensor> {
        // SAFETY: `self` holds a reference to the weight, which `drop` alone gives back.
        made(|out| unsafe { shim_frozen_by_operators(self.0, out) })
    }

    pub(super) fn handle(&self) -> Pointer {
        self.0
    }

    fn made(make: impl FnOnce(*mut Pointer) -> *mut c_char) -> TorchResult<Self> {
        let mut handle: Pointer = std::ptr::null_mut();
        check(make(&raw mut handle))?;
        Ok(Self(handle))
    }
}

impl Drop for FrozenWeight {
    fn drop(&mut self) {
        // SAFETY: `made` alone makes a `FrozenWeight`, from a handle of the shim's, and nothing copies it: it is freed
        // once, here.
        unsafe { shim_frozen_free(self.0) };
    }
}

/// NF4 codes and scales of a contiguous weight `[O, I]` on the CPU, the scales in eight bits with `double`; `None` when
/// a value is not a finite number.
///
/// # Errors
/// libtorch's.
pub fn quantize_nf4(weight_OI: &Tensor, double: bool) -> TorchResult<Option<Nf4>> {
    let (rows, columns) = weight_OI.size2()?;
    let (mut finite, mut offset) = (0, 0.0);
    let [mut packed, mut scales, mut nested]: [Pointer; 3] = [std::ptr::null_mut(); 3];
    // SAFETY: the borrow keeps the tensor alive through the call; all others are places of this call, which the shim
    // writes before it returns without a message.
    check(unsafe {
        shim_nf4_quantize(
            pointer(weight_OI),
            c_int::from(double),
            &raw mut finite,
            &raw mut packed,
            &raw mut scales,
            &raw mut nested,
            &raw mut offset,
        )
    })?;
    // SAFETY: no message came back, so codes and scales are new tensors that only this call holds.
    let (packed, scales) = unsafe { (owned(packed), owned(scales)) };
    // SAFETY: `nested` is null or, as the others, a new tensor that only this call holds.
    let nested = (!nested.is_null()).then(|| unsafe { owned(nested) });
    let nested = nested.map(|scales| -> TorchResult<Nested> {
        Ok(Nested {
            scales,
            map: nested_map()?,
            block: 256,
            offset,
        })
    });
    Ok((finite != 0).then_some(Nf4 {
        shape: [rows, columns],
        packed,
        scales,
        block: 64,
        nested: nested.transpose()?,
    }))
}

/// Int8 codes and scales of a contiguous weight `[O, I]` on the CPU; `None` when a value is not a finite number.
///
/// # Errors
/// libtorch's.
pub fn quantize_int8(weight_OI: &Tensor) -> TorchResult<Option<Int8>> {
    let mut finite = 0;
    let [mut codes, mut scales]: [Pointer; 2] = [std::ptr::null_mut(); 2];
    // SAFETY: the borrow keeps the tensor alive through the call; all others are places of this call, which the shim
    // writes before it returns without a message.
    check(unsafe {
        shim_int8_quantize(
            pointer(weight_OI),
            &raw mut finite,
            &raw mut codes,
            &raw mut scales,
        )
    })?;
    // SAFETY: no message came back, so codes and scales are new tensors that only this call holds.
    let (codes_OI, scales_O) = unsafe { (owned(codes), owned(scales)) };
    Ok((finite != 0).then_some(Int8 { codes_OI, scales_O }))
}

/// The values of the 8-bit codes of scales, f32 `[256]`.
///
/// # Errors
/// libtorch's.
pub fn nested_map() -> TorchResult<Tensor> {
    // SAFETY: nothing is passed but the place, which the shim writes when no message comes back.
    made(|out| unsafe { shim_nested_map(out) })
}

fn made(make: impl FnOnce(*mut Pointer) -> *mut c_char) -> TorchResult<Tensor> {
    let mut tensor: Pointer = std::ptr::null_mut();
    check(make(&raw mut tensor))?;
    // SAFETY: no message came back, so the shim wrote a new tensor there, which only this call holds.
    Ok(unsafe { owned(tensor) })
}

/// torch's number of a type (`c10::ScalarType`): f16, bf16, and f32 for everything else.
fn number(kind: Kind) -> c_int {
    match kind {
        Kind::Half => 5,
        Kind::BFloat16 => 15,
        _ => 6,
    }
}
