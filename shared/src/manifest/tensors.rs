//! A safetensors file read tensor by tensor, in pieces: a state of many gigabytes never lies in memory.
//!
//! In: an object. Out: names, shapes and types from the header, the bytes of one tensor after the other.
//! Keeps: the header's tensors cover the file without gap or overlap. Read and not mapped: a file that
//! somebody cuts off meanwhile is an error, not a signal that ends the process.

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::Value;

use crate::storage::{Object, Objects};

/// Bytes read at once: enough to be worth several threads of a hash.
const PIECE: usize = 8 << 20;
/// The longest header that safetensors allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// An open file whose header is understood.
pub(super) struct TensorFile {
    object: Box<dyn Object>,
    /// Where the first tensor begins.
    data: u64,
    tensors: BTreeMap<String, TensorInfo>,
    piece: Vec<u8>,
}

impl TensorFile {
    /// Opens an object and reads its header; an error says why in words.
    pub(super) fn open(from: &dyn Objects, name: &str) -> Result<Self, String> {
        let object = from.open(name).map_err(|e| e.to_string())?;
        let length = object.length().map_err(|e| e.to_string())?;
        let mut first = [0; 8];
        let short = |e: std::io::Error| format!("the header cannot be read: {e}");
        object.read_exact_at(&mut first, 0).map_err(short)?;
        let header = u64::from_le_bytes(first);
        if header > LONGEST_HEADER || header + 8 > length {
            return Err(format!("the header says it has {header} bytes"));
        }
        let mut text = vec![0; usize::try_from(header).unwrap_or_default()];
        object.read_exact_at(&mut text, 8).map_err(short)?;
        let mut all: BTreeMap<String, Value> =
            serde_json::from_slice(&text).map_err(|e| format!("the header: {e}"))?;
        all.remove("__metadata__");
        let mut tensors = BTreeMap::new();
        for (key, value) in all {
            let info: TensorInfo =
                serde_json::from_value(value).map_err(|e| format!("{key} in the header: {e}"))?;
            tensors.insert(key, info);
        }
        cover(&tensors, length - 8 - header)?;
        Ok(Self {
            object,
            data: 8 + header,
            tensors,
            piece: Vec::new(),
        })
    }

    /// How many tensors there are.
    pub(super) fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Type and shape of a tensor.
    pub(super) fn info(&self, key: &str) -> Result<&TensorInfo, String> {
        self.tensors
            .get(key)
            .ok_or_else(|| format!("{key} is missing"))
    }

    /// Whether the file has a tensor of this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// Shows the bytes of a tensor of F32 in order, in pieces of whole values.
    pub(super) fn floats(
        &mut self,
        key: &str,
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let info = self.info(key)?;
        if info.dtype != Dtype::F32 {
            return Err(format!("{key} is {:?}, expected F32", info.dtype));
        }
        let (mut at, end) = info.data_offsets;
        while at < end {
            let length = (end - at).min(PIECE);
            self.piece.resize(length, 0);
            let place = self.data + at as u64;
            let read = self.object.read_exact_at(&mut self.piece, place);
            read.map_err(|e| format!("{key} cannot be read: {e}"))?;
            each(&self.piece)?;
            at += length;
        }
        Ok(())
    }

    /// A tensor of one I64 that is not negative.
    pub(super) fn counter(&self, key: &str) -> Result<u64, String> {
        let info = self.info(key)?;
        if info.dtype != Dtype::I64 || info.shape != [1] {
            let (dtype, shape) = (info.dtype, &info.shape);
            return Err(format!("{key} is {dtype:?} {shape:?}, expected one I64"));
        }
        let mut bytes = [0; 8];
        let place = self.data + info.data_offsets.0 as u64;
        let read = self.object.read_exact_at(&mut bytes, place);
        read.map_err(|e| format!("{key} cannot be read: {e}"))?;
        u64::try_from(i64::from_le_bytes(bytes)).map_err(|_| format!("{key} is negative"))
    }
}

/// The tensors lie side by side, each as long as its shape, and nothing is behind them.
fn cover(tensors: &BTreeMap<String, TensorInfo>, length: u64) -> Result<(), String> {
    let mut places: Vec<_> = tensors.iter().collect();
    places.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (key, info) in places {
        let elements = info.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize()));
        let (first, behind) = info.data_offsets;
        if first != end || behind < first || bits != (behind - first).checked_mul(8) {
            return Err(format!("{key} lies where it cannot lie"));
        }
        end = behind;
    }
    if end as u64 != length {
        return Err(format!("{length} bytes of tensors, the header says {end}"));
    }
    Ok(())
}
