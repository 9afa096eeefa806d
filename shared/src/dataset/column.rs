//! A growing row of bytes whose beginning may lie in a file.
//!
//! In: bytes, appended. Out: any part of them, and all of them in pieces. Keeps: what is not in the
//! file yet is in memory, and nothing else is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once.
pub(super) const PIECE: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Column {
    file: Option<File>,
    /// Bytes of the column that are in its file.
    stored: u64,
    tail: Vec<u8>,
}

impl Column {
    /// A column whose first `stored` bytes lie in a file that is written on from there.
    pub(super) fn in_file(file: File, stored: u64) -> io::Result<Self> {
        file.set_len(stored)?;
        Ok(Self {
            file: Some(file),
            stored,
            tail: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> u64 {
        self.stored + self.tail.len() as u64
    }

    /// Bytes of the column that are still in memory.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.tail
    }

    /// Moves what is in memory into the file and waits until the disk has it.
    pub(super) fn store(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all_at(&self.tail, self.stored)?;
        file.sync_data()?;
        self.stored += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// `length` bytes from `at`.
    pub(super) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let stored = self.stored.saturating_sub(at).min(length as u64);
        let (first, second) = bytes.split_at_mut(index(stored)?);
        if let (Some(file), false) = (&self.file, first.is_empty()) {
            file.read_exact_at(first, at)?;
        }
        let from = index((at + stored).saturating_sub(self.stored))?;
        let past = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let rest = self.tail.get(from..from + second.len());
        second.copy_from_slice(rest.ok_or_else(past)?);
        Ok(bytes)
    }

    /// Shows all bytes from `from` to `to`, in pieces.
    pub(super) fn each(
        &self,
        (from, to): (u64, u64),
        see: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let piece = self.read(at, index((to - at).min(PIECE as u64))?)?;
            see(&piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

fn index(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_may_lie_half_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        let mut column = Column::in_file(file, 0).unwrap();
        column.push(b"abc");
        column.store().unwrap();
        column.push(b"def");
        assert_eq!(column.len(), 6);
        for (at, text) in [(0, "abc"), (1, "bcde"), (3, "def"), (5, "f"), (6, "")] {
            assert_eq!(column.read(at, text.len()).unwrap(), text.as_bytes());
        }
        assert!(column.read(4, 3).is_err());
    }
}
