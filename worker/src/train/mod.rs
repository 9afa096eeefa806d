//! The second half of a sample's walk: collate, forward and backward, quantize, apply, commit.
//!
//! `collate` rows to one micro-batch · `dropout` masks keyed by the sample's place in the step · `evaluate` losses
//! without a gradient · `forward_backward` losses per token and the adapter's gradient · `layerwise` forward and back,
//! a layer at a time · `head` the output head and the losses, some rows at a time · `gradients` into one vector ·
//! `rehearse` the largest micro-batch before step 1 · `sums` integers until they are credited · `replica` the state and
//! its shadow · `loaded_run` what both threads know of the run · `retained` earlier states until they are on storage · `device_thread` the only place that touches
//! tensors in a run · `state_thread` the only one that touches the replica · `threads` the pools that host work is
//! shared out to.
//!
//! [`training_step`] is the whole walk on one page.

mod collate;
pub mod device_thread;
mod dropout;
mod evaluate;
mod forward_backward;
mod gradients;
mod head;
mod layerwise;
mod loaded_run;
mod next_token;
mod objective;
mod rehearse;
mod replica;
mod retained;
pub mod state_thread;
mod sums;
mod threads;
pub mod training_step;

pub use collate::{IGNORED, MicroBatch, Segment, collate};
pub use forward_backward::Trainer;
pub use replica::{Replica, StepRule};
pub use sums::{BufferPool, EXTRAS, Extra, Sums};
