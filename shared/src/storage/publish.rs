//! Temporary name, sync, rename, sync of the folder.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Code, Error, Result};
use crate::run_paths::UNNAMED;

/// Bytes between two writes to the disk.
const BUFFER: usize = 1 << 20;

/// [`Code::Io`] with the path of what could not be done.
pub(super) fn failed(path: &Path, doing: &str) -> impl FnOnce(std::io::Error) -> Error {
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
    fs::create_dir_all(folder).map_err(failed(folder, "creating the folder"))?;
    let (temporary, file) = temporary(path).map_err(failed(path, "writing"))?;
    let written = (|| {
        write_synced(file, write)?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    written.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        failed(path, "writing")(e)
    })
}

/// A new file under a hidden name beside a path. A name that is taken, by another thread, by a process of the same
/// number in another container or by what a crash left, is passed over and never written to.
pub(super) fn temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    temporary_from(path, &NUMBER)
}

/// [`temporary`] of the first free number.
fn temporary_from(path: &Path, next: &AtomicU64) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let hidden = path.with_file_name(format!(".{name}.{process}.{number}.{TEMPORARY}"));
        match File::create_new(&hidden) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (hidden, file)),
        }
    }
}

/// Whether a name without its dot and its end is one of [`temporary`]'s, and nobody else's.
fn is_temporary(name: &str) -> bool {
    let mut numbers = name.rsplitn(3, '.').take(2);
    name.matches('.').count() >= 2 && numbers.all(|n| n.parse::<u64>().is_ok())
}

/// Writes a file whose content is on the disk then, and whose name may not be.
pub(super) fn write_synced(
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, file);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
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
    synced.map_err(failed(folder, "syncing"))
}

/// What was replaced, until it is removed.
const REPLACED: &str = "replaced";
/// What is being written.
const TEMPORARY: &str = "writing";
/// What is about to be removed.
const REMOVED: &str = "removed";

/// Gives a filled staging folder its name. An older folder of that name is replaced: at every moment
/// one of the two lies there whole, under its name or, after a crash, where [`tidy`] finds it.
///
/// # Errors
/// [`Code::Io`] with the path; the older folder has its name then.
pub fn publish_folder(staging: &Path, name: &Path) -> Result<()> {
    publish_with(staging, name, &mut |from, to| fs::rename(from, to))
}

fn publish_with(
    staging: &Path,
    name: &Path,
    rename: &mut dyn FnMut(&Path, &Path) -> io::Result<()>,
) -> Result<()> {
    sync_folder(staging)?;
    let parent = name.parent().unwrap_or(Path::new("."));
    let aside = hidden(name, REPLACED);
    let renamed = (|| {
        if name.exists() {
            // What an earlier crash left: the name is taken, so this is not the only one.
            remove_if_there(&aside)?;
            rename(name, &aside)?;
        }
        rename(staging, name).inspect_err(|_| {
            let _ = fs::rename(&aside, name);
        })?;
        File::open(parent)?.sync_all()
    })();
    renamed.map_err(failed(name, "publishing"))?;
    // What stays of it is removed at the next start.
    let _ = remove_if_there(&aside);
    Ok(())
}

/// Takes a folder's name away, so that nobody reads half of it; whoever asked removes what comes back,
/// [`tidy`] otherwise.
///
/// # Errors
/// [`Code::Io`] with the path.
pub fn unpublish_folder(name: &Path) -> Result<PathBuf> {
    let hidden = hidden(name, REMOVED);
    let renamed = remove_if_there(&hidden).and_then(|()| fs::rename(name, &hidden));
    renamed.map_err(failed(name, "removing"))?;
    Ok(hidden)
}

/// Finishes what a crash left between two names in a folder: what was replaced gets its name back where
/// the new one did not, everything else goes, what was only begun to be written too. Returns what should be said of it.
/// Nobody else may write in the folder meanwhile.
pub fn tidy(folder: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let hidden = entry.path();
        let name = entry.file_name();
        let Some((name, why)) = name
            .to_str()
            .and_then(|name| name.strip_prefix('.'))
            .and_then(|name| name.rsplit_once('.'))
        else {
            continue;
        };
        let done = match why {
            REPLACED if !folder.join(name).exists() => {
                told.push(format!("{name}: put back, its replacement was interrupted"));
                fs::rename(&hidden, folder.join(name))
            }
            REPLACED | REMOVED => fs::remove_dir_all(&hidden),
            TEMPORARY if is_temporary(name) => fs::remove_file(&hidden),
            // A result that was begun to be exported is exported again.
            UNNAMED if hidden.is_file() => fs::remove_file(&hidden),
            _ => continue,
        };
        if let Err(error) = done {
            told.push(format!("{} is left over: {error}", hidden.display()));
        }
    }
    told
}

/// Beside a folder, under a name that is none of a checkpoint.
fn hidden(name: &Path, why: &str) -> PathBuf {
    let own = name.file_name().unwrap_or_default().to_string_lossy();
    name.with_file_name(format!(".{own}.{why}"))
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
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
    fn a_temporary_name_that_is_taken_is_passed_over_and_goes_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.json");
        let (first, mut another) = temporary_from(&path, &AtomicU64::new(7)).unwrap();
        another.write_all(b"of another container").unwrap();
        let (second, _) = temporary_from(&path, &AtomicU64::new(7)).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read(&first).unwrap(), b"of another container");
        assert_eq!(tidy(root.path()), Vec::<String>::new());
        assert!(!first.exists() && !second.exists());
    }

    #[test]
    fn only_what_the_program_left_goes() {
        let root = tempfile::tempdir().unwrap();
        let goes = [".a.json.1.2.writing", ".adapter_model.safetensors.export"];
        let stays = [
            ".a.writing",
            ".a.json.x.2.writing",
            "a.export",
            ".export",
            ".lock",
        ];
        for name in goes.iter().chain(&stays) {
            fs::write(root.path().join(name), "").unwrap();
        }
        fs::create_dir(root.path().join(".folder.export")).unwrap();
        assert_eq!(tidy(root.path()), Vec::<String>::new());
        assert!(goes.iter().all(|name| !root.path().join(name).exists()));
        assert!(stays.iter().all(|name| root.path().join(name).exists()));
        assert!(root.path().join(".folder.export").is_dir());
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

    fn folder(path: &Path, content: &str) {
        fs::create_dir(path).unwrap();
        fs::write(path.join("f"), content).unwrap();
    }

    #[test]
    fn a_replacement_that_stops_anywhere_leaves_one_of_the_two_whole() {
        for steps in 0..=2 {
            let root = tempfile::tempdir().unwrap();
            let (staging, name) = (root.path().join("s"), root.path().join("checkpoint-5"));
            folder(&staging, "new");
            folder(&name, "old");
            let mut left = steps;
            // As after a kill: nothing runs any more once it has struck.
            let struck = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                publish_with(&staging, &name, &mut |from, to| {
                    assert!(left > 0, "killed");
                    left -= 1;
                    fs::rename(from, to)
                })
            }));
            assert_eq!(struck.is_err(), steps < 2);
            tidy(root.path());
            let content = fs::read_to_string(name.join("f")).unwrap();
            assert_eq!(content, if steps < 2 { "old" } else { "new" });
            let names = fs::read_dir(root.path()).unwrap().count();
            assert_eq!(names, if steps < 2 { 2 } else { 1 });
        }
    }

    #[test]
    fn a_folder_that_cannot_be_replaced_keeps_its_name() {
        let root = tempfile::tempdir().unwrap();
        let (staging, name) = (root.path().join("s"), root.path().join("checkpoint-5"));
        folder(&staging, "new");
        folder(&name, "old");
        let mut renames = 0;
        let error = publish_with(&staging, &name, &mut |from, to| {
            renames += 1;
            if renames == 2 {
                return Err(io::Error::other("no"));
            }
            fs::rename(from, to)
        });
        assert_eq!(error.unwrap_err().code, Code::Io);
        assert_eq!(fs::read_to_string(name.join("f")).unwrap(), "old");
        publish_folder(&staging, &name).unwrap();
        assert_eq!(fs::read_to_string(name.join("f")).unwrap(), "new");
    }

    #[test]
    fn what_was_only_begun_goes_at_the_next_start_and_nobody_elses_file() {
        let root = tempfile::tempdir().unwrap();
        let begun = temporary(&root.path().join("a.json")).unwrap().0;
        let kept = [
            ".a.writing",
            ".a.b.c.writing",
            ".1.writing",
            "a.1.2.writing",
            ".a.1.2.tmp",
        ]
        .map(|n| root.path().join(n));
        for path in kept.iter().chain([&begun]) {
            fs::write(path, "{").unwrap();
        }
        assert!(tidy(root.path()).is_empty());
        assert!(!begun.exists() && kept.iter().all(|path| path.exists()));
    }

    #[test]
    fn what_was_about_to_be_removed_is_removed_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let name = root.path().join("checkpoint-5");
        for content in ["one", "two"] {
            folder(&name, content);
            assert!(unpublish_folder(&name).unwrap().is_dir() && !name.exists());
        }
        assert!(tidy(root.path()).is_empty());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
