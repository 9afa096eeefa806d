//! Publishing on shared storage: a file or folder is there whole, or not at all.
//!
//! In: bytes, or a staging folder somebody filled. Out: a name that readers may trust.
//! Temporary name, sync, rename, sync of the folder. Object stores will stand behind the same verbs.

mod lock;
mod publish;

pub use lock::{FileId, OutputLock, file_id};
pub use publish::{
    publish_folder, sync_folder, tidy, unpublish_folder, write_atomic, write_atomic_with,
};
