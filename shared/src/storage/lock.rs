//! One coordinator per output folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{Code, Error, Result};

/// Holds the lock until dropped; the kernel lets go when the process dies.
#[derive(Debug)]
pub struct OutputLock {
    _file: File,
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
                return Err(Error::new(
                    Code::Locked,
                    "another coordinator works in this output_dir",
                )
                .in_file(path)
                .why(format!("process {} holds the lock", holder.trim()))
                .fix("wait until it ends, stop it, or --set output_dir=ANOTHER"));
            }
            Err(TryLockError::Error(e)) => return Err(unwritable(e)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(unwritable)?;
        Ok(Self { _file: file })
    }
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
}
