//! The embedded store: one file that only grows, one line per record.
//!
//! In: records. Out: `ledger.jsonl`, and on opening it again the state of its whole lines.
//! Keeps: a line is one write; when it fails, the file is cut back to its last whole line and the
//! chain stays where it was, so the record can be tried again. The disk follows in the background:
//! a power cut costs the last lines, whose steps give the same bytes when they are computed again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::error::{Code, Error, Result};
use shared::ledger::{Book, Record, State};

use super::read::{Reading, read};
use super::sync::Syncer;
use super::{LEDGER, Store};

/// What the store needs of a file.
trait Medium: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The open ledger.
pub struct FileStore {
    medium: Box<dyn Medium>,
    path: PathBuf,
    book: Book,
    /// Bytes of the whole lines.
    length: u64,
    /// A failed write may have left a part behind `length`.
    ragged: bool,
    syncer: Syncer,
}

/// A store, and what lay there before.
pub struct Opened {
    /// The store, behind its last whole line.
    pub store: FileStore,
    /// What its lines fold to, `None` for a new ledger.
    pub state: Option<State>,
    /// What was cut off, for people.
    pub notice: Option<String>,
}

impl FileStore {
    /// Opens the ledger of an output folder that exists, and cuts off a torn last line.
    ///
    /// # Errors
    /// [`Code::LedgerBroken`], [`Code::LedgerUnknown`], [`Code::LedgerContradiction`] and
    /// [`Code::ReplayDiffers`] with the line; [`Code::LedgerUnwritable`], [`Code::Io`].
    pub fn open(output_dir: &Path) -> Result<Opened> {
        let path = output_dir.join(LEDGER);
        let found = read(&path, |_, _| Ok(()))?;
        let is_new = found.is_none();
        let Reading { book, bytes, torn } = found.unwrap_or_default();
        let opened = (|| {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            if torn > 0 {
                file.set_len(bytes)?;
            }
            if is_new {
                File::open(output_dir)?.sync_all()?;
            }
            let syncer = Syncer::start(file.try_clone()?)?;
            Ok((file, syncer))
        })();
        let (file, syncer) = opened.map_err(|e: io::Error| unwritable(&path, &e.to_string()))?;
        let notice = (torn > 0).then(|| {
            format!(
                "{}: the last line was torn, its {torn} bytes are cut off; {} lines are whole",
                path.display(),
                book.lines()
            )
        });
        let state = book.state().cloned();
        let store = Self {
            medium: Box::new(file),
            path,
            book,
            length: bytes,
            ragged: false,
            syncer,
        };
        Ok(Opened {
            store,
            state,
            notice,
        })
    }

    /// What the lines fold to, `None` before the first.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.book.state()
    }

    /// Hash of the last line.
    #[must_use]
    pub fn head(&self) -> &str {
        self.book.head()
    }

    /// Cuts back to the last whole line, if a failed write left more.
    fn smooth(&mut self) -> Result<()> {
        if self.ragged {
            let cut = self.medium.truncate(self.length);
            cut.map_err(|e| unwritable(&self.path, &e.to_string()))?;
            self.ragged = false;
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn append(&mut self, record: &Record) -> Result<()> {
        let sealed = self
            .book
            .seal(record)
            .map_err(|error| error.at_line(&self.path, self.book.lines() + 1))?;
        self.smooth()?;
        if let Err(e) = self.medium.write_all(&sealed.line) {
            self.ragged = true;
            // What cannot be cut now is cut before the next write.
            let _ = self.smooth();
            return Err(unwritable(&self.path, &e.to_string()));
        }
        self.length += sealed.line.len() as u64;
        self.book.accept(record, &sealed)?;
        self.syncer.ask();
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.syncer
            .wait()
            .map_err(|why| unwritable(&self.path, &why))
    }
}

fn unwritable(path: &Path, why: &str) -> Error {
    Error::new(Code::LedgerUnwritable, "the ledger cannot be written")
        .in_file(path)
        .why(why)
        .why("its whole lines are safe, and the run stands where they end")
        .fix("free some space, or make the folder writable again")
}
