//! Storage of whole objects: an object, or a group of them, is there whole or not at all.
//!
//! In: bytes, or a group that somebody wrote under another name. Out: a name that readers may trust.
//! `objects` what a storage must be able to do · `folder` the files of a folder do it · `memory` objects in memory, for
//! tests · `publish` temporary name, sync, rename, sync of the folder · `lock` one coordinator per output folder.
//! What is no object, and why, is in `docs/internals/decisions/0019-objects.md`.

mod folder;
mod lock;
mod memory;
mod objects;
mod publish;

#[cfg(test)]
mod contract;

pub use folder::Folder;
pub use lock::{FileId, OutputLock, file_id};
pub use memory::MemoryObjects;
pub use objects::{Group, Groups, Object, Objects, Reading, Writing};
pub use publish::{
    publish_folder, sync_folder, tidy, unpublish_folder, write_atomic, write_atomic_with,
};
