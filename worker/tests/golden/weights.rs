//! The golden models' weights: an integer hash of (tensor name, index), as make_golden.py has it.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

/// FNV-1a, 64 bit.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// A whole number -2^23..2^23 that depends on the name and the index only.
fn hashed(name: u64, index: u64) -> i64 {
    let mut x = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(name);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 40) as i64 - (1 << 23)
}

/// Values of one tensor, each exact in f32; weights of norms lie around `center`.
pub fn weight(name: &str, elements: usize, center: f64) -> Vec<f32> {
    let (offset, scale) = if name.ends_with("norm.weight") {
        (center, 0.125)
    } else if name.contains("embed_tokens") {
        (0.0, 1.0)
    } else if name.contains("lora_") {
        (0.0, 0.125)
    } else {
        (0.0, 0.25)
    };
    let key = name_hash(name);
    let value = |index| offset + hashed(key, index) as f64 / f64::from(1 << 23) * scale;
    (0..elements as u64)
        .map(|index| value(index) as f32)
        .collect()
}

/// Writes tensors with hashed values in f32, named and shaped as given.
pub fn write_safetensors(path: &Path, tensors: &[(String, Vec<usize>)]) {
    write_as(path, tensors, 1.0, Dtype::F32);
}

/// The same in any type, weights of norms around `center`.
pub fn write_as(path: &Path, tensors: &[(String, Vec<usize>)], center: f64, dtype: Dtype) {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(name, shape)| bytes(&weight(name, shape.iter().product(), center), dtype))
        .collect();
    let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
        let view = TensorView::new(dtype, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Little-endian bytes, rounded to nearest even.
fn bytes(values: &[f32], dtype: Dtype) -> Vec<u8> {
    let kind = match dtype {
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        _ => return values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    };
    let halves = Tensor::from_slice(values)
        .to_kind(kind)
        .view_dtype(Kind::Int16);
    let halves = Vec::<i16>::try_from(halves).unwrap();
    halves.iter().flat_map(|v| v.to_le_bytes()).collect()
}
