//! One coordinator per output folder.
//!
//! In: the lock file's path. Out: an [`OutputLock`], held until it is dropped, or undone: then the lock
//! file is what it was before.
//! Keeps: a lock can be lost while its holder runs (the file removed as stale, an NFS without locks or
//! with a lost lease), so the holder can ask again: the path names the file that was locked, and nobody
//! else has written his name into it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Code, Error, Result};

/// Identity of the file behind a path: device and inode.
pub type FileId = (u64, u64);

/// Holds the lock until dropped; the kernel lets go when the process dies.
#[derive(Debug)]
pub struct OutputLock {
    file: File,
    path: PathBuf,
    id: FileId,
    /// What this holder wrote into the file: its process, and something no other holder writes.
    holder: String,
    /// What the lock file held before, `None` when there was none.
    before: Option<Vec<u8>>,
}

impl OutputLock {
    /// Takes the lock file, which must lie in a folder that exists.
    ///
    /// # Errors
    /// [`Code::Locked`] naming the process that holds it, [`Code::Unwritable`].
    pub fn take(path: &Path) -> Result<Self> {
        let unwritable = |e: std::io::Error| {
            Error::new(Code::Unwritable, "output_dir cannot be written")
                .in_file(path)
                .why(e.to_string())
                .fix("--set output_dir=FOLDER that you may write to")
        };
        let (mut file, is_new) = locked(path, &unwritable)?;
        let mut before = Vec::new();
        let read = file.read_to_end(&mut before);
        read.map_err(unwritable)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = now.unwrap_or_default().as_nanos();
        let holder = format!("{} {nanoseconds:x}\n", std::process::id());
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .and_then(|()| file_id(&file));
        Ok(Self {
            id: written.map_err(unwritable)?,
            file,
            path: path.to_path_buf(),
            holder,
            before: (!is_new).then_some(before),
        })
    }

    /// Lets go as if the lock had never been taken: the lock file has its old content again, or is gone
    /// when there was none. Whoever opened it meanwhile sees that, and looks for the new one. A lock that
    /// was lost is left as its new holder has it.
    ///
    /// # Errors
    /// What keeps the file from being written or removed.
    pub fn undo(mut self) -> std::io::Result<()> {
        if self.is_held().is_err() {
            return Ok(());
        }
        match &self.before {
            None => std::fs::remove_file(&self.path),
            Some(before) => {
                self.file.set_len(0)?;
                self.file.rewind()?;
                self.file.write_all(before)
            }
        }
    }

    /// Whether the lock is still this holder's. The file is opened anew, because an NFS client looks at
    /// the server then; no lock has to work there.
    ///
    /// # Errors
    /// [`Code::Locked`] when the path names another file, none, or one with another holder's name;
    /// [`Code::Io`] when that cannot be found out now.
    pub fn is_held(&self) -> Result<()> {
        let lost = |why: String| {
            Error::new(Code::Locked, "somebody else leads in this output_dir")
                .in_file(&self.path)
                .why(why)
                .why("nothing more is written here")
                .fix("let the other coordinator lead; when there is none, start this one again")
        };
        let unknown = |e: std::io::Error| {
            Error::new(Code::Io, "the lock cannot be looked at")
                .in_file(&self.path)
                .why(e.to_string())
        };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(lost("the lock file was removed".into()));
            }
            Err(e) => return Err(unknown(e)),
        };
        if file_id(&file).map_err(unknown)? != self.id {
            return Err(lost(
                "the lock file was removed and another one is there".into(),
            ));
        }
        let mut holder = String::new();
        // No more than what could be this holder's own line.
        let most = self.holder.len() as u64 + 64;
        file.take(most)
            .read_to_string(&mut holder)
            .map_err(unknown)?;
        if holder != self.holder {
            let process = holder.split_whitespace().next().unwrap_or("unknown");
            return Err(lost(format!("process {process} has taken the lock too")));
        }
        Ok(())
    }
}

/// The lock file, locked, and whether it is new. A file that was removed while its lock was waited for
/// is nobody's lock: another one is looked for.
fn locked(path: &Path, unwritable: &dyn Fn(std::io::Error) -> Error) -> Result<(File, bool)> {
    loop {
        let is_new = !path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let process = holder.split_whitespace().next().unwrap_or("unknown");
                return Err(Error::new(
                    Code::Locked,
                    "another coordinator works in this output_dir",
                )
                .in_file(path)
                .why(format!("process {process} holds the lock"))
                .fix("wait until it ends, stop it, or --set output_dir=ANOTHER"));
            }
            Err(TryLockError::Error(e)) => return Err(unwritable(e)),
        }
        let is_own = match File::open(path) {
            Ok(there) => file_id(&there).ok() == file_id(&file).ok(),
            Err(e) => e.kind() != ErrorKind::NotFound,
        };
        if is_own {
            return Ok((file, is_new));
        }
    }
}

/// Identity of the file, whatever its name.
///
/// # Errors
/// When the system does not say.
pub fn file_id(file: &File) -> std::io::Result<FileId> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = OutputLock::take(&path).unwrap();
        assert_eq!(OutputLock::take(&path).unwrap_err().code, Code::Locked);
        drop(first);
        OutputLock::take(&path).unwrap();
    }

    #[test]
    fn a_holder_notices_that_its_lock_was_removed_and_that_another_took_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = OutputLock::take(&path).unwrap();
        first.is_held().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(first.is_held().unwrap_err().code, Code::Locked);
        let second = OutputLock::take(&path).unwrap();
        assert_eq!(first.is_held().unwrap_err().code, Code::Locked);
        second.is_held().unwrap();
    }

    #[test]
    fn a_lock_that_is_undone_leaves_what_lay_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        OutputLock::take(&path).unwrap().undo().unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "4711 1\n").unwrap();
        OutputLock::take(&path).unwrap().undo().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"4711 1\n");
        OutputLock::take(&path).unwrap();
    }

    #[test]
    fn where_locks_do_not_work_the_later_name_in_the_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".lock");
        let first = OutputLock::take(&path).unwrap();
        // What a second holder does whose kernel lets it have the lock: the same file, its own name.
        std::fs::write(&path, "4711 1\n").unwrap();
        let error = first.is_held().unwrap_err();
        assert_eq!(error.code, Code::Locked);
        assert!(error.why[0].contains("4711"), "{error:?}");
    }
}
