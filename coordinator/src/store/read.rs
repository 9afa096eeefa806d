//! Reads a ledger's file without touching it, also while a run writes to it.
//!
//! Keeps: only whole lines count. A last line that a crash tore, or that is being written just now,
//! is left out; any other line that does not fit is an error with its number.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use shared::error::{Code, Error, Result};
use shared::ledger::{Book, Record, is_torn};

/// A ledger as far as it is whole.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Chain and state.
    pub book: Book,
    /// Bytes of the whole lines.
    pub bytes: u64,
    /// Bytes behind them.
    pub torn: u64,
}

/// Reads the ledger in `path`, and shows `each` line's number, from 1, and record.
/// `None` when there is no such file.
///
/// # Errors
/// With the line: whatever [`Book::read`] or `each` refuses. [`Code::Io`] when it cannot be read.
pub fn read(
    path: &Path,
    mut each: impl FnMut(u64, &Record) -> Result<()>,
) -> Result<Option<Reading>> {
    let unreadable = |e: std::io::Error| {
        Error::new(Code::Io, "the ledger cannot be read")
            .in_file(path)
            .why(e.to_string())
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e)),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut reading = Reading::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(unreadable)? as u64;
        if length == 0 {
            return Ok(Some(reading));
        }
        if line.pop() != Some(b'\n') {
            reading.torn = length;
            return Ok(Some(reading));
        }
        let number = reading.book.lines() + 1;
        let record = match reading.book.read(&line) {
            Ok(record) => record,
            Err(error) => {
                let last = reader.fill_buf().map_err(unreadable)?.is_empty();
                if last && error.code == Code::LedgerBroken && is_torn(&line) {
                    reading.torn = length;
                    return Ok(Some(reading));
                }
                return Err(error.at_line(path, number));
            }
        };
        each(number, &record).map_err(|error| match error.place {
            Some(_) => error,
            None => error.at_line(path, number),
        })?;
        reading.bytes += length;
    }
}
