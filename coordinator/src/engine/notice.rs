//! Typed reasons: why the cluster looks as it does, once per change.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use shared::error::{Code, Error};
use shared::ids::{Generation, MicroBatchId, Step, WorkerId};

/// A reason why the cluster looks as it does; `Display` gives the sentence for the operator, serde the values under
/// the reason's name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A worker's session opened; the worker loads its base model now.
    Admitted {
        /// The session's name.
        worker: WorkerId,
        /// The worker's host and process, in words for people.
        name: String,
    },
    /// A worker's base model is in memory and its rehearsal is done.
    Loaded {
        /// The worker that has loaded.
        worker: WorkerId,
        /// The device that it computes on, in words for people.
        device: String,
    },
    /// The member set has changed.
    Generation {
        /// Version of the new member set.
        generation: Generation,
        /// How many members the set has.
        workers: usize,
    },
    /// The run holds until more workers come.
    Waiting {
        /// Workers that hold the committed state and do not drain.
        ready: usize,
        /// Workers that must be ready: `wait_workers` until this start's first step, then `min_workers`; 1 for the end.
        needed: usize,
    },
    /// A step has fewer micro-batches than the generation has members.
    Idle {
        /// The members that get no micro-batch.
        workers: Vec<WorkerId>,
        /// Number of micro-batches in a step.
        micro_batches: u32,
    },
    /// The members are of more than one device class.
    MixedDevices {
        /// Device classes of the members, sorted.
        classes: Vec<String>,
    },
    /// A worker's session is over; it does not count as evicted.
    Left {
        /// The worker that is gone.
        worker: WorkerId,
        /// Why the session is over, in words for people.
        reason: String,
    },
    /// A worker was not admitted or failed.
    Failed {
        /// The worker that was refused or that reported a failure.
        worker: WorkerId,
        /// The refusal that the worker was sent, or the failure that it reported.
        error: Error,
    },
    /// A worker was silent for its lease, or nothing moved while it loaded or synced: it is evicted.
    Silent {
        /// The worker that was not heard.
        worker: WorkerId,
    },
    /// A worker has been silent for `suspect`; it gets nothing more until it is heard.
    Suspect {
        /// The worker that is not heard.
        worker: WorkerId,
    },
    /// A live worker whose device does not finish a micro-batch in time: it is evicted.
    Hung {
        /// The worker whose device hangs.
        worker: WorkerId,
        /// The step of that micro-batch.
        step: Step,
        /// The oldest micro-batch that the worker was given and has not answered.
        micro_batch: MicroBatchId,
    },
    /// A live worker that does not finish the reduce that others have finished: it is evicted.
    HungInReduce {
        /// The worker that does not answer.
        worker: WorkerId,
        /// The step that is reduced.
        step: Step,
    },
    /// A worker is much slower than the typical one; it gets less work.
    Slow {
        /// The worker that is slow.
        worker: WorkerId,
        /// The worker's usual time for the step's largest micro-batch.
        #[serde(serialize_with = "seconds")]
        own: Duration,
        /// The median worker's usual time for the same micro-batch.
        #[serde(serialize_with = "seconds")]
        typical: Duration,
    },
    /// More workers hold the state than `max_workers` lets in.
    Spare {
        /// The workers that wait as spares.
        workers: Vec<WorkerId>,
        /// The configuration's `max_workers`.
        max_workers: usize,
    },
    /// A worker whose session broke has opened a new one.
    Returned {
        /// Name of the new session.
        worker: WorkerId,
        /// Name of the session that broke.
        before: WorkerId,
    },
    /// The coordinator is back and the same step goes on.
    Recovered {
        /// The committed step whose state the workers hold.
        step: Step,
        /// Number of members that the step goes on with.
        workers: usize,
        /// Micro-batches of the next step that the returned sums hold: nobody computes them again.
        credited: usize,
    },
    /// A worker asked to leave; it finishes its part first.
    Draining {
        /// The worker that drains.
        worker: WorkerId,
    },
    /// A drained worker was released, and nothing was lost with it.
    Drained {
        /// The worker that was released.
        worker: WorkerId,
    },
    /// A joiner could not take the state from its source; another source is tried.
    SyncAgain {
        /// The worker that joins.
        worker: WorkerId,
        /// What was wrong with the source or with what came of it, in words for people.
        reason: String,
    },
    /// A corrupt sum, slice or state, and whose it is.
    Corrupt {
        /// The worker that holds the corrupt numbers; it is evicted.
        worker: WorkerId,
        /// The step in work when it was noticed.
        step: Step,
        /// What is corrupt, in words for people.
        what: String,
    },
    /// The members report different states after a step; all hash and apply once more.
    StatesDiffer {
        /// The step that was applied.
        step: Step,
        /// Each member's name and its digest of the state.
        digests: Vec<String>,
    },
    /// Nothing moves on a worker in a reduce; data may move between others, so the reduce goes on.
    WaitsInReduce {
        /// The worker on which nothing moves.
        worker: WorkerId,
        /// The member whose sums or total that worker waits for, when known.
        waits_for: Option<WorkerId>,
        /// The step that is reduced.
        step: Step,
    },
    /// A reduce failed although all its members live; the same step is reduced again.
    ReduceAgain {
        /// The step that is reduced.
        step: Step,
        /// Why the reduce failed, in words for people.
        reason: String,
    },
    /// A step had values that are not finite: it was committed and applied nothing.
    Skipped {
        /// The step that applied nothing.
        step: Step,
        /// Length of the unbroken row of such steps that ends with this one.
        in_a_row: u64,
        /// The configuration's `max_skipped_steps`: a row of this length ends the run.
        most: u32,
    },
    /// A checkpoint could not be written; the run goes on.
    CheckpointFailed {
        /// The step whose state was to be written.
        step: Step,
        /// The worker that was to write it.
        writer: WorkerId,
        /// What went wrong with the write or the publication, in words for people.
        reason: String,
    },
    /// The adapter could not be brought to where loaders look; it is tried again.
    ExportFailed {
        /// What went wrong with the export, in words for people.
        reason: String,
    },
    /// A checkpoint does not hold what the ledger says; it is set aside.
    CheckpointDamaged {
        /// The step that the checkpoint was committed as.
        step: Step,
        /// What is wrong with the checkpoint, in words for people.
        reason: String,
    },
    /// The best state was on nobody's storage, and nobody holds it any more.
    BestLost {
        /// The step with the best evaluation.
        step: Step,
        /// The step of the state that the run goes back to.
        from: Step,
    },
    /// A replay came out differently where unlike devices took part.
    Forked {
        /// What came out differently: a step or an evaluation, in words for people.
        what: String,
        /// The last committed step before the fork: both courses share it.
        step: Step,
        /// Device classes that took part in either course, sorted.
        classes: Vec<String>,
    },
    /// A worker brought back a state that the run had gone back from: the run goes on from that state.
    GoesForward {
        /// The step of that state.
        step: Step,
    },
    /// No worker holds the state any more: the run goes on from storage.
    Rewound {
        /// The step of the state on storage that the run goes on from.
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
    /// Whether the notice tells of a member that was forced to leave: the ledger gets a line for it.
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

    /// Writes the sentences about faults; `Display` writes all others.
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

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}
