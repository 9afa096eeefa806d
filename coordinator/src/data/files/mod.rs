//! The files of a run, and their bytes as text.
//!
//! `source_file` a file and its ending · `find` which files, in which order · `decode` bytes to text ·
//! `blocks` a text file in blocks of whole lines. Not here: what the text says (`forms`).

pub(crate) mod blocks;
pub(crate) mod decode;
mod find;
mod source_file;

pub(crate) use find::{folder, list, of_run};
pub(crate) use source_file::{KNOWN, SourceFile};
