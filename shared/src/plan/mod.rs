//! Who computes what, and when: a pure function of the configuration and the prepared data.
//!
//! In: [`RunConfig`](crate::config::RunConfig), loss units and length of every sample. Out: for
//! any step its micro-batches, loss units, learning rate and epoch, the same on every side.
//! Order, epoch tails and schedules are those of the Hugging Face Trainer on one process, so curves
//! can be laid over PEFT's. Keeps: nothing here knows workers, clocks or files; every sample of an
//! epoch is in exactly one micro-batch.

mod largest;
mod learning_rate;
mod length_groups;
mod mersenne;
mod micro_batch;
mod permutation;
mod steps;

pub use largest::Largest;
pub use learning_rate::Schedule;
pub use micro_batch::{MicroBatchPlan, cut};
pub use permutation::permutation;
pub use steps::{Plan, StepPlan};
