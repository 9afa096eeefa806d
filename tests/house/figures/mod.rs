//! The figures of the source tree: lengths, imports, circles, short docs.
//!
//! `sources` the text of every Rust file · `test_code` what `cfg(test)` takes away · `krate` the
//! production module tree of one crate · `paths` every path that a file writes · `uses` a `use`
//! tree as flat imports · `resolve` a path to the file that defines its item · `arrows` imports
//! from file to file · `circles` strongly connected components · `rooms` imports inside one folder
//! · `lengths` lines of files and functions · `docs` doc comments that tell nothing · `measured`
//! one crate's figures · `page` all of it as text.

pub mod arrows;
pub mod circles;
pub mod docs;
pub mod krate;
pub mod lengths;
pub mod measured;
pub mod page;
pub mod paths;
pub mod resolve;
pub mod rooms;
pub mod sources;
pub mod test_code;
pub mod uses;

#[cfg(test)]
mod planted;
