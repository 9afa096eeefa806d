//! Typed reasons: why the cluster looks as it does, once per change.

use std::fmt;

use shared::error::Error;
use shared::ids::{Generation, Step, WorkerId};

/// Something people want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A session opened.
    Admitted {
        /// Who.
        worker: WorkerId,
        /// Host and process.
        name: String,
    },
    /// Its base model is in memory.
    Loaded {
        /// Who.
        worker: WorkerId,
        /// On which device.
        device: String,
    },
    /// Another member set.
    Generation {
        /// Its version.
        generation: Generation,
        /// How many.
        workers: usize,
    },
    /// The run holds until more workers come.
    Waiting {
        /// How many are ready.
        ready: usize,
        /// How many are needed.
        needed: usize,
    },
    /// More workers than micro-batches.
    Idle {
        /// Who has nothing to do.
        workers: Vec<WorkerId>,
        /// Micro-batches in a step.
        micro_batches: u32,
    },
    /// Unlike devices in one run.
    MixedDevices {
        /// The classes.
        classes: Vec<String>,
    },
    /// A worker is gone.
    Left {
        /// Who.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// A worker was not admitted or failed.
    Failed {
        /// Who.
        worker: WorkerId,
        /// Its error.
        error: Error,
    },
    /// A worker was silent too long.
    Silent {
        /// Who.
        worker: WorkerId,
    },
    /// A reduce is repeated.
    ReduceAgain {
        /// The step.
        step: Step,
        /// Why.
        reason: String,
    },
    /// A step had values that are not finite.
    Skipped {
        /// Which.
        step: Step,
    },
    /// A checkpoint could not be written; the run goes on.
    CheckpointFailed {
        /// Its step.
        step: Step,
        /// Why.
        reason: String,
    },
    /// Everybody is gone: the run goes on from storage.
    Rewound {
        /// From here.
        step: Step,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted { worker, name } => write!(f, "{worker} ({name}) joined, loading"),
            Self::Loaded { worker, device } => write!(f, "{worker} is loaded on {device}"),
            Self::Generation {
                generation,
                workers,
            } => {
                write!(f, "generation {generation}: {workers} worker(s)")
            }
            Self::Waiting { ready, needed } => {
                write!(f, "waiting for workers: {ready} of {needed} ready")
            }
            Self::Idle {
                workers,
                micro_batches,
            } => {
                let names: Vec<_> = workers.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{} idle: a step has only {micro_batches} micro-batch(es); a smaller \
                     micro_batch_size or a larger batch_size would use them (another run: both \
                     are part of its identity)",
                    names.join(", ")
                )
            }
            Self::MixedDevices { classes } => write!(
                f,
                "the workers are of {} device classes ({}): the run is correct, but another mix \
                 may give other bits",
                classes.len(),
                classes.join(" | ")
            ),
            Self::Left { worker, reason } => write!(f, "{worker} left: {reason}"),
            Self::Failed { worker, error } => {
                write!(f, "{worker} failed: {}", shared::error::render(error))
            }
            Self::Silent { worker } => {
                write!(f, "{worker} evicted: silent for longer than its lease")
            }
            Self::ReduceAgain { step, reason } => {
                write!(f, "step {step}: all-reduce is repeated: {reason}")
            }
            Self::Skipped { step } => {
                write!(
                    f,
                    "step {step} skipped: a gradient or loss was not finite or out of range"
                )
            }
            Self::CheckpointFailed { step, reason } => {
                write!(
                    f,
                    "checkpoint of step {step} could not be written: {reason}"
                )
            }
            Self::Rewound { step } => {
                write!(
                    f,
                    "no worker holds the state any more: going on from step {step}"
                )
            }
        }
    }
}
