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
        let rows = (0..self.rows()).filter_map(|row| self.sample(row));
        rows.map(|row| {
            let tokens = u32::try_from(row.ids.len()).unwrap_or(u32::MAX);
            (tokens, row.target_tokens())
        })
        .unzip()
    }

    /// Where each row came from.
    #[must_use]
    pub fn origins(&self) -> &[RowOrigin] {
        &self.origins
    }

    /// Rows, their tokens, and those of them that are predicted.
    #[must_use]
    pub fn totals(&self) -> (u64, u64, u64) {
        let rows = 0..self.rows();
        let learned = rows.filter_map(|row| self.sample(row));
        let learned = learned.map(|row| u64::from(row.target_tokens())).sum();
        (self.rows() as u64, self.ids.len() as u64, learned)
    }

    /// These rows in this order; a row may come more than once, or not at all.
    #[must_use]
    pub fn reordered(&self, order: &[u32]) -> Self {
        let mut other = Self::new();
        for &row in order {
            let row = row as usize;
            if let (Some(sample), Some(origin)) = (self.sample(row), self.origins.get(row)) {
                other.push(sample.ids, sample.targets, origin.clone());
            }
        }
        other
    }

    /// One row, `None` past the end.
    #[must_use]
    pub fn sample(&self, row: usize) -> Option<Sample<'_>> {
        let at = |row: usize| usize::try_from(*self.offsets.get(row)?).ok();
        let (start, end) = (at(row)?, at(row + 1)?);
        Some(Sample {
            ids: self.ids.get(start..end)?,
            targets: self.targets.get(start..end)?,
        })
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
