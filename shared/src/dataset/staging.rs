//! The folder of a preparation that is under way, and what a later start finds in it.
//!
//! In: a folder and the digest of the sources. Out: the columns as far as they are known to be
//! whole. One JSON file, replaced at once, says how many rows count and the digest of every part
//! that was added to them; whatever lies behind is cut off. Keeps: one process at a time; rows of
//! other sources are never continued; a part that changed begins anew.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::column::Column;
use crate::error::{Code, Error, Result};
use crate::storage::{OutputLock, write_atomic};

/// The columns' files.
pub(super) const COLUMNS: [&str; 4] = ["ids", "targets", "ends", "origins"];
const POINT: &str = "point.json";
/// How the folders of preparations begin.
const PREFIX: &str = ".preparing-";

/// Bytes of each column up to a durable point, and the digest of what was added since the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub lengths: [u64; 4],
    pub digest: String,
}

/// A durable point of a preparation, from which it goes on after a kill.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Point {
    pub parts: Vec<Part>,
    /// Files that rows came from.
    pub files: Vec<String>,
    /// What the preparation needs to go on.
    pub state: serde_json::Value,
}

/// A preparation's folder; removed when it is let go, unless the process is killed.
#[derive(Debug)]
pub(super) struct Staging {
    pub folder: PathBuf,
    _lock: OutputLock,
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
        // Only empty ones go: nothing was there before the preparation, nothing is after.
        let parents = self.folder.ancestors().skip(1).take(2);
        for parent in parents {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Where the preparation of these sources would be continued.
pub(super) fn folder_of(prepared: &Path, key: &str) -> PathBuf {
    prepared.join(format!("{PREFIX}{key}"))
}

/// Makes or takes over the folder of a preparation; those of other sources that nobody works on are
/// removed.
pub(super) fn take(prepared: &Path, key: &str) -> Result<Staging> {
    let folder = folder_of(prepared, key);
    fs::create_dir_all(&folder).map_err(|e| {
        Error::new(Code::Unwritable, "output_dir cannot be written")
            .in_file(&folder)
            .why(e.to_string())
            .fix("--set output_dir=FOLDER that you may write to")
    })?;
    let lock = OutputLock::take(&folder.join(".lock"))?;
    sweep(prepared, Some(&folder));
    Ok(Staging {
        folder,
        _lock: lock,
    })
}

/// Removes preparations that were interrupted and that nobody works on, but not `own`.
pub(super) fn sweep(prepared: &Path, own: Option<&Path>) {
    for entry in fs::read_dir(prepared).into_iter().flatten().flatten() {
        let path = entry.path();
        let left = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if left && Some(path.as_path()) != own && OutputLock::take(&path.join(".lock")).is_ok() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The columns of a folder up to its durable point, if it has a usable one; else empty ones.
pub(super) fn open(staging: &Staging) -> io::Result<([Column; 4], Point)> {
    let folder = &staging.folder;
    let point = fs::read(folder.join(POINT)).ok();
    let point = point.and_then(|bytes| serde_json::from_slice::<Point>(&bytes).ok());
    if let Some(point) = point {
        let lengths = point.parts.last().map_or([0; 4], |part| part.lengths);
        if let Ok(columns) = columns(folder, lengths)
            && is_whole(&columns, &point.parts)
        {
            return Ok((columns, point));
        }
    }
    Ok((empty(staging)?, Point::default()))
}

/// Empty columns, whatever was left in the folder.
pub(super) fn empty(staging: &Staging) -> io::Result<[Column; 4]> {
    columns(&staging.folder, [0; 4])
}

fn columns(folder: &Path, lengths: [u64; 4]) -> io::Result<[Column; 4]> {
    let open = |n: usize| -> io::Result<Column> {
        let path = folder.join(COLUMNS[n]);
        let file: File = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if file.metadata()?.len() < lengths[n] {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Column::in_file(file, lengths[n])
    };
    Ok([open(0)?, open(1)?, open(2)?, open(3)?])
}

fn is_whole(columns: &[Column; 4], parts: &[Part]) -> bool {
    let mut from = [0; 4];
    parts.iter().all(|part| {
        let found = digest(columns, from, part.lengths);
        from = part.lengths;
        found.is_ok_and(|found| found == part.digest)
    })
}

/// Digest of a part of all columns.
pub(super) fn digest(columns: &[Column; 4], from: [u64; 4], to: [u64; 4]) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for (n, column) in columns.iter().enumerate() {
        column.each((from[n], to[n]), &mut |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Makes a point durable.
pub(super) fn keep(staging: &Staging, point: &Point) -> Result<()> {
    let bytes = serde_json::to_vec(point)
        .map_err(|e| Error::new(Code::Internal, format!("a preparation's point: {e}")))?;
    write_atomic(&staging.folder.join(POINT), &bytes)
}
