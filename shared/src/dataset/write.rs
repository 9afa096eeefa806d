//! Writes prepared samples once, under a name that is their digest.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use super::{RowOrigin, Sample};
use crate::error::{Code, Error, Result};
use crate::storage;

/// Collects samples in memory and publishes them atomically.
#[derive(Debug, Default)]
pub struct DatasetWriter {
    ids: Vec<u32>,
    targets: Vec<u8>,
    offsets: Vec<u64>,
    origins: Vec<RowOrigin>,
}

impl DatasetWriter {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            offsets: vec![0],
            ..Self::default()
        }
    }

    /// Adds a row. Both slices have one entry per token.
    pub fn push(&mut self, ids: &[u32], targets: &[u8], origin: RowOrigin) {
        debug_assert_eq!(ids.len(), targets.len());
        self.ids.extend_from_slice(ids);
        self.targets.extend_from_slice(targets);
        self.offsets.push(self.ids.len() as u64);
        self.origins.push(origin);
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    /// Tokens and predicted tokens of every row.
    #[must_use]
    pub fn sizes(&self) -> (Vec<u32>, Vec<u32>) {
        let row = |ends: &[u64]| {
            let [from, to] = [ends[0], ends[1]].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            Sample {
                ids: self.ids.get(from..to).unwrap_or_default(),
                targets: self.targets.get(from..to).unwrap_or_default(),
            }
        };
        let rows = self.offsets.windows(2).map(row);
        rows.map(|row| {
            let tokens = u32::try_from(row.ids.len()).unwrap_or(u32::MAX);
            (tokens, row.target_tokens())
        })
        .unzip()
    }

    /// Digest over every token and target, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"prepared-dataset-1");
        for offset in &self.offsets {
            hasher.update(&offset.to_le_bytes());
        }
        hasher.update(&le_bytes(&self.ids));
        hasher.update(&self.targets);
        hasher.finalize().to_hex().to_string()
    }

    /// Publishes into `folder` as `<digest>.safetensors` and `<digest>.json`; what is there
    /// already is kept. Returns the path of the safetensors file.
    ///
    /// # Errors
    /// [`Code::Io`] when the folder cannot be written.
    pub fn publish(&self, folder: &Path) -> Result<PathBuf> {
        let digest = self.digest();
        let path = folder.join(format!("{digest}.safetensors"));
        if path.is_file() {
            return Ok(path);
        }
        let ids = le_bytes(&self.ids);
        let offsets: Vec<u8> = self.offsets.iter().flat_map(|o| o.to_le_bytes()).collect();
        let view = |dtype, len: usize, data| {
            TensorView::new(dtype, vec![len], data)
                .map_err(|e| Error::new(Code::Internal, format!("prepared dataset: {e}")))
        };
        let tensors = [
            ("ids", view(Dtype::U32, self.ids.len(), &ids[..])?),
            (
                "offsets",
                view(Dtype::U64, self.offsets.len(), &offsets[..])?,
            ),
            (
                "targets",
                view(Dtype::U8, self.targets.len(), &self.targets[..])?,
            ),
        ];
        let bytes = safetensors::serialize(tensors, None)
            .map_err(|e| Error::new(Code::Internal, format!("prepared dataset: {e}")))?;
        let origins = serde_json::to_vec(&self.origins)
            .map_err(|e| Error::new(Code::Internal, format!("prepared dataset: {e}")))?;
        storage::write_atomic(&folder.join(format!("{digest}.json")), &origins)?;
        storage::write_atomic(&path, &bytes)?;
        Ok(path)
    }
}

fn le_bytes(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
