//! The second half of a sample's walk: collate, forward and backward, quantize, apply, commit.
//!
//! `collate` rows to one padded micro-batch · `dropout` masks keyed by the sample's place in the
//! step · `forward_backward` losses per token and the adapter's gradient · `sums` integers until
//! they are credited · `thread` the compute thread, the only place that touches tensors in a run.

mod collate;
mod dropout;
mod forward_backward;
mod sums;
pub mod thread;

pub use collate::{IGNORED, MicroBatch, collate};
pub use forward_backward::Trainer;
pub use sums::{EXTRAS, Extra, Sums};
