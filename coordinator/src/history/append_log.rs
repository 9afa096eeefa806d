//! An append-only file that truncates a partial write.
//!
//! In: pieces, each a whole line or record. Out: a file of whole pieces.
//! Keeps: after a failed append the file ends where it ended before, so the piece may be tried again.

use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, ErrorKind, Write};
use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};

/// The open append-only file.
#[derive(Debug)]
pub struct AppendLog {
    file: File,
    path: PathBuf,
    /// Bytes of the whole pieces, to which a partial write is cut back.
    length: u64,
    /// What to say failed when a write fails, in words for people.
    failure: &'static str,
}

impl AppendLog {
    /// Opens a file to append at its end, or creates it.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn open(path: &Path, failure: &'static str) -> Result<Self> {
        Self::begin(OpenOptions::new().create(true), path, failure)
            .map_err(|e| error(failure, path, &e))
    }

    /// Creates a file at the first of `paths` that does not exist yet.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn create_new(paths: impl Iterator<Item = PathBuf>, failure: &'static str) -> Result<Self> {
        for path in paths {
            match Self::begin(OpenOptions::new().create_new(true), &path, failure) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                outcome => return outcome.map_err(|e| error(failure, &path, &e)),
            }
        }
        Err(Error::new(Code::Internal, failure).why("every name is taken"))
    }

    fn begin(
        options: &mut OpenOptions,
        path: &Path,
        failure: &'static str,
    ) -> std::result::Result<Self, IoError> {
        let file = options.append(true).open(path)?;
        Ok(Self {
            length: file.metadata()?.len(),
            file,
            path: path.to_path_buf(),
            failure,
        })
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one piece, in one write: readers that follow the file never see half of one.
    ///
    /// # Errors
    /// [`Code::Io`] with the path.
    pub fn append(&mut self, piece: &[u8]) -> Result<()> {
        if let Err(e) = self.file.write_all(piece) {
            // Bytes that stay when even this fails are removed at the next opening, or skipped by the readers.
            let _ = self.file.set_len(self.length);
            return Err(error(self.failure, &self.path, &e));
        }
        self.length += piece.len() as u64;
        Ok(())
    }
}

pub(super) fn error(failure: &'static str, path: &Path, why: &IoError) -> Error {
    Error::new(Code::Io, failure)
        .in_file(path)
        .why(why.to_string())
}
