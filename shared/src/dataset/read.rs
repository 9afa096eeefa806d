//! Reads prepared samples by row, memory-mapped.

use std::path::Path;

use safetensors::SafeTensors;

use super::Sample;
use crate::error::{Code, Error, Result};

/// Prepared samples in memory.
#[derive(Debug)]
pub struct PreparedDataset {
    ids: Vec<u32>,
    targets: Vec<u8>,
    offsets: Vec<usize>,
}

impl PreparedDataset {
    /// Opens a prepared file and checks that its name is the digest of its content.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, [`Code::DigestDiffers`] when it was altered.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| {
            Error::new(
                Code::Io,
                format!("the prepared dataset cannot be read: {e}"),
            )
            .in_file(path)
            .fix("output_dir must lie on storage that every worker sees under the same path")
        })?;
        let altered = |detail: String| {
            Error::new(Code::DigestDiffers, "the prepared dataset was altered")
                .in_file(path)
                .why(detail)
                .fix("delete it, it will be prepared again")
        };
        let file = SafeTensors::deserialize(&bytes).map_err(|e| altered(e.to_string()))?;
        let data = |name: &str| {
            file.tensor(name)
                .map(|t| t.data().to_vec())
                .map_err(|e| altered(e.to_string()))
        };
        let ids = words(&data("ids")?, u32::from_le_bytes);
        let targets = data("targets")?;
        let offsets = words(&data("offsets")?, u64::from_le_bytes);
        let offsets: Vec<usize> = offsets
            .into_iter()
            .map(|o| usize::try_from(o).unwrap_or(usize::MAX))
            .collect();
        let whole = offsets.first() == Some(&0)
            && offsets.last() == Some(&ids.len())
            && offsets.is_sorted()
            && ids.len() == targets.len();
        if !whole {
            return Err(altered("its offsets do not fit its tokens".into()));
        }
        let dataset = Self {
            ids,
            targets,
            offsets,
        };
        let found = dataset.digest();
        if path.file_stem().and_then(|s| s.to_str()) != Some(found.as_str()) {
            return Err(altered(format!("its digest is {found}")));
        }
        Ok(dataset)
    }

    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row, `None` past the end.
    #[must_use]
    pub fn sample(&self, row: usize) -> Option<Sample<'_>> {
        let (start, end) = (*self.offsets.get(row)?, *self.offsets.get(row + 1)?);
        Some(Sample {
            ids: self.ids.get(start..end)?,
            targets: self.targets.get(start..end)?,
        })
    }

    /// Predicted tokens of every row.
    #[must_use]
    pub fn target_tokens(&self) -> Vec<u32> {
        (0..self.len())
            .filter_map(|row| self.sample(row))
            .map(|s| s.target_tokens())
            .collect()
    }

    /// Tokens of every row.
    #[must_use]
    pub fn lengths(&self) -> Vec<u32> {
        self.offsets
            .windows(2)
            .map(|w| u32::try_from(w[1] - w[0]).unwrap_or(u32::MAX))
            .collect()
    }

    /// Digest over every token and target, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"prepared-dataset-1");
        for &offset in &self.offsets {
            hasher.update(&(offset as u64).to_le_bytes());
        }
        for id in &self.ids {
            hasher.update(&id.to_le_bytes());
        }
        hasher.update(&self.targets);
        hasher.finalize().to_hex().to_string()
    }
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| read(*chunk))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{DatasetWriter, RowOrigin};
    use super::*;

    fn written(folder: &Path) -> std::path::PathBuf {
        let mut writer = DatasetWriter::new();
        let origin = |line| RowOrigin {
            file: "a.txt".into(),
            line,
        };
        writer.push(&[1, 2, 3], &[0, 1, 1], origin(1));
        writer.push(&[9], &[1], origin(2));
        assert_eq!(writer.sizes(), (vec![3, 1], vec![2, 0]));
        writer.publish(folder).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = PreparedDataset::open(&written(folder.path())).unwrap();
        assert_eq!(data.len(), 2);
        assert_eq!(data.sample(0).unwrap().ids, [1, 2, 3]);
        assert_eq!(data.target_tokens(), [2, 0]);
        assert_eq!(data.lengths(), [3, 1]);
        assert!(data.sample(2).is_none());
    }

    #[test]
    fn an_altered_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            PreparedDataset::open(&path).unwrap_err().code,
            Code::DigestDiffers
        );
    }
}
