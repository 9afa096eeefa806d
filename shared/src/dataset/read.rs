//! Reads prepared samples by row, memory-mapped.
//!
//! Keeps: the digest is checked once, by a reading in pieces, so that checking maps nothing in.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use safetensors::SafeTensors;

use super::Sample;
use super::column::PIECE;
use crate::error::{Code, Error, Result};

/// Prepared samples in a file.
#[derive(Debug)]
pub struct PreparedDataset {
    map: Mmap,
    ids: Range<usize>,
    targets: Range<usize>,
    offsets: Range<usize>,
    digest: String,
}

impl PreparedDataset {
    /// Opens a prepared file and checks that its name is the digest of its content.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, [`Code::DigestDiffers`] when it was altered.
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable = |e: io::Error| {
            Error::new(
                Code::Io,
                format!("the prepared dataset cannot be read: {e}"),
            )
            .in_file(path)
            .fix("output_dir must lie on storage that every worker sees under the same path")
        };
        let altered = |detail: String| {
            Error::new(Code::DigestDiffers, "the prepared dataset was altered")
                .in_file(path)
                .why(detail)
                .fix("delete it, it will be prepared again")
        };
        let mut file = File::open(path).map_err(unreadable)?;
        // SAFETY: a map must not change while it is borrowed. This one is read only; whoever publishes a dataset
        // renames it into place and never writes to it again, and its digest is checked below.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        let tensors = SafeTensors::deserialize(&map).map_err(|e| altered(e.to_string()))?;
        let base = map.as_ptr() as usize;
        let place = |name: &str| {
            let view = tensors.tensor(name).map_err(|e| altered(e.to_string()))?;
            let start = view.data().as_ptr() as usize - base;
            Ok::<_, Error>(start..start + view.data().len())
        };
        let (ids, targets, offsets) = (place("ids")?, place("targets")?, place("offsets")?);
        let digest = digest(&mut file, &[&offsets, &ids, &targets]).map_err(unreadable)?;
        let dataset = Self {
            map,
            ids,
            targets,
            offsets,
            digest,
        };
        if !dataset.is_whole() {
            return Err(altered("its offsets do not fit its tokens".into()));
        }
        if path.file_stem().and_then(|s| s.to_str()) != Some(dataset.digest.as_str()) {
            return Err(altered(format!("its digest is {}", dataset.digest)));
        }
        Ok(dataset)
    }

    fn is_whole(&self) -> bool {
        let ids: &[u32] = words(&self.map[self.ids.clone()]);
        let offsets = self.offsets();
        let in_order = offsets.is_sorted() && offsets.first() == Some(&0);
        let tokens = self.targets.len();
        in_order
            && ids.len() == tokens
            && self.ids.len() == size_of_val(ids)
            && self.offsets.len() == size_of_val(offsets)
            && offsets.last() == Some(&(tokens as u64))
    }

    fn offsets(&self) -> &[u64] {
        words(&self.map[self.offsets.clone()])
    }

    /// Number of rows, which are the samples of the dataset.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets().len() - 1
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One row, `None` past the end.
    #[must_use]
    pub fn sample(&self, row: usize) -> Option<Sample<'_>> {
        let ends = self.offsets().get(row..row.checked_add(2)?)?;
        Some(self.between(ends))
    }

    /// Every row, in order.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.offsets().windows(2).map(|ends| self.between(ends))
    }

    /// The row between two offsets, which [`Self::is_whole`] found within the tokens.
    fn between(&self, ends: &[u64]) -> Sample<'_> {
        let tokens = ends[0] as usize..ends[1] as usize;
        Sample {
            ids: &words(&self.map[self.ids.clone()])[tokens.clone()],
            targets: &self.map[self.targets.clone()][tokens],
        }
    }

    /// Number of tokens of every row, in order.
    #[must_use]
    pub fn lengths(&self) -> Vec<u32> {
        self.offsets()
            .windows(2)
            .map(|w| u32::try_from(w[1] - w[0]).unwrap_or(u32::MAX))
            .collect()
    }

    /// Digest over every token and target, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.digest.clone()
    }
}

/// Little-endian numbers where they lie; none when the bytes are not aligned for them.
fn words<T: Word>(bytes: &[u8]) -> &[T] {
    // SAFETY: every pattern of bits is a number of `T`: only u32 and u64 implement the private `Word`. `align_to` keeps
    // the middle part within `bytes`.
    let (before, words, _) = unsafe { bytes.align_to::<T>() };
    if before.is_empty() { words } else { &[] }
}

/// Numbers that any bytes are.
trait Word {}
impl Word for u32 {}
impl Word for u64 {}

const _: () = assert!(cfg!(target_endian = "little"), "files are little-endian");

/// Digest of parts of a file, read in pieces.
fn digest(file: &mut File, parts: &[&Range<usize>]) -> io::Result<String> {
    let mut hasher = super::hasher();
    let mut piece = vec![0; PIECE];
    for part in parts {
        file.seek(SeekFrom::Start(part.start as u64))?;
        let mut left = part.len();
        while left > 0 {
            let length = left.min(PIECE);
            file.read_exact(&mut piece[..length])?;
            hasher.update(&piece[..length]);
            left -= length;
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
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
        writer.push(&[1, 2, 3], &[0, 1, 1], &origin(1));
        writer.push(&[9], &[1], &origin(2));
        assert_eq!(writer.sizes().unwrap(), (vec![3, 1], vec![2, 0]));
        writer.publish(folder).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let data = PreparedDataset::open(&written(folder.path())).unwrap();
        assert_eq!(data.len(), 2);
        assert_eq!(data.sample(0).unwrap().ids, [1, 2, 3]);
        let targets = (0..2).map(|row| data.sample(row).unwrap().target_tokens());
        assert_eq!(targets.collect::<Vec<_>>(), [2, 0]);
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
