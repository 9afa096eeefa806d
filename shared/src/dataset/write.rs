//! Writes prepared samples once, under a name that is their digest.
//!
//! In: rows in order. Out: the published files. Keeps: rows beyond [`WAITING`] bytes lie in files of
//! a hidden folder beside the published ones, so what is in memory does not grow with the rows;
//! published is the whole or nothing, and the same rows give the same bytes wherever they lay.

mod again;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::RowOrigin;
use super::column::Column;
use super::staging::{self, Part, Point, Staging};
use crate::error::{Code, Error, Result};
use crate::run_paths::dataset_file;
use crate::storage;

/// Bytes of rows in memory after which a durable point is due.
pub const WAITING: usize = 32 << 20;
const END: usize = size_of::<u64>();
/// File and line.
const ORIGIN: usize = size_of::<u32>() + size_of::<u64>();
const IDS: usize = 0;
const TARGETS: usize = 1;
const ENDS: usize = 2;
const ORIGINS: usize = 3;

/// Collects samples and publishes them atomically.
#[derive(Debug, Default)]
pub struct DatasetWriter {
    columns: [Column; 4],
    files: Vec<String>,
    numbers: HashMap<String, u32>,
    rows: u64,
    staging: Option<Staging>,
    parts: Vec<Part>,
}

impl DatasetWriter {
    /// An empty one that stays in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether so many rows are in memory that [`DatasetWriter::keep`] should be called.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let waiting = self.columns.iter().map(|column| column.waiting().len());
        waiting.sum::<usize>() >= WAITING
    }

    /// Goes on where a preparation of the same sources (`key`) in `prepared` was interrupted, with
    /// what it had to remember; `None` when there is nothing to continue.
    ///
    /// # Errors
    /// [`Code::Locked`] while another process prepares the same, [`Code::Io`].
    pub fn resume(prepared: &Path, key: &str) -> Result<Option<(Self, serde_json::Value)>> {
        let folder = staging::folder_of(prepared, key);
        if !folder.is_dir() {
            return Ok(None);
        }
        let staging = staging::take(prepared, key)?;
        let (columns, point) = staging::open(&staging).map_err(failed(&folder))?;
        if point.parts.is_empty() {
            return Ok(None);
        }
        let Point {
            parts,
            files,
            state,
        } = point;
        let numbers = (0..).zip(&files).map(|(n, name)| (name.clone(), n));
        let writer = Self {
            rows: columns[ENDS].len() / END as u64,
            numbers: numbers.collect(),
            columns,
            files,
            staging: Some(staging),
            parts,
        };
        Ok(Some((writer, state)))
    }

    /// Makes all rows so far durable in `prepared`, with what is to be remembered beside them.
    ///
    /// # Errors
    /// [`Code::Locked`] while another process prepares the same, [`Code::Io`].
    pub fn keep(&mut self, prepared: &Path, key: &str, state: serde_json::Value) -> Result<()> {
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => {
                let staging = staging::take(prepared, key)?;
                let fresh = staging::empty(&staging).map_err(failed(&staging.folder))?;
                for (mut fresh, column) in fresh.into_iter().zip(&mut self.columns) {
                    fresh.push(column.waiting());
                    *column = fresh;
                }
                staging
            }
        };
        let mut hasher = blake3::Hasher::new();
        let folder = staging.folder.clone();
        for column in &mut self.columns {
            hasher.update(column.waiting());
            column.store().map_err(failed(&folder))?;
        }
        self.parts.push(Part {
            lengths: self.lengths(),
            digest: hasher.finalize().to_hex().to_string(),
        });
        let point = Point {
            parts: self.parts.clone(),
            files: self.files.clone(),
            state,
        };
        staging::keep(&staging, &point)?;
        self.staging = Some(staging);
        Ok(())
    }

    fn lengths(&self) -> [u64; 4] {
        std::array::from_fn(|n| self.columns[n].len())
    }

    /// Adds a row. Both slices have one entry per token.
    pub fn push(&mut self, ids: &[u32], targets: &[u8], origin: &RowOrigin) {
        debug_assert_eq!(ids.len(), targets.len());
        let number = match self.numbers.get(&origin.file) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
                self.numbers.insert(origin.file.clone(), number);
                self.files.push(origin.file.clone());
                number
            }
        };
        for id in ids {
            self.columns[IDS].push(&id.to_le_bytes());
        }
        self.columns[TARGETS].push(targets);
        let end = self.columns[TARGETS].len();
        self.columns[ENDS].push(&end.to_le_bytes());
        self.columns[ORIGINS].push(&number.to_le_bytes());
        self.columns[ORIGINS].push(&origin.line.to_le_bytes());
        self.rows += 1;
    }

    /// Number of rows written so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        usize::try_from(self.rows).unwrap_or(usize::MAX)
    }

    fn origin(&self, bytes: &[u8]) -> RowOrigin {
        let file = self.files.get(file_number(bytes));
        RowOrigin {
            file: file.cloned().unwrap_or_default(),
            line: word(bytes, 4),
        }
    }

    fn place(&self) -> &Path {
        let staging = self.staging.as_ref();
        staging.map_or(Path::new("."), |s| s.folder.as_path())
    }

    /// Digest over every token and target, hexadecimal.
    ///
    /// # Errors
    /// [`Code::Io`] when rows that lie in a file cannot be read.
    pub fn digest(&self) -> Result<String> {
        let mut hasher = super::hasher();
        let hashed = self.data(&mut |bytes| {
            hasher.update(bytes);
            Ok(())
        });
        hashed.map_err(failed(self.place()))?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Offsets, ids and targets in pieces, as they lie in the published file.
    fn data(&self, see: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        see(&0_u64.to_le_bytes())?;
        for column in [ENDS, IDS, TARGETS] {
            let column = &self.columns[column];
            column.each((0, column.len()), see)?;
        }
        Ok(())
    }

    /// Publishes into `folder` as `<digest>.safetensors` and `<digest>.json`; what is there
    /// already is kept. Returns the path of the safetensors file.
    ///
    /// # Errors
    /// [`Code::Io`] when the folder cannot be written.
    pub fn publish(&self, folder: &Path) -> Result<PathBuf> {
        self.publish_as(folder, &self.digest()?)
    }

    /// [`DatasetWriter::publish`] of rows whose digest is known.
    ///
    /// # Errors
    /// As [`DatasetWriter::publish`].
    pub fn publish_as(&self, folder: &Path, digest: &str) -> Result<PathBuf> {
        let path = dataset_file(folder, digest);
        if path.is_file() {
            return Ok(path);
        }
        let origins = path.with_extension("json");
        storage::write_atomic_with(&origins, |file| self.write_origins(file))?;
        storage::write_atomic_with(&path, |file| {
            file.write_all(&header(self.rows, self.columns[TARGETS].len()))?;
            self.data(&mut |bytes| file.write_all(bytes))
        })?;
        staging::sweep(folder, self.staging.as_ref().map(|s| s.folder.as_path()));
        Ok(path)
    }

    fn write_origins(&self, file: &mut BufWriter<File>) -> io::Result<()> {
        let mut between: &[u8] = b"";
        file.write_all(b"[")?;
        self.each_origin(&mut |bytes| {
            file.write_all(between)?;
            between = b",";
            Ok(serde_json::to_writer(&mut *file, &self.origin(bytes))?)
        })?;
        file.write_all(b"]")
    }

    /// Shows the bytes of every row's origin.
    fn each_origin(&self, see: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let column = &self.columns[ORIGINS];
        let piece = (ORIGIN << 16) as u64;
        let mut at = 0;
        while at < column.len() {
            let length = usize::try_from((column.len() - at).min(piece)).unwrap_or(0);
            column
                .read(at, length)?
                .chunks(ORIGIN)
                .try_for_each(&mut *see)?;
            at += piece;
        }
        Ok(())
    }
}

/// The number of the file in the bytes of an origin.
fn file_number(bytes: &[u8]) -> usize {
    bytes
        .first_chunk()
        .map_or(0, |b| u32::from_le_bytes(*b) as usize)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|b| b.first_chunk());
    bytes.map_or(0, |b| u64::from_le_bytes(*b))
}

/// The beginning of the safetensors file: its length, the names, types and places, blanks up to 8.
fn header(rows: u64, tokens: u64) -> Vec<u8> {
    let offsets = (rows + 1) * END as u64;
    let (ids, targets) = (offsets + tokens * 4, offsets + tokens * 5);
    let mut text = format!(
        "{{\"offsets\":{{\"dtype\":\"U64\",\"shape\":[{}],\"data_offsets\":[0,{offsets}]}},\
         \"ids\":{{\"dtype\":\"U32\",\"shape\":[{tokens}],\"data_offsets\":[{offsets},{ids}]}},\
         \"targets\":{{\"dtype\":\"U8\",\"shape\":[{tokens}],\"data_offsets\":[{ids},{targets}]}}}}",
        rows + 1
    );
    while text.len() % 8 != 0 {
        text.push(' ');
    }
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.into_bytes());
    bytes
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |e| {
        Error::new(Code::Io, "prepared rows cannot be kept in a file")
            .in_file(path)
            .why(e.to_string())
            .fix(
                "output_dir needs room for about five bytes per token, twice while it is published",
            )
    }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    fn origin(line: u64) -> RowOrigin {
        let file = if line.is_multiple_of(2) {
            "a.txt"
        } else {
            "b.txt"
        };
        RowOrigin {
            file: file.into(),
            line,
        }
    }

    fn fill(writer: &mut DatasetWriter, rows: std::ops::Range<u32>) {
        for row in rows {
            let ids: Vec<u32> = (0..row % 7).map(|n| n * 1000 + row).collect();
            let targets: Vec<u8> = ids.iter().map(|id| (id % 2) as u8).collect();
            writer.push(&ids, &targets, &origin(u64::from(row)));
        }
    }

    #[test]
    fn the_file_is_what_the_library_would_write() {
        let folder = tempfile::tempdir().unwrap();
        for rows in [0, 1, 5, 40] {
            let mut writer = DatasetWriter::new();
            fill(&mut writer, 0..rows);
            let bytes = std::fs::read(writer.publish(folder.path()).unwrap()).unwrap();
            let whole = |n: usize| {
                let column = &writer.columns[n];
                column.read(0, column.len() as usize).unwrap()
            };
            let offsets = [vec![0; 8], whole(ENDS)].concat();
            let (ids, targets) = (whole(IDS), whole(TARGETS));
            let view = |dtype, size: usize, data: &'static [u8]| {
                TensorView::new(dtype, vec![data.len() / size], data).unwrap()
            };
            let tensors = [
                ("ids", view(Dtype::U32, 4, ids.leak())),
                ("offsets", view(Dtype::U64, 8, offsets.leak())),
                ("targets", view(Dtype::U8, 1, targets.leak())),
            ];
            assert_eq!(bytes, safetensors::serialize(tensors, None).unwrap());
        }
    }

    #[test]
    fn rows_in_files_are_the_same_rows_and_are_continued() {
        let root = tempfile::tempdir().unwrap();
        let (prepared, plain) = (root.path().join("p"), root.path().join("q"));
        let mut memory = DatasetWriter::new();
        fill(&mut memory, 0..90);
        let expected = memory.publish(&plain).unwrap();
        let mut writer = DatasetWriter::new();
        fill(&mut writer, 0..20);
        writer.keep(&prepared, "k", 20.into()).unwrap();
        fill(&mut writer, 20..50);
        writer.keep(&prepared, "k", 50.into()).unwrap();
        fill(&mut writer, 50..60);
        // A kill: no destructor runs, and the kernel lets go of the lock.
        writer.columns[IDS].store().unwrap();
        let staging = writer.staging.take().unwrap();
        let copy = root.path().join("r");
        copy_folder(&staging.folder, &copy.join(".preparing-k"));
        let (mut again, state) = DatasetWriter::resume(&copy, "k").unwrap().unwrap();
        assert_eq!((again.rows(), state), (50, 50.into()));
        fill(&mut again, 50..90);
        assert_eq!(again.row(3).unwrap(), memory.row(3).unwrap());
        assert_eq!(again.row(88).unwrap(), memory.row(88).unwrap());
        assert!(again.row(90).is_err());
        assert_eq!(again.sizes().unwrap(), memory.sizes().unwrap());
        let files = [("a.txt".to_owned(), 45), ("b.txt".to_owned(), 45)];
        assert_eq!(again.rows_by_file().unwrap(), files);
        let published = again.publish(&copy).unwrap();
        assert_eq!(published.file_name(), expected.file_name());
        for ending in ["safetensors", "json"] {
            let bytes = |path: &Path| std::fs::read(path.with_extension(ending)).unwrap();
            assert_eq!(bytes(&published), bytes(&expected));
        }
        drop(again);
        assert_eq!(std::fs::read_dir(&copy).unwrap().count(), 2);
    }

    #[test]
    fn what_an_interrupted_reordering_left_is_not_taken_for_rows() {
        let root = tempfile::tempdir().unwrap();
        let (from, prepared) = (root.path().join("p"), root.path().join("q"));
        let mut left = DatasetWriter::new();
        fill(&mut left, 0..20);
        left.keep(&from, "k", 20.into()).unwrap();
        let folder = left.staging.as_ref().unwrap().folder.clone();
        copy_folder(&folder, &prepared.join(".preparing-k"));
        let mut writer = DatasetWriter::new();
        fill(&mut writer, 30..40);
        let before = writer.digest().unwrap();
        writer.keep(&prepared, "k", 0.into()).unwrap();
        assert_eq!((writer.rows(), writer.digest().unwrap()), (10, before));
    }

    #[test]
    fn rows_that_changed_or_are_missing_are_not_continued() {
        let root = tempfile::tempdir().unwrap();
        let mut writer = DatasetWriter::new();
        fill(&mut writer, 0..20);
        writer.keep(root.path(), "k", 1.into()).unwrap();
        let staging = writer.staging.as_ref().unwrap().folder.clone();
        for (name, cut) in [("ids", false), ("targets", true)] {
            let copy = tempfile::tempdir().unwrap();
            let folder = copy.path().join(".preparing-k");
            copy_folder(&staging, &folder);
            let mut bytes = std::fs::read(folder.join(name)).unwrap();
            if cut {
                bytes.pop();
            } else {
                bytes[5] ^= 1;
            }
            std::fs::write(folder.join(name), bytes).unwrap();
            assert!(DatasetWriter::resume(copy.path(), "k").unwrap().is_none());
            assert!(DatasetWriter::resume(copy.path(), "l").unwrap().is_none());
        }
        let refused = DatasetWriter::resume(root.path(), "k").unwrap_err();
        assert_eq!(refused.code, Code::Locked);
    }

    fn copy_folder(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
