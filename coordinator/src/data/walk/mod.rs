//! The way of all samples: files, conversations, rendered text, tokens and targets, rows.
//!
//! `chunk` some samples on their way · `preparer` conversations to rows · `stations` the way itself ·
//! `reserved` placeholders that stand in the data already · `collector` its end, where rows are kept ·
//! `rows_walk` all of it, for a run · `masked_copy` the same way without the rows · `progress` how far.
//! Keeps: the order is that of the files and of the samples in them, whatever the number of threads;
//! the failure reported is that of the first sample that fails; in memory are a few chunks per core.

mod chunk;
mod collector;
mod masked_copy;
mod preparer;
mod progress;
mod reserved;
mod rows_walk;
mod stations;

pub(crate) use collector::WalkOptions;
pub(crate) use masked_copy::masked;
pub(crate) use preparer::Preparer;
pub use progress::Progress;
pub(crate) use rows_walk::walk;
