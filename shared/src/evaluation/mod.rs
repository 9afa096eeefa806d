//! Evaluations during a run: which rows, which sums, what they say about the course of the training.
//!
//! In: the rows of each evaluation set, the sums of each evaluation. Out: micro-batches without a
//! gradient, losses, the best step, whether to stop.
//! Keeps: an evaluation is a step without a gradient: fixed micro-batches, exact integer sums, the
//! same whoever computes them. Nothing here knows workers, clocks or files.
//!
//! `sets` what is evaluated · `plan` when, cut into micro-batches · `sums` the integers that travel ·
//! `course` best step and patience.

mod course;
mod plan;
mod prompts;
mod sets;
mod sums;

pub use course::{Course, Patience, Standing, newest};
pub use plan::{EvaluationMicroBatch, EvaluationPlan};
pub use prompts::Prompts;
pub use sets::{EvaluationSet, PARENT, TRAIN_SAMPLE, VALIDATION};
pub use sums::{LOSS_BITS, SetSums, WIDTH, width};
