//! Objects in memory, for tests: what an object store does, without a network.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::objects::{Groups, Object, Objects, Writing};
use super::publish::failed;
use crate::error::Result;

type Bytes = Arc<Vec<u8>>;

/// Objects by their names.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    objects: Mutex<BTreeMap<String, Bytes>>,
    unsynced: AtomicBool,
}

impl MemoryObjects {
    /// Lets the next rename happen and fail all the same, as one does whose folder cannot be synced.
    pub fn fail_next_sync(&self) {
        self.unsynced.store(true, Ordering::Relaxed);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        // Nothing is left half done by whoever panics.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for MemoryObjects {
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from("memory:").join(name)
    }

    fn put_with(&self, name: &str, write: Writing<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes).map_err(failed(&self.place(name), "writing"))?;
        self.all().insert(name.to_owned(), Arc::new(bytes));
        Ok(())
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let mut all = self.all();
        let absent = !all.contains_key(name);
        if absent {
            all.insert(name.to_owned(), Arc::new(bytes.to_vec()));
        }
        Ok(absent)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Object>> {
        let found = self.all().get(name).map(Arc::clone);
        let found = found.ok_or_else(not_found)?;
        Ok(Box::new(Held(found)))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let all = self.all();
        let named = all.keys().filter(|name| name.starts_with(prefix));
        let named = named.filter(|name| !is_hidden(name, prefix));
        Ok(named.cloned().collect())
    }

    fn has(&self, name: &str) -> bool {
        let group = format!("{name}/");
        let all = self.all();
        all.contains_key(name) || all.keys().any(|n| n.starts_with(&group))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.all().remove(name);
        Ok(())
    }
}

impl Groups for MemoryObjects {
    fn groups(&self) -> io::Result<Vec<String>> {
        let mut groups: Vec<_> = self
            .all()
            .keys()
            .filter_map(|name| Some(name.split_once('/')?.0.to_owned()))
            .filter(|group| !group.starts_with('.'))
            .collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    fn publish(&self, staging: &str, name: &str) -> Result<()> {
        let mut all = self.all();
        let staged = take(&mut all, staging);
        if staged.is_empty() {
            return Err(failed(&self.place(name), "publishing")(not_found()));
        }
        take(&mut all, name);
        give(&mut all, staged, name);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut all = self.all();
        if let Some(object) = all.remove(from) {
            all.insert(to.to_owned(), object);
        } else {
            let group = take(&mut all, from);
            if group.is_empty() {
                return Err(not_found());
            }
            give(&mut all, group, to);
        }
        if self.unsynced.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("the folder cannot be synced"));
        }
        Ok(())
    }

    fn withdraw(&self, name: &str) -> Result<Option<String>> {
        let mut all = self.all();
        let group = take(&mut all, name);
        if group.is_empty() {
            return Ok(None);
        }
        let hidden = format!(".{name}.removed");
        take(&mut all, &hidden);
        give(&mut all, group, &hidden);
        Ok(Some(hidden))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        take(&mut self.all(), name);
        Ok(())
    }

    fn tidy(&self) -> Vec<String> {
        let hidden = |name: &str| name.starts_with('.') && name.contains(".removed/");
        self.all().retain(|name, _| !hidden(name));
        Vec::new()
    }
}

/// The objects of a group, by their names within it; they have no names any more.
fn take(all: &mut BTreeMap<String, Bytes>, group: &str) -> Vec<(String, Bytes)> {
    let prefix = format!("{group}/");
    let inner = |name: &String| name.strip_prefix(&prefix).map(str::to_owned);
    let names: Vec<_> = all
        .keys()
        .filter_map(|n| inner(n).map(|i| (n.clone(), i)))
        .collect();
    names
        .into_iter()
        .filter_map(|(name, inner)| Some((inner, all.remove(&name)?)))
        .collect()
}

fn give(all: &mut BTreeMap<String, Bytes>, objects: Vec<(String, Bytes)>, group: &str) {
    for (inner, bytes) in objects {
        all.insert(format!("{group}/{inner}"), bytes);
    }
}

/// Whether a part of a name behind `prefix` begins with a dot.
fn is_hidden(name: &str, prefix: &str) -> bool {
    let known = prefix.rfind('/').map_or(0, |slash| slash + 1);
    name[known..].split('/').any(|part| part.starts_with('.'))
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

struct Held(Bytes);

impl Object for Held {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = self.0.get(at..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}
