//! The text log: a file whose place is known only once the configuration is read.
//!
//! In: formatted lines, and at some time a path. Out: an appended file. Until the path is there
//! the newest lines wait in memory, up to 64 KiB: a process without a log never grows.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Code, Error, Result};

const WAITING: usize = 64 << 10;

/// Handle to the log; clones are the same log.
#[derive(Clone, Debug)]
pub struct LogFile(Arc<Mutex<Place>>);

#[derive(Debug)]
enum Place {
    Waiting(Vec<u8>),
    Open(std::fs::File),
}

impl Default for LogFile {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Place::Waiting(Vec::new()))))
    }
}

impl LogFile {
    /// Appends to this file from now on, first what was said before. Its folder is made.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn open(&self, path: &Path) -> Result<()> {
        let failed = |e: io::Error| {
            Error::new(Code::Io, "the log cannot be written")
                .in_file(path)
                .why(e.to_string())
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        let mut place = self.place();
        if let Place::Waiting(early) = &*place {
            file.write_all(early).map_err(failed)?;
        }
        *place = Place::Open(file);
        Ok(())
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event on its way to the log.
#[derive(Debug)]
pub struct Line<'a>(MutexGuard<'a, Place>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0 {
            Place::Open(file) => file.write(bytes),
            Place::Waiting(early) => {
                early.extend_from_slice(bytes);
                let over = early.len().saturating_sub(WAITING);
                early.drain(..over);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut *self.0 {
            Place::Open(file) => file.flush(),
            Place::Waiting(_) => Ok(()),
        }
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_place_the_newest_lines_wait_and_memory_stays_bounded() {
        let log = LogFile::default();
        for i in 0..20_000 {
            writeln!(log.make_writer(), "line {i}").unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        log.open(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() <= WAITING && text.ends_with("line 19999\n"));
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_a_coded_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = LogFile::default().open(folder.path()).unwrap_err();
        assert_eq!(error.code, Code::Io);
    }
}
