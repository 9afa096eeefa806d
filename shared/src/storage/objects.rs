//! What storage must be able to do, over whole objects under names.
//!
//! In: names, relative to one root: a run's output folder, or one checkpoint in it. Out: whole objects. Keeps: an object
//! is there whole, or not at all; who reads one by its name sees what some `put` wrote, never a mixture. A name's
//! parts are divided by `/`. A last part that begins with a dot is no object's: there lie locks, and what is being written.
//! The names of a group of objects begin with the group's name: a checkpoint is one.
//! Not here: which names there are in a run's output folder (see `shared/src/run_paths.rs`).

use std::io::{self, Read, Write};
use std::path::PathBuf;

#[cfg(doc)]
use crate::error::Code;
use crate::error::Result;

/// Writes the content of an object.
pub type Writing<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Storage of whole objects.
pub trait Objects: Send + Sync {
    /// Where an object lies, for people and for whoever reads files by their paths.
    fn place(&self, name: &str) -> PathBuf;

    /// Writes an object, in place of the one that was there.
    ///
    /// # Errors
    /// [`Code::Io`] with its place; the old object is there then.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.put_with(name, &mut |to| to.write_all(bytes))
    }

    /// [`Self::put`] of what a function writes, for content that is not in memory.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn put_with(&self, name: &str, write: Writing<'_>) -> Result<()>;

    /// Writes an object unless there is one; says whether it did. Of several that try at once one writes.
    ///
    /// # Errors
    /// [`Code::Io`] with its place.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// An object, to be read in pieces. What is open stays as it was when another one takes its name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none, and what keeps it from being read. What either means only the
    /// reader knows.
    fn open(&self, name: &str) -> io::Result<Box<dyn Object>>;

    /// A whole object.
    ///
    /// # Errors
    /// As [`Self::open`].
    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        self.get_at_most(name, u64::MAX)
    }

    /// A whole object of no more than so many bytes, for a kind of object that somebody else may have put there.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] for a longer one, before any of it is read; otherwise as [`Self::open`].
    fn get_at_most(&self, name: &str, bytes: u64) -> io::Result<Vec<u8>> {
        let object = self.open(name)?;
        let length = object.length()?;
        if length > bytes {
            let text = format!("it has {length} bytes, at most {bytes} are read");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        // Whoever made the object may have made it of any length: too long is an error, and not the end of the process.
        bytes
            .try_reserve_exact(length)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        bytes.resize(length, 0);
        object.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Names of the objects whose names begin with `prefix`, in order.
    ///
    /// # Errors
    /// What keeps them from being listed.
    fn list(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// Whether an object or a group has this name.
    fn has(&self, name: &str) -> bool;

    /// Removes an object; one that is not there is removed.
    ///
    /// # Errors
    /// [`Code::Io`] with its place.
    fn remove(&self, name: &str) -> Result<()>;
}

/// Storage that gives a group of objects its name, or takes it, as one.
pub trait Groups: Objects {
    /// Names of the groups at the root, in order.
    ///
    /// # Errors
    /// What keeps them from being listed.
    fn groups(&self) -> io::Result<Vec<String>>;

    /// Gives a group that was written under another name its own. An older group of that name is replaced: at every
    /// moment one of the two is there whole, under its name or, after a crash, where [`Self::tidy`] finds it.
    ///
    /// # Errors
    /// [`Code::Io`] with its place; the older group has its name then.
    fn publish(&self, staging: &str, name: &str) -> Result<()>;

    /// Gives a group or an object another name; of groups it must be free.
    ///
    /// # Errors
    /// What keeps it from having that name for sure.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a group's name, so that nobody reads half of it; what comes back is the name to [`Self::delete`], `None`
    /// where there is no such group.
    ///
    /// # Errors
    /// [`Code::Io`] with its place.
    fn withdraw(&self, name: &str) -> Result<Option<String>>;

    /// Deletes a group in any order, so nobody may know its name any more. One that is not there is deleted.
    ///
    /// # Errors
    /// What keeps it from going; a part of it may be gone.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Finishes what a crash left between two names: what was replaced gets its name back where the new one did not,
    /// everything else goes. Returns what should be said of it.
    fn tidy(&self) -> Vec<String>;
}

/// An open object.
pub trait Object: Send {
    /// Number of its bytes.
    ///
    /// # Errors
    /// What keeps it from being known.
    fn length(&self) -> io::Result<u64>;

    /// Reads what begins at a byte into the buffer, and says how much that was; nothing at the end.
    ///
    /// # Errors
    /// What keeps it from being read.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// [`Self::read_at`] that fills the buffer.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the object ends before.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, at) {
                Ok(0) => {
                    let short = "failed to fill whole buffer";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
                }
                Ok(read) => {
                    buffer = &mut buffer[read..];
                    at += read as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// An open object from its beginning to its end.
pub struct Reading {
    object: Box<dyn Object>,
    at: u64,
}

impl Reading {
    /// From the first byte on.
    #[must_use]
    pub fn new(object: Box<dyn Object>) -> Self {
        Self { object, at: 0 }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.object.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// The objects of a group, by their names within it.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    objects: &'a dyn Objects,
    name: &'a str,
}

impl<'a> Group<'a> {
    /// The group of this name.
    #[must_use]
    pub fn new(objects: &'a dyn Objects, name: &'a str) -> Self {
        Self { objects, name }
    }

    fn of(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }
}

impl Objects for Group<'_> {
    fn place(&self, name: &str) -> PathBuf {
        let group = self.objects.place(self.name);
        if name.is_empty() {
            group
        } else {
            group.join(name)
        }
    }

    fn put_with(&self, name: &str, write: Writing<'_>) -> Result<()> {
        self.objects.put_with(&self.of(name), write)
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        self.objects.put_if_absent(&self.of(name), bytes)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Object>> {
        self.objects.open(&self.of(name))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let own = self.of("");
        let listed = self.objects.list(&self.of(prefix))?;
        let inner = listed.iter().filter_map(|name| name.strip_prefix(&own));
        Ok(inner.map(str::to_owned).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.objects.has(&self.of(name))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.objects.remove(&self.of(name))
    }
}
