//! The embedded store: one file that only grows, one line per record.
//!
//! In: records. Out: `ledger.jsonl`, and on opening it again the state of its whole lines.
//! Keeps: a line is one write; when it fails, the file is cut back to its last whole line and the chain stays where it
//! was, so the record can be tried again. Before each line the file is compared with the one that this process wrote,
//! and the lock with the one that it took: after another process's bytes nothing is written, and the run ends. Bytes
//! reach the disk in the background: a power cut costs the last lines, whose steps give the same bytes when they are
//! computed again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::ledger::{Book, Record, State};
use shared::run_paths::LEDGER;
use shared::storage::{FileId, OutputLock, file_id};

use super::read::{Reading, read, read_on};
use super::sync::Syncer;
use super::{Opened, Store};

/// The operations that the store needs of a file; tests let them fail.
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
    /// Bytes that a failed write of this process may have left after `length`.
    partial_bytes: u64,
    /// Identity of the file that is written: another file under the same path is another process's.
    id: FileId,
    fence: Arc<OutputLock>,
    syncer: Syncer,
}

impl FileStore {
    /// Opens the ledger of an output folder that exists, whose lock is held, and cuts off a torn last line. Lines that
    /// were `read` before the lock was taken are not read again.
    ///
    /// # Errors
    /// [`Code::LedgerBroken`], [`Code::LedgerUnknown`], [`Code::LedgerContradiction`] and
    /// [`Code::ReplayDiffers`] with the line; [`Code::LedgerUnwritable`], [`Code::Io`].
    pub fn open(
        output_dir: &Path,
        read: Option<Reading>,
        fence: Arc<OutputLock>,
    ) -> Result<Opened<Self>> {
        let path = output_dir.join(LEDGER);
        let found = read_on(&path, read)?;
        let is_new = found.is_none();
        let Reading {
            book,
            replay,
            bytes,
            torn,
            ..
        } = found.unwrap_or_default();
        let opened = (|| {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            if torn > 0 {
                file.set_len(bytes)?;
            }
            if is_new {
                File::open(output_dir)?.sync_all()?;
            }
            let syncer = Syncer::start(file.try_clone()?)?;
            let id = file_id(&file)?;
            Ok((file, id, syncer))
        })();
        let (file, id, syncer) =
            opened.map_err(|e: io::Error| unwritable(&path, &e.to_string()))?;
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
            partial_bytes: 0,
            id,
            fence,
            syncer,
        };
        Ok(Opened {
            store,
            state,
            replay,
            notice,
        })
    }

    /// Hash of the last whole line, which the next line names.
    #[must_use]
    pub fn head(&self) -> &str {
        self.book.head()
    }

    /// Cuts the file back to its last whole line, if a failed write left more.
    fn truncate_partial(&mut self) -> Result<()> {
        if self.partial_bytes > 0 {
            let cut = self.medium.truncate(self.length);
            cut.map_err(|e| unwritable(&self.path, &e.to_string()))?;
            self.partial_bytes = 0;
        }
        Ok(())
    }

    /// Fails unless only this process has written the ledger. Opens the file anew, because an NFS client then asks the
    /// server.
    fn check_sole_writer(&self) -> Result<()> {
        let strange = |why: String| {
            Error::new(Code::Locked, "somebody else leads in this output_dir")
                .in_file(&self.path)
                .why(why)
                .why("nothing more is written here")
                .fix("let the other coordinator lead; when there is none, start this one again")
        };
        let unknown = |e: io::Error| unwritable(&self.path, &e.to_string());
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(strange("the ledger was removed".into()));
            }
            Err(e) => return Err(unknown(e)),
        };
        if file_id(&file).map_err(unknown)? != self.id {
            return Err(strange("another ledger lies in its place".into()));
        }
        let (found, own) = (file.metadata().map_err(unknown)?.len(), self.length);
        if !(own..=own + self.partial_bytes).contains(&found) {
            return Err(strange(format!(
                "the ledger has {found} bytes, {own} of them are this coordinator's"
            )));
        }
        self.holds_the_lock()
    }

    fn holds_the_lock(&self) -> Result<()> {
        self.fence.is_held().map_err(|error| match error.code {
            // A lock file that cannot be read may be readable later, as a full disk may have room.
            Code::Io => unwritable(&self.path, &shared::error::render(&error)),
            _ => error,
        })
    }
}

impl Store for FileStore {
    fn state(&self) -> Option<&State> {
        self.book.state()
    }

    fn replay(&self, each: &mut dyn FnMut(&Record)) -> Result<()> {
        read(&self.path, |_, record| {
            each(record);
            Ok(())
        })?;
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        self.check_sole_writer()?;
        let sealed = self
            .book
            .seal(record)
            .map_err(|error| error.at_line(&self.path, self.book.lines() + 1))?;
        self.truncate_partial()?;
        if let Err(e) = self.medium.write_all(&sealed.line) {
            self.partial_bytes = sealed.line.len() as u64;
            // Bytes that cannot be cut now are cut before the next write.
            let _ = self.truncate_partial();
            return Err(unwritable(&self.path, &e.to_string()));
        }
        self.length += sealed.line.len() as u64;
        self.book.accept(record, &sealed)?;
        self.syncer.ask();
        // A process that took the lock meanwhile may have read the ledger without this line.
        match self.holds_the_lock() {
            // The line is written and must not be tried again; the next append checks the lock again.
            Err(error) if error.code == Code::LedgerUnwritable => Ok(()),
            held => held,
        }
    }

    fn sync(&mut self) -> Result<()> {
        self.syncer
            .wait()
            .map_err(|why| unwritable(&self.path, &why))
    }

    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send> {
        let (waiting, path) = (self.syncer.waiting(), self.path.clone());
        Box::new(move || waiting().map_err(|why| unwritable(&path, &why)))
    }
}

fn unwritable(path: &Path, why: &str) -> Error {
    Error::new(Code::LedgerUnwritable, "the ledger cannot be written")
        .in_file(path)
        .why(why)
        .why("its whole lines are safe, and the run stands where they end")
        .fix("free some space, or make the folder writable again")
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
