//! Reads a ledger's file without changing it, also while a run writes to it.
//!
//! In: the path, and an earlier [`Reading`] of it, if any. Out: a [`Reading`]: chain, state, what a restart needs, and
//! the place to read on from.
//! Keeps: only whole lines count. A last line that a crash tore, or that is being written just now, is left out; any
//! other line that does not fit is an error with its number. Lines that were read once are not read again as long as
//! the path names the same file.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use shared::error::{Code, Error, Result};
use shared::ledger::{Book, Record, is_torn};
use shared::manifest;
use shared::storage::Folder;
use shared::storage::{FileId, file_id};

use super::Replay;

/// The whole lines of a ledger, read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The hash chain and the state that the lines add up to.
    pub book: Book,
    /// What a restart needs beside the state.
    pub replay: Replay,
    /// Bytes of the whole lines.
    pub bytes: u64,
    /// Bytes of a torn line after them, 0 without one.
    pub torn: u64,
    /// Identity of the file that was read; `None` before any.
    file: Option<FileId>,
    /// Number of lines read in all, for tests; counts those of a file that was replaced meanwhile.
    pub(super) lines_read: u64,
}

/// Reads the ledger in `path`, and shows `each` line's number, from 1, and record.
/// `None` when there is no such file.
///
/// # Errors
/// Errors of [`Book::read`] and of `each`, with the line. [`Code::Io`] when the file cannot be read.
pub fn read(path: &Path, each: impl FnMut(u64, &Record) -> Result<()>) -> Result<Option<Reading>> {
    let Some(file) = opened(path)? else {
        return Ok(None);
    };
    let mut reading = Reading::default();
    reading.follow(path, file, each)?;
    Ok(Some(reading))
}

/// Reads on where `before` ended, or from the beginning where the path names another file now.
///
/// # Errors
/// As [`read`].
pub fn read_on(path: &Path, before: Option<Reading>) -> Result<Option<Reading>> {
    let Some(file) = opened(path)? else {
        return Ok(None);
    };
    let mut reading = before.unwrap_or_default();
    if !reading
        .goes_on_in(&file)
        .map_err(|e| unreadable(path, &e))?
    {
        reading = Reading {
            lines_read: reading.lines_read,
            ..Reading::default()
        };
    }
    reading.follow(path, file, |_, _| Ok(()))?;
    Ok(Some(reading))
}

fn opened(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unreadable(path, &e)),
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> Error {
    Error::new(Code::Io, "the ledger cannot be read")
        .in_file(path)
        .why(e.to_string())
}

impl Reading {
    /// Whether this is the file that was read, and its last line still ends where it did: a removed file's number may
    /// soon be another file's.
    fn goes_on_in(&self, file: &File) -> std::io::Result<bool> {
        let end = format!("{}\"}}\n", self.book.head());
        let from = self.bytes.checked_sub(end.len() as u64);
        let (Some(from), true) = (from, self.file == Some(file_id(file)?)) else {
            return Ok(false);
        };
        let mut found = vec![0; end.len()];
        match file.read_exact_at(&mut found, from) {
            Ok(()) => Ok(found == end.as_bytes()),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Reads the lines of this file that were not read yet.
    fn follow(
        &mut self,
        path: &Path,
        mut file: File,
        mut each: impl FnMut(u64, &Record) -> Result<()>,
    ) -> Result<()> {
        let unreadable = |e| unreadable(path, &e);
        self.file = Some(file_id(&file).map_err(unreadable)?);
        self.torn = 0;
        file.seek(SeekFrom::Start(self.bytes)).map_err(unreadable)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(unreadable)? as u64;
            if length == 0 {
                return Ok(());
            }
            if line.pop() != Some(b'\n') {
                self.torn = length;
                return Ok(());
            }
            let number = self.book.lines() + 1;
            let record = match self.book.read(&line) {
                Ok(record) => record,
                Err(error) => {
                    let last = reader.fill_buf().map_err(unreadable)?.is_empty();
                    if last && error.code == Code::LedgerBroken && is_torn(&line) {
                        self.torn = length;
                        return Ok(());
                    }
                    return Err(way_out(error, path).at_line(path, number));
                }
            };
            self.replay.follow(&record);
            each(number, &record).map_err(|error| match error.place {
                Some(_) => error,
                None => error.at_line(path, number),
            })?;
            self.lines_read += 1;
            self.bytes += length;
        }
    }
}

/// Adds to the error of a broken ledger how to go on from the checkpoints beside it.
fn way_out(mut error: Error, path: &Path) -> Error {
    if error.code != Code::LedgerBroken {
        return error;
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    if let Ok(Some(found)) = manifest::newest(&Folder::new(folder)) {
        let name = found.folder.display();
        error = error.fix(format!(
            "--set resume_from_checkpoint={name} --set output_dir=ANOTHER goes on from that \
             checkpoint, which is whole"
        ));
    }
    error.fix("--overwrite to start anew; it removes the checkpoints too")
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
