//! The files of a run, and their bytes as text.
//!
//! `source_file` a file and its ending · `find` which files, in which order · `beside` what lies
//! beside them · `decode` bytes to text ·
//! `encodings` (with `plausible`) what they are in where they are not UTF-8, `recoded` reads them so,
//! `undecodable` refuses them · `blocks` a text file in blocks of whole lines · `elements` a
//! JSON array element by element. Not here: what the text
//! says (`forms`).

mod beside;
pub(crate) mod blocks;
pub(crate) mod decode;
pub(crate) mod elements;
mod encodings;
mod find;
mod plausible;
mod recoded;
mod source_file;
mod undecodable;

pub(crate) use beside::{Beside, sort_out, ways_out};
pub(crate) use find::{folder, list, of_run};
pub(crate) use source_file::{KNOWN, SourceFile};
