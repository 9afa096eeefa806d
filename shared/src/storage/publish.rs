//! Temporary name, sync, rename, sync of the folder.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Code, Error, Result};

/// Bytes between two writes to the disk.
const BUFFER: usize = 1 << 20;

fn io(path: &Path, doing: &str) -> impl FnOnce(std::io::Error) -> Error {
    let text = format!("{doing} failed");
    let path = path.to_path_buf();
    move |e| Error::new(Code::Io, text).in_file(path).why(e.to_string())
}

/// Writes a file so that readers see the old content or the new one, never a part.
///
/// # Errors
/// [`Code::Io`] with the path; the temporary file is removed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// [`write_atomic`] of what a function writes, for content that is not in memory.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(io(folder, "creating the folder"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = (|| {
        let mut file = BufWriter::with_capacity(BUFFER, File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        io(path, "writing")(e)
    })
}

/// Syncs every file of a folder and the folder itself.
///
/// # Errors
/// [`Code::Io`] with the path.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let synced = (|| {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(folder)?.sync_all()
    })();
    synced.map_err(io(folder, "syncing"))
}

/// Gives a filled staging folder its name. An older folder of that name is replaced.
///
/// # Errors
/// [`Code::Io`] with the path.
pub fn publish_folder(staging: &Path, name: &Path) -> Result<()> {
    sync_folder(staging)?;
    let parent = name.parent().unwrap_or(Path::new("."));
    let renamed = (|| {
        if name.exists() {
            fs::remove_dir_all(name)?;
        }
        fs::rename(staging, name)?;
        File::open(parent)?.sync_all()
    })();
    renamed.map_err(io(name, "publishing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_gets_its_name_in_one_move() {
        let root = tempfile::tempdir().unwrap();
        let (staging, name) = (root.path().join("s"), root.path().join("n"));
        fs::create_dir(&staging).unwrap();
        fs::write(staging.join("f"), b"x").unwrap();
        publish_folder(&staging, &name).unwrap();
        assert!(name.join("f").is_file() && !staging.exists());
    }
}
