//! Rows that a writer has taken, read again.
//!
//! In: a writer. Out: one row, the sizes of all, or a writer with rows in another order. Keeps: rows
//! that lie in files stay there; per row no more than two numbers are in memory.

use std::io;
use std::path::Path;

use super::{DatasetWriter, END, ENDS, IDS, ORIGIN, ORIGINS, TARGETS, failed, file_number, word};
use crate::dataset::{RowOrigin, Sample};
use crate::error::Result;

impl DatasetWriter {
    /// One row again: ids, targets and where it came from.
    ///
    /// # Errors
    /// [`Code::Io`](crate::error::Code::Io) past the end, or when a file cannot be read.
    pub fn row(&self, row: usize) -> Result<(Vec<u32>, Vec<u8>, RowOrigin)> {
        let row = row as u64;
        let read = || -> io::Result<_> {
            let (from, to) = (
                row.checked_sub(1).map_or(Ok(0), |row| self.end(row))?,
                self.end(row)?,
            );
            let tokens = usize::try_from(to - from).map_err(io::Error::other)?;
            let ids = self.columns[IDS].read(from * 4, tokens * 4)?;
            let ids = ids.as_chunks::<4>().0.iter();
            let ids = ids.map(|bytes| u32::from_le_bytes(*bytes)).collect();
            let origin = self.columns[ORIGINS].read(row * ORIGIN as u64, ORIGIN)?;
            let targets = self.columns[TARGETS].read(from, tokens)?;
            Ok((ids, targets, self.origin(&origin)))
        };
        read().map_err(failed(self.place()))
    }

    /// Tokens up to the end of a row.
    fn end(&self, row: u64) -> io::Result<u64> {
        let bytes = self.columns[ENDS].read(row * END as u64, END)?;
        Ok(word(&bytes, 0))
    }

    /// Tokens and predicted tokens of every row.
    ///
    /// # Errors
    /// [`Code::Io`](crate::error::Code::Io) when rows that lie in a file cannot be read.
    pub fn sizes(&self) -> Result<(Vec<u32>, Vec<u32>)> {
        let mut from = 0;
        let mut size = |row: u64| -> io::Result<(u32, u32)> {
            let to = self.end(row)?;
            let tokens = usize::try_from(to - from).map_err(io::Error::other)?;
            let targets = self.columns[TARGETS].read(from, tokens)?;
            from = to;
            let row = Sample {
                ids: &[],
                targets: &targets,
            };
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
            Ok((tokens, row.target_tokens()))
        };
        let sizes: io::Result<_> = (0..self.rows).map(&mut size).collect();
        sizes.map_err(failed(self.place()))
    }

    /// Files in the order in which they came first, with how many rows each gave.
    ///
    /// # Errors
    /// As [`DatasetWriter::sizes`].
    pub fn rows_by_file(&self) -> Result<Vec<(String, u64)>> {
        let mut counts = vec![0; self.files.len()];
        let counted = self.each_origin(&mut |bytes| {
            if let Some(count) = counts.get_mut(file_number(bytes)) {
                *count += 1;
            }
            Ok(())
        });
        counted.map_err(failed(self.place()))?;
        Ok(self.files.iter().cloned().zip(counts).collect())
    }

    /// These rows in this order; a row may come more than once, or not at all. Many of them are put
    /// into files of the folder in `durable`, under that name.
    ///
    /// # Errors
    /// As [`DatasetWriter::row`] and [`DatasetWriter::keep`].
    pub fn reordered(&self, order: &[u32], durable: Option<(&Path, &str)>) -> Result<Self> {
        let mut other = Self::new();
        for &row in order {
            let (ids, targets, origin) = self.row(row as usize)?;
            other.push(&ids, &targets, &origin);
            if let Some((folder, key)) = durable
                && other.is_due()
            {
                other.keep(folder, key, serde_json::Value::Null)?;
            }
        }
        Ok(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(writer: &mut DatasetWriter, rows: u32) {
        for row in 0..rows {
            let ids: Vec<u32> = (0..row % 7).map(|n| n * 1000 + row).collect();
            let targets: Vec<u8> = ids.iter().map(|id| (id % 2) as u8).collect();
            let file = if row % 2 == 0 { "a.txt" } else { "b.txt" };
            let origin = RowOrigin {
                file: file.into(),
                line: row.into(),
            };
            writer.push(&ids, &targets, &origin);
        }
    }

    #[test]
    fn rows_come_again_in_another_order_and_more_than_once() {
        let mut writer = DatasetWriter::new();
        fill(&mut writer, 9);
        let other = writer.reordered(&[8, 3, 3], None).unwrap();
        assert_eq!(other.rows(), 3);
        for (place, row) in [8, 3, 3].into_iter().enumerate() {
            assert_eq!(other.row(place).unwrap(), writer.row(row).unwrap());
        }
        assert_eq!(other.sizes().unwrap(), (vec![1, 3, 3], vec![0, 2, 2]));
        let files = [("a.txt".to_owned(), 1), ("b.txt".to_owned(), 2)];
        assert_eq!(other.rows_by_file().unwrap(), files);
        assert!(writer.reordered(&[9], None).is_err());
    }
}
