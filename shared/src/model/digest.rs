//! What makes two folders the same base model: a digest of config.json and the weights.
//!
//! A base model may be 13 GB, so the digest is remembered by size, inode and times of change, in the
//! user's cache folder and never in the base model's own. A file touched in the last seconds or
//! while it was read is not remembered. A cache that cannot be used costs time, nothing else.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::weights::weight_paths;
use crate::error::{Code, Error, Result};

/// Bytes that are hashed between two signs of progress: seconds on a slow disk, enough for many threads.
const PART: usize = 64 << 20;

/// Changes younger than this may share their time with a later one.
const UNSETTLED_SECONDS: i64 = 3;

/// What the file system says about one file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    name: String,
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    files: Vec<Stamp>,
    digest: String,
}

/// Digest (blake3, hex) over config.json and the weight files in name order, by the threads of the pool that the caller
/// runs in.
///
/// # Errors
/// The ones of a folder without readable weights, and [`Code::Io`] when reading fails.
pub fn base_digest(folder: &Path) -> Result<String> {
    base_digest_told(folder, || {})
}

/// [`base_digest`], calling `told` after each part of a file that was read: all of them take minutes.
///
/// # Errors
/// As [`base_digest`].
pub fn base_digest_told(folder: &Path, told: impl FnMut()) -> Result<String> {
    base_digest_with_cache(folder, cache_folder().as_deref(), told)
}

/// [`base_digest_told`] with the cache in a folder of the caller's choice.
fn base_digest_with_cache(
    folder: &Path,
    cache: Option<&Path>,
    told: impl FnMut(),
) -> Result<String> {
    let folder = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
    let mut files = vec![folder.join("config.json")];
    files.extend(weight_paths(&folder)?);
    let before = stamps(&files)?;
    let remembered_at = cache.map(|cache| {
        let name = blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex();
        cache.join(format!("{}.json", &name[..32]))
    });
    let remembered = remembered_at
        .as_deref()
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(entry) = remembered.filter(|entry| entry.files == before) {
        return Ok(entry.digest);
    }
    let digest = digest_files(&files, told)?;
    let settled = stamps(&files)? == before && before.iter().all(is_settled);
    if let Some(path) = remembered_at.filter(|_| settled) {
        let entry = Remembered {
            files: before,
            digest: digest.clone(),
        };
        if let Ok(bytes) = serde_json::to_vec(&entry)
            && let Some(parent) = path.parent()
            && std::fs::create_dir_all(parent).is_ok()
            && let Err(error) = crate::storage::write_atomic(&path, &bytes)
        {
            tracing::debug!(%error, "the base model's digest was not remembered");
        }
    }
    Ok(digest)
}

fn digest_files(files: &[PathBuf], mut told: impl FnMut()) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let name = file_name(path);
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        // SAFETY: a map must not change while it is borrowed. This one is read only, and dropped with its file; a file
        // that was changed meanwhile shows in the stamps, which are compared afterwards.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| unreadable(path, &e))?;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(map.len() as u64).to_le_bytes());
        for part in map.chunks(PART) {
            hasher.update_rayon(part);
            told();
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn stamps(files: &[PathBuf]) -> Result<Vec<Stamp>> {
    let stamp = |path: &PathBuf| {
        let data: Metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        Ok(Stamp {
            name: file_name(path),
            bytes: data.len(),
            inode: data.ino(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    };
    files.iter().map(stamp).collect()
}

fn is_settled(stamp: &Stamp) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    stamp.changed.0.max(stamp.modified.0) < now - UNSETTLED_SECONDS
}

fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("lora-cluster").join("base-digests"))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Code::Io, "the base model cannot be read")
        .in_file(path)
        .why(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(weights: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("model.safetensors"), weights).unwrap();
        folder
    }

    /// Moves the times of the files so far back that they count as settled.
    fn settle(folder: &Path) {
        for name in ["config.json", "model.safetensors"] {
            let file = File::options()
                .append(true)
                .open(folder.join(name))
                .unwrap();
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
                .unwrap();
        }
    }

    #[test]
    fn equal_content_in_two_folders_has_one_digest() {
        let (a, b, c) = (base(b"same"), base(b"same"), base(b"else"));
        let digest = |f: &tempfile::TempDir| base_digest_with_cache(f.path(), None, || {}).unwrap();
        assert_eq!(digest(&a), digest(&b));
        assert_ne!(digest(&a), digest(&c));
    }

    #[test]
    fn a_file_of_another_time_is_never_taken_from_the_cache() {
        let (folder, cache) = (base(b"one"), tempfile::tempdir().unwrap());
        let digest = || base_digest_with_cache(folder.path(), Some(cache.path()), || {}).unwrap();
        settle(folder.path());
        let first = digest();
        std::fs::write(folder.path().join("model.safetensors"), b"two").unwrap();
        settle(folder.path());
        assert_ne!(digest(), first, "same size and same time of modification");
    }

    #[test]
    fn an_entry_with_equal_stamps_is_believed_and_nothing_is_written_to_the_base() {
        let (folder, cache) = (base(b"one"), tempfile::tempdir().unwrap());
        let canonical = folder.path().canonicalize().unwrap();
        let files = [
            canonical.join("config.json"),
            canonical.join("model.safetensors"),
        ];
        let entry = Remembered {
            files: stamps(&files).unwrap(),
            digest: "known".into(),
        };
        let name = blake3::hash(canonical.as_os_str().as_encoded_bytes()).to_hex();
        let path = cache.path().join(format!("{}.json", &name[..32]));
        std::fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
        assert_eq!(
            base_digest_with_cache(folder.path(), Some(cache.path()), || {}).unwrap(),
            "known"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
