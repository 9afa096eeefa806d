//! Typed reasons: why the cluster looks as it does, once per change.

use std::fmt;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Generation, MicroBatchId, Step, WorkerId};

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
    /// A worker has not been heard for a while; it gets nothing more until it is.
    Suspect {
        /// Who.
        worker: WorkerId,
    },
    /// A live worker whose device does not answer.
    Hung {
        /// Who.
        worker: WorkerId,
        /// What it was computing.
        step: Step,
        /// What it was computing.
        micro_batch: MicroBatchId,
    },
    /// A live worker that does not finish the reduce that others have finished.
    HungInReduce {
        /// Who.
        worker: WorkerId,
        /// The step.
        step: Step,
    },
    /// A worker is much slower than the others; it gets less work.
    Slow {
        /// Who.
        worker: WorkerId,
        /// Its usual time for a micro-batch.
        own: Duration,
        /// The usual time of all.
        typical: Duration,
    },
    /// More workers than `max_workers`.
    Spare {
        /// Who waits.
        workers: Vec<WorkerId>,
        /// The bound.
        max_workers: usize,
    },
    /// A worker whose session broke is back.
    Returned {
        /// Its name now.
        worker: WorkerId,
        /// Its name before.
        before: WorkerId,
    },
    /// The coordinator is back and the same step goes on.
    Recovered {
        /// The last committed step.
        step: Step,
        /// How many workers were there.
        workers: usize,
        /// Micro-batches of the next step that need not be computed again.
        credited: usize,
    },
    /// A worker leaves politely.
    Draining {
        /// Who.
        worker: WorkerId,
    },
    /// It is gone, and nothing was lost.
    Drained {
        /// Who.
        worker: WorkerId,
    },
    /// A source of the state failed; another is tried.
    SyncAgain {
        /// Who.
        worker: WorkerId,
        /// Why.
        reason: String,
    },
    /// A corrupt sum, slice or state, and whose it is.
    Corrupt {
        /// The culprit.
        worker: WorkerId,
        /// The step.
        step: Step,
        /// What is corrupt.
        what: String,
    },
    /// The members have different states; they look again.
    StatesDiffer {
        /// The step.
        step: Step,
        /// Who has what.
        digests: Vec<String>,
    },
    /// Nothing moves on a worker in a reduce; data may move between others, so it waits on.
    WaitsInReduce {
        /// The worker on which nothing moves.
        worker: WorkerId,
        /// The member whose sums or total it waits for, when known.
        waits_for: Option<WorkerId>,
        /// The step.
        step: Step,
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
        /// Steps in a row that were skipped so.
        in_a_row: u64,
        /// So many end the run.
        most: u32,
    },
    /// A checkpoint could not be written; the run goes on.
    CheckpointFailed {
        /// Its step.
        step: Step,
        /// Who could not.
        writer: WorkerId,
        /// Why.
        reason: String,
    },
    /// The adapter could not be brought to where loaders look; it is tried again.
    ExportFailed {
        /// Why.
        reason: String,
    },
    /// A checkpoint is not what the ledger says.
    CheckpointDamaged {
        /// Its step.
        step: Step,
        /// What is wrong with it.
        reason: String,
    },
    /// The best state was on nobody's storage, and nobody holds it any more.
    BestLost {
        /// Its step.
        step: Step,
        /// Where the run goes back to.
        from: Step,
    },
    /// A replay came out differently where unlike devices took part.
    Forked {
        /// What.
        what: String,
        /// The last step that both courses have.
        step: Step,
        /// The classes.
        classes: Vec<String>,
    },
    /// A state that the run had gone back from is there again.
    GoesForward {
        /// Its step.
        step: Step,
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
                write!(
                    f,
                    "{} idle: a step has only {micro_batches} micro-batch(es); a smaller \
                     micro_batch_size or a larger batch_size would use them (another run: both \
                     are part of its identity)",
                    names(workers)
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
            Self::Skipped {
                step,
                in_a_row,
                most,
            } => {
                write!(
                    f,
                    "step {step} skipped: a gradient or loss was not finite or out of range; {in_a_row} \
                     in a row, {most} end the run"
                )
            }
            Self::CheckpointFailed {
                step,
                writer,
                reason,
            } => {
                write!(
                    f,
                    "checkpoint of step {step} could not be written by {writer}: {reason}"
                )
            }
            Self::ExportFailed { reason } => {
                write!(
                    f,
                    "the adapter could not be written, it is tried again: {reason}"
                )
            }
            Self::CheckpointDamaged { step, reason } => {
                write!(f, "checkpoint of step {step} is set aside: {reason}")
            }
            Self::BestLost { step, from } => write!(
                f,
                "the best state, that of step {step}, was not on storage yet and nobody holds it any \
                 more: the run goes back to step {from} and computes it again, with the same bytes"
            ),
            Self::Forked {
                what,
                step,
                classes,
            } => write!(
                f,
                "{what} came out differently than before: workers of {} device classes took part ({}), \
                 and who computed what has changed; the run goes on, what came after step {step} is void",
                classes.len(),
                classes.join(" | ")
            ),
            Self::GoesForward { step } => write!(
                f,
                "a worker is back with the state of step {step}: the run goes on from there"
            ),
            Self::Rewound { step } => {
                write!(
                    f,
                    "no worker holds the state any more: going on from step {step}"
                )
            }
            trouble => trouble.fmt_trouble(f),
        }
    }
}

impl Notice {
    /// Whether it tells of a member that was forced to leave.
    pub(super) fn evicts(&self) -> bool {
        match self {
            Self::Silent { .. }
            | Self::Hung { .. }
            | Self::HungInReduce { .. }
            | Self::Corrupt { .. } => true,
            Self::Failed { error, .. } => error.code == Code::Evicted,
            _ => false,
        }
    }

    /// What happens around faults.
    fn fmt_trouble(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspect { worker } => {
                write!(
                    f,
                    "{worker} is silent; it gets nothing more until it is heard"
                )
            }
            Self::Hung {
                worker,
                step,
                micro_batch,
            } => write!(
                f,
                "{worker} evicted: alive, but its device does not finish micro-batch \
                 {micro_batch} of step {step}"
            ),
            Self::HungInReduce { worker, step } => write!(
                f,
                "{worker} evicted: alive, but it does not finish the all-reduce of step {step}"
            ),
            Self::Slow {
                worker,
                own,
                typical,
            } => write!(
                f,
                "{worker} is slow: {own:.1?} for a micro-batch, usual are {typical:.1?}; it gets less, \
                 the result is the same"
            ),
            Self::Spare {
                workers,
                max_workers,
            } => write!(
                f,
                "{} wait as spares: max_workers is {max_workers}",
                names(workers)
            ),
            Self::Returned { worker, before } => {
                write!(f, "{before} is back, as {worker}")
            }
            Self::Recovered {
                step,
                workers,
                credited,
            } => write!(
                f,
                "the coordinator is back: {workers} worker(s) hold step {step} and {credited} \
                 micro-batch(es) of the next; the same step goes on"
            ),
            Self::Draining { worker } => {
                write!(f, "{worker} drains: it finishes its part and leaves")
            }
            Self::Drained { worker } => write!(f, "{worker} drained, nothing was lost"),
            Self::SyncAgain { worker, reason } => {
                write!(f, "{worker} takes the state from another source: {reason}")
            }
            Self::Corrupt { worker, step, what } => {
                write!(f, "step {step}: {worker} is corrupt: {what}")
            }
            Self::StatesDiffer { step, digests } => write!(
                f,
                "step {step}: the members' states differ ({}); all look again",
                digests.join(", ")
            ),
            Self::WaitsInReduce {
                worker,
                waits_for,
                step,
            } => {
                write!(
                    f,
                    "step {step}: nothing moves on {worker} in the all-reduce"
                )?;
                if let Some(other) = waits_for {
                    write!(f, "; it waits for {other}")?;
                }
                f.write_str(": slow or broken lines between workers?")
            }
            Self::ReduceAgain { step, reason } => {
                write!(f, "step {step}: all-reduce is repeated: {reason}")
            }
            // Everything else is said above.
            _ => Ok(()),
        }
    }
}

fn names(workers: &[WorkerId]) -> String {
    let names: Vec<_> = workers.iter().map(ToString::to_string).collect();
    names.join(", ")
}
