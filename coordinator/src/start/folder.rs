//! The output folder of a start: looked at without a trace, then locked.
//!
//! In: the folder's path. Out: what its ledger says, read once from the first look to the lead, and the
//! lock. Keeps: until the lock is kept, dropping it leaves the folder as it was: what was made goes, and
//! the lock file has its old content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::run_paths::RunPaths;
use shared::storage::OutputLock;

use super::identity::{self, OF_DATA};
use super::output_dir::{check_writable, existing};
use crate::store::{self, Existing, Reading, Start, decide, refuse_other};

/// What lies in the output folder.
pub(super) struct OutputFolder {
    paths: RunPaths,
    overwrite: bool,
    /// The ledger as far as it was read; nobody asks for that of a run which is overwritten.
    pub(super) ledger: Option<Reading>,
    lock: Option<Provisional>,
}

impl OutputFolder {
    /// Looks at the folder while somebody else may work in it.
    ///
    /// # Errors
    /// [`Code::Unwritable`], and whatever is wrong with the ledger.
    pub(super) fn look(paths: RunPaths, overwrite: bool) -> Result<Self> {
        check_writable(paths.output_dir())?;
        let ledger = match overwrite {
            true => None,
            false => store::read(&paths.ledger(), |_, _| Ok(()))?,
        };
        Ok(Self {
            paths,
            overwrite,
            ledger,
            lock: None,
        })
    }

    /// Locks the folder, and reads what the ledger has got until then.
    ///
    /// # Errors
    /// [`Code::Locked`], [`Code::Unwritable`], and whatever is wrong with the ledger.
    pub(super) fn lock(&mut self) -> Result<()> {
        self.lock = Some(Provisional::take(&self.paths)?);
        if !self.overwrite {
            self.ledger = store::read_on(&self.paths.ledger(), self.ledger.take())?;
        }
        Ok(())
    }

    /// Refuses a run of another identity by what is known of it before the data are prepared.
    ///
    /// # Errors
    /// [`Code::OtherRun`] with the difference.
    pub(super) fn refuse_other(&self, known: &BTreeMap<String, String>) -> Result<()> {
        refuse_other(self.paths.output_dir(), self.existing(), known, OF_DATA)
    }

    /// What a start of this identity means here.
    ///
    /// # Errors
    /// As [`decide`].
    pub(super) fn decide(&self, identity: &BTreeMap<String, String>) -> Result<Start> {
        let digest = identity::digest(identity);
        decide(self.paths.output_dir(), self.existing(), &digest, identity)
    }

    fn existing(&self) -> Existing<'_> {
        let state = self.ledger.as_ref().and_then(|ledger| ledger.book.state());
        match self.overwrite {
            true => Existing::Nothing,
            false => existing(&self.paths, state),
        }
    }

    /// The folder is this run's now: what the ledger said, and the lock, which stays.
    ///
    /// # Errors
    /// [`Code::Internal`] when it was not locked.
    pub(super) fn keep(self) -> Result<(Option<Reading>, Arc<OutputLock>)> {
        let lock = self.lock.and_then(Provisional::keep);
        let lock = lock.ok_or_else(|| Error::new(Code::Internal, "output_dir is not locked"))?;
        Ok((self.ledger, Arc::new(lock)))
    }
}

/// A lock that leaves no trace when it is dropped.
struct Provisional {
    lock: Option<OutputLock>,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Provisional {
    fn take(paths: &RunPaths) -> Result<Self> {
        let folder = paths.output_dir();
        let missing = folder.ancestors().take_while(|path| !path.exists());
        let mut provisional = Self {
            made: missing.map(Path::to_path_buf).collect(),
            lock: None,
        };
        std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
        provisional.lock = Some(OutputLock::take(&paths.lock())?);
        Ok(provisional)
    }

    fn keep(mut self) -> Option<OutputLock> {
        self.made.clear();
        self.lock.take()
    }
}

impl Drop for Provisional {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            // Nobody is left to be told, and what stays is a file that says who was here.
            let _ = lock.undo();
        }
        for folder in &self.made {
            // Only an empty one goes.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// [`Code::Unwritable`] with what the system says.
pub(super) fn unwritable(output_dir: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::Unwritable, "output_dir cannot be written")
        .in_file(output_dir)
        .why(error.to_string())
        .fix("--set output_dir=FOLDER that you may write to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut found: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap_or_default()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_lock_that_is_not_kept_takes_the_folders_it_made_with_it() {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("a/b");
        let mut folder = OutputFolder::look(RunPaths::new(&output), false).unwrap();
        folder.lock().unwrap();
        assert!(output.join(".lock").is_file());
        drop(folder);
        assert!(listing(root.path()).is_empty());
        let mut folder = OutputFolder::look(RunPaths::new(&output), false).unwrap();
        folder.lock().unwrap();
        let kept = folder.keep().unwrap();
        drop(kept);
        assert!(output.join(".lock").is_file());
    }

    #[test]
    fn a_lock_that_is_not_kept_or_not_had_leaves_the_folder_as_it_was() {
        let output = tempfile::tempdir().unwrap();
        std::fs::write(output.path().join(".lock"), "4711 1\n").unwrap();
        std::fs::write(output.path().join("notes.txt"), "mine").unwrap();
        let before = listing(output.path());
        let mut first = OutputFolder::look(RunPaths::new(output.path()), false).unwrap();
        first.lock().unwrap();
        let held = listing(output.path());
        let mut second = OutputFolder::look(RunPaths::new(output.path()), false).unwrap();
        assert_eq!(second.lock().unwrap_err().code, Code::Locked);
        drop(second);
        assert_eq!(listing(output.path()), held);
        drop(first);
        assert_eq!(listing(output.path()), before);
    }
}
