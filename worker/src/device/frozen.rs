//! Frozen weights behind one handle: dense, in four bits or in eight.
//!
//! In: tensors as they lie in memory or in a file. Out: [`FrozenWeight`], which products take, and
//! bitsandbytes' codes of a weight. Keeps: a dense weight is the very tensor it was made of; a
//! quantized one is made dense for each product anew, and only its codes and scales stay.
//! Shapes in names: O outputs, I inputs.

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

// SAFETY: the handle counts references atomically, and what it points to is never written.
unsafe impl Send for FrozenWeight {}

/// NF4: sixteen values per block, scaled by the block's largest magnitude.
#[derive(Debug)]
pub struct Nf4 {
    /// O and I.
    pub shape: [i64; 2],
    /// Two codes to a byte, the earlier in the high half, u8.
    pub packed: Tensor,
    /// Largest magnitude of each block: f32, or u8 with `nested`.
    pub scales: Tensor,
    /// Elements of a block.
    pub block: i64,
    /// What the u8 scales mean.
    pub nested: Option<Nested>,
}

/// Scales in eight bits.
#[derive(Debug)]
pub struct Nested {
    /// Largest magnitude of each block of scales, f32.
    pub scales: Tensor,
    /// Values of the codes, f32 `[256]`.
    pub map: Tensor,
    /// Scales of a block.
    pub block: i64,
    /// Added to every scale.
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
    /// A weight as it is.
    ///
    /// # Errors
    /// libtorch's, when it is no matrix.
    pub fn dense(weight_OI: &Tensor) -> TorchResult<Self> {
        // SAFETY: a live tensor; the handle is written when no message comes back.
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
        // SAFETY: live tensors or null where the shim takes null.
        Self::made(|out| unsafe { shim_frozen_nf4(&raw const raw, out) })
    }

    /// A weight in eight bits, computed with in `compute`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn int8(parts: &Int8, compute: Kind) -> TorchResult<Self> {
        let (codes, scales) = (pointer(&parts.codes_OI), pointer(&parts.scales_O));
        // SAFETY: live tensors.
        Self::made(|out| unsafe { shim_frozen_int8(codes, scales, number(compute), out) })
    }

    /// The weight in the type of compute: the tensor itself, or a new one.
    ///
    /// # Errors
    /// libtorch's.
    pub fn value(&self) -> TorchResult<Tensor> {
        // SAFETY: a live handle.
        made(|out| unsafe { shim_frozen_value(self.0, out) })
    }

    /// The same as a GPU computes it, on any device.
    ///
    /// # Errors
    /// libtorch's.
    pub fn value_by_operators(&self) -> TorchResult<Tensor> {
        // SAFETY: a live handle.
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
        // SAFETY: made by the shim, freed once.
        unsafe { shim_frozen_free(self.0) };
    }
}

/// Codes and scales of a contiguous weight on the CPU; `None` when a value is not a finite number.
///
/// # Errors
/// libtorch's.
pub fn quantize_nf4(weight_OI: &Tensor, double: bool) -> TorchResult<Option<Nf4>> {
    let (rows, columns) = weight_OI.size2()?;
    let (mut finite, mut offset) = (0, 0.0);
    let [mut packed, mut scales, mut nested]: [Pointer; 3] = [std::ptr::null_mut(); 3];
    // SAFETY: a live tensor, and places that are written when no message comes back.
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
    // SAFETY: new tensors of the shim's, or null.
    let (packed, scales) = unsafe { (owned(packed), owned(scales)) };
    // SAFETY: the same.
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

/// The same in eight bits.
///
/// # Errors
/// libtorch's.
pub fn quantize_int8(weight_OI: &Tensor) -> TorchResult<Option<Int8>> {
    let mut finite = 0;
    let [mut codes, mut scales]: [Pointer; 2] = [std::ptr::null_mut(); 2];
    // SAFETY: a live tensor, and places that are written when no message comes back.
    check(unsafe {
        shim_int8_quantize(
            pointer(weight_OI),
            &raw mut finite,
            &raw mut codes,
            &raw mut scales,
        )
    })?;
    // SAFETY: new tensors of the shim's.
    let (codes_OI, scales_O) = unsafe { (owned(codes), owned(scales)) };
    Ok((finite != 0).then_some(Int8 { codes_OI, scales_O }))
}

/// The values of the 8-bit codes of scales, f32 `[256]`.
///
/// # Errors
/// libtorch's.
pub fn nested_map() -> TorchResult<Tensor> {
    // SAFETY: no argument.
    made(|out| unsafe { shim_nested_map(out) })
}

fn made(make: impl FnOnce(*mut Pointer) -> *mut c_char) -> TorchResult<Tensor> {
    let mut tensor: Pointer = std::ptr::null_mut();
    check(make(&raw mut tensor))?;
    // SAFETY: the shim handed over a new tensor.
    Ok(unsafe { owned(tensor) })
}

/// torch's number of a type.
fn number(kind: Kind) -> c_int {
    match kind {
        Kind::Half => 5,
        Kind::BFloat16 => 15,
        _ => 6,
    }
}
