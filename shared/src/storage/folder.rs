//! Objects as files of one folder, on a disk of this machine or a shared one.
//!
//! Keeps: a name is a path below the folder. An object gets its name by a rename of a file that is on the disk, a group
//! by the rename of its folder.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::objects::{Groups, Object, Objects, Writing};
use super::publish::{
    self, failed, publish_folder, temporary, unpublish_folder, write_atomic_with, write_synced,
};
use crate::error::Result;

/// The files of a folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The files of this folder, which need not be there yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn parent(&self, name: &str) -> PathBuf {
        let place = self.place(name);
        place.parent().unwrap_or(&self.root).to_path_buf()
    }
}

impl Objects for Folder {
    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            return self.root.clone();
        }
        self.root.join(name)
    }

    fn put_with(&self, name: &str, write: Writing<'_>) -> Result<()> {
        write_atomic_with(&self.place(name), |file| write(file))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let place = self.place(name);
        let written = (|| {
            fs::create_dir_all(self.parent(name))?;
            let (temporary, file) = temporary(&place)?;
            let linked = write_synced(file, |file| io::Write::write_all(file, bytes))
                .and_then(|()| fs::hard_link(&temporary, &place));
            // A temporary name that stays goes at the next start, and is never written to again.
            let _ = fs::remove_file(&temporary);
            match linked {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(e) => Err(e),
                Ok(()) => {
                    File::open(self.parent(name))?.sync_all()?;
                    Ok(true)
                }
            }
        })();
        written.map_err(failed(&place, "writing"))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Object>> {
        Ok(Box::new(File::open(self.place(name))?))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
        let (mut names, mut waiting) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = waiting.pop() {
            for (own, is_folder) in entries(&self.place(&folder))? {
                let name = match folder.as_str() {
                    "" => own,
                    folder => format!("{folder}/{own}"),
                };
                if is_folder {
                    waiting.push(name);
                } else if name.starts_with(prefix) {
                    names.push(name);
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn has(&self, name: &str) -> bool {
        self.place(name).exists()
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.place(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(failed(&self.place(name), "removing")(e))
            }
            _ => Ok(()),
        }
    }
}

impl Groups for Folder {
    fn groups(&self) -> io::Result<Vec<String>> {
        let entries = entries(&self.root)?.into_iter();
        let folders = entries.filter(|(_, is_folder)| *is_folder);
        let mut names: Vec<_> = folders.map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    fn publish(&self, staging: &str, name: &str) -> Result<()> {
        publish_folder(&self.place(staging), &self.place(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.place(from), self.place(to))?;
        File::open(self.parent(to))?.sync_all()
    }

    fn withdraw(&self, name: &str) -> Result<Option<String>> {
        if !self.has(name) {
            return Ok(None);
        }
        let hidden = unpublish_folder(&self.place(name))?;
        let hidden = hidden.strip_prefix(&self.root).unwrap_or(&hidden);
        Ok(Some(hidden.to_string_lossy().into_owned()))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.place(name)) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    fn tidy(&self) -> Vec<String> {
        publish::tidy(&self.root)
    }
}

/// Names in a folder that are not hidden, and whether they are folders; none where there is no folder.
fn entries(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Nobody here gives a name that is no text.
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            found.push((name, entry.path().is_dir()));
        }
    }
    Ok(found)
}

impl Object for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }
}
