//! A small disk of the test's own, which a test can fill to the last byte.
//!
//! Needs root and `mount`; where either is missing, [`Disk::new`] says why there is none. Its folder
//! is a tmpfs, so what does not fit is refused by the kernel, not by a fault on purpose.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What takes up the room.
const FILLER: &str = "filler";

/// A folder that holds no more than so many bytes.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// A disk of `bytes` at `folder`, which is made.
    ///
    /// # Errors
    /// Why it cannot be had on this machine.
    pub fn new(folder: &Path, bytes: u64) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let size = format!("size={bytes}");
        said("mount", &["-t", "tmpfs", "-o", &size, "lora-test"], folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// Takes up all room that is left.
    pub fn fill(&self) {
        self.leave(0);
    }

    /// Takes up all room but `bytes`.
    pub fn leave(&self, bytes: u64) {
        let filled = (|| {
            let path = self.folder.join(FILLER);
            let mut filler = File::options().create(true).append(true).open(path)?;
            let refused = loop {
                if let Err(e) = filler.write_all(&[0; 4096]) {
                    break e;
                }
            };
            if refused.kind() != ErrorKind::StorageFull {
                return Err(refused);
            }
            let length = filler.metadata()?.len();
            filler.set_len(length.saturating_sub(bytes))
        })();
        filled.unwrap_or_else(|e| panic!("the disk cannot be filled: {e}"));
    }

    /// Gives the room back.
    pub fn empty(&self) {
        std::fs::remove_file(self.folder.join(FILLER)).unwrap_or_else(|e| panic!("{e}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that outlives a failed test may still hold a file: then it goes with it.
        if said("umount", &[], &self.folder).is_err() {
            let _ = said("umount", &["--lazy"], &self.folder);
        }
    }
}

fn said(program: &str, arguments: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new(program).args(arguments).arg(folder).output();
    let output = output.map_err(|e| format!("{program} cannot be run: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{program} {}: {said}", arguments.join(" ")))
}
