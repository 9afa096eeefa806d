//! Rows, from their tokens to the writer.
//!
//! `overflow` rows that are too long · `damaged` samples with damaged texts · `collected` the rows and what is known of them · `refusals` why
//! a run cannot start with them · `split` rows that are kept out · `mixing` sources by their weights,
//! `mixture` the rows in these shares.
//! Keeps: nothing is cut or left out without a line in the report.

mod collected;
mod damaged;
mod mixing;
pub(crate) mod mixture;
pub(crate) mod overflow;
pub(crate) mod refusals;
mod rendering;
pub(crate) mod split;

pub(crate) use collected::{RowStats, Rows};
