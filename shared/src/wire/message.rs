//! What worker and coordinator say to each other, as domain types.

use std::collections::BTreeMap;

use crate::evaluation::{EvaluationSet, Prompts};
use crate::ids::{Generation, Identity, MicroBatchId, RunId, Slot, Step, WorkerId};
use crate::numerics::LossScale;

/// Version of the session protocol; both sides must speak the same.
pub const PROTOCOL: u32 = 7;

/// A message about a position of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<T> {
    /// Where the sender believes the run stands.
    pub identity: Identity,
    /// What is said about that position.
    pub body: T,
}

/// Worker to coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    /// First message of a session.
    Hello(Hello),
    /// The base model is verified and in memory.
    Loaded(Loaded),
    /// The state of a committed step is in memory; said again after every step while following.
    Ready {
        /// Committed step it belongs to.
        step: Step,
        /// Digest of the state that is in memory.
        state_digest: String,
    },
    /// One micro-batch is computed; its integers stay on the worker.
    Computed(Computed),
    /// Micro-batches that were withdrawn before they were begun.
    Skipped(Task, Vec<MicroBatchId>),
    /// The state asked for could not be had; another source may do.
    Unsynced {
        /// Reason of the failure, for people.
        reason: String,
    },
    /// The committed state was hashed again and the total, where there is one, applied again.
    Reapplied {
        /// Digest of the committed state, from its bytes.
        committed_digest: String,
        /// Digest of the state after the step, empty where nothing was applied.
        state_digest: String,
    },
    /// What the committed state hashes to.
    Proved {
        /// Committed step of the state that was hashed.
        step: Step,
        /// Digest of that state, from its bytes just now.
        state_digest: String,
    },
    /// The total was reduced and applied to the shadow copy.
    Applied(Applied),
    /// Files of a checkpoint lie in the staging folder, or the reason why not.
    CheckpointWritten {
        /// Step the checkpoint holds.
        step: Step,
        /// The files or what failed.
        outcome: Result<Vec<FileDigest>, String>,
    },
    /// The worker goes on its own will.
    Leaving {
        /// Reason of the leave, for people.
        reason: String,
        /// The worker stays until it is released: it takes no new micro-batches, and its sums still count.
        drains: bool,
    },
    /// A coded failure; the coordinator decides what follows.
    Failed(Failed),
    /// Fingerprints of the newest reduce by slice.
    Slices(SliceFingerprints),
    /// I am alive, and this is what has moved.
    Beat(Progress),
}

/// What moves on a worker, since its process began: counters that only grow. A deadline restarts when one of
/// those it is about has grown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Units of work that the device thread has finished: layers forward and backward, tokens, tensors.
    pub device: u64,
    /// Bytes of sums, totals and states sent to peers or received from them.
    pub moved: u64,
    /// Bytes of checkpoints written to storage or read from it.
    pub stored: u64,
}

/// Fingerprints of what a worker sent and of what arrived there in one reduce, cut into the members'
/// slices, by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceFingerprints {
    /// Fingerprints of the slices of the worker's own sum.
    pub sent: Vec<u64>,
    /// Fingerprints of the slices of the total as it arrived.
    pub received: Vec<u64>,
}

/// What a micro-batch is computed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// A training step: the integers of the micro-batch wait for credit.
    #[default]
    Train,
    /// Only its fingerprint is wanted: somebody else's integers are checked.
    Audit,
    /// Losses of the committed state without a gradient; its integers wait for credit.
    Evaluate,
}

impl Task {
    /// Whether its integers become part of a sum.
    #[must_use]
    pub fn counts(self) -> bool {
        self != Self::Audit
    }
}

/// What a worker holds whose session broke: with it the same step goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The run that the worker was a member of.
    pub run: RunId,
    /// Name of the worker in its last session, for people: its incarnation says who it is.
    pub worker: WorkerId,
    /// Committed step of the state in memory.
    pub step: Step,
    /// Digest of that state, empty when there is none.
    pub state_digest: String,
    /// What the sum is of.
    pub task: Task,
    /// Micro-batches of the next step that are in the sum, with their fingerprints.
    pub credited: BTreeMap<MicroBatchId, u64>,
    /// Digest of the shadow copy of the next step, empty when there is none.
    pub shadow_digest: String,
    /// What the worker computes with; nothing until its base model is loaded.
    pub loaded: Option<Loaded>,
    /// Earlier committed states that it still has, with the digests agreed on.
    pub retained: BTreeMap<Step, String>,
}

/// Who is asking to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Version of the worker's program.
    pub version: String,
    /// Version of the session protocol that the worker speaks.
    pub protocol: u32,
    /// Host and process, for people.
    pub name: String,
    /// The device asked for on the command line, empty when not given.
    pub device: String,
    /// Where peers reach it, `host:port`.
    pub peer_address: String,
    /// Drawn anew at every start of the process: a worker that comes back is found by it.
    pub incarnation: String,
    /// What the worker holds of the run, when its last session broke.
    pub resume: Option<Position>,
}

/// What a loaded worker computes with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Digest of its base model.
    pub base_digest: String,
    /// Fingerprint of what decides the bits of forward and backward.
    pub device_class: String,
    /// The device in use, such as `cuda:0`.
    pub device: String,
    /// What the largest micro-batches of the run took when they were tried.
    pub rehearsals: Vec<Rehearsal>,
}

/// A micro-batch that was computed before the worker took part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Tokens of the micro-batch, with padding.
    pub tokens: u64,
    /// Time that its computation took, microseconds.
    pub compute_us: u64,
}

/// The outcome of one micro-batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computed {
    /// Index of the micro-batch in its step, from 0.
    pub micro_batch: MicroBatchId,
    /// Fingerprint of the micro-batch's integers.
    pub fingerprint: u64,
    /// Time on the device thread from collating to integers, microseconds.
    pub compute_us: u64,
    /// What the micro-batch was computed for.
    pub task: Task,
}

/// A worker's new state, not yet committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Digest of the state after the step.
    pub state_digest: String,
    /// Fingerprint of the reduced total.
    pub total_fingerprint: u64,
    /// Loss summed over the step, units of 2^-40.
    pub loss: i64,
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Whether the step was skipped: a value was not finite or out of range.
    pub skipped: bool,
    /// Bytes handed to all peers together for this reduce.
    pub bytes_sent: u64,
    /// Time in reduce, microseconds.
    pub reduce_us: u64,
    /// Time in clip and optimizer, microseconds.
    pub apply_us: u64,
    /// Fingerprint of the sum that this worker brought.
    pub contributed_fingerprint: u64,
    /// What was summed up, where it was an evaluation: the state is the committed one.
    pub evaluation: Vec<i64>,
    /// The loss scale the step was computed with, in fp16.
    pub loss_scale: Option<LossScale>,
}

impl Applied {
    /// The step was skipped, and no smaller loss scale could have helped.
    #[must_use]
    pub fn is_non_finite(&self) -> bool {
        self.skipped && self.loss_scale.is_none_or(|scale| scale.is_least())
    }
}

/// A coded failure on the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The failure as a person would see it on the worker.
    pub error: crate::error::Error,
    /// The member to blame in a collective, when known.
    pub culprit: Option<WorkerId>,
    /// What ended with it.
    pub scope: FailureScope,
}

/// What a failure puts an end to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureScope {
    /// The worker's part in the run.
    Work,
    /// The all-reduce; the worker stays and can try again.
    Reduce,
    /// Nothing ends yet: nothing moves on this worker, and it goes on waiting.
    Nothing,
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileDigest {
    /// Name of the file inside the folder.
    pub name: String,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// Coordinator to worker.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// Admitted: load the model.
    Welcome(Welcome),
    /// Not admitted, or no longer a member.
    Refused(crate::error::Error),
    /// Bring the state to a committed step.
    Sync(Sync),
    /// The member set of this generation.
    Members(MemberChange),
    /// Micro-batches to compute.
    Assign(Task, Vec<MicroBatchId>),
    /// Micro-batches that are not needed from this worker any more.
    Withdraw(Task, Vec<MicroBatchId>),
    /// The workers disagree: hash the committed state, and apply the total of the step again where
    /// there is one.
    Reapply,
    /// Somebody who took the state from this worker got another one: hash it and say so.
    Prove,
    /// Earlier states to keep in memory until they are on storage; all others may go.
    Retain(Vec<Step>),
    /// The total is not the sum of what is credited: tell the fingerprints by slice.
    Explain,
    /// A draining worker may go.
    Release,
    /// Micro-batches that count as this worker's.
    Credit(Task, Vec<MicroBatchId>),
    /// Everything is credited: reduce.
    Reduce {
        /// What the sum is of.
        task: Task,
        /// Fingerprint the total must have.
        fingerprint: u64,
    },
    /// The shadow copy becomes the state.
    Commit {
        /// Digest of the new state, which all members agreed on.
        state_digest: String,
    },
    /// Write the committed state into a staging folder.
    WriteCheckpoint {
        /// Step whose state is written.
        step: Step,
        /// Staging folder, absolute.
        staging: String,
    },
    /// The run is complete.
    Finish {
        /// Last committed step.
        step: Step,
    },
    /// The coordinator was asked to stop: what the run needs to go on is on storage.
    Stopped {
        /// Last committed step.
        step: Step,
        /// Hold what is held, a coordinator of this run may be started again; otherwise leave.
        hold: bool,
    },
    /// Your message was about the past.
    Stale(Identity),
    /// I am alive.
    Beat,
}

/// All a worker needs to know about the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Name of the worker in the run.
    pub worker_id: String,
    /// The resolved configuration as JSON.
    pub config_json: String,
    /// Digest the base model must have.
    pub base_digest: String,
    /// Path of the prepared dataset on shared storage, absolute.
    pub dataset_path: String,
    /// Identity of the run.
    pub run_identity: String,
    /// Silence longer than this ends the session, milliseconds.
    pub lease_ms: u64,
    /// How long a worker holds what it has while the coordinator is away, milliseconds.
    pub ride_through_ms: u64,
    /// Both sides send something at least this often, milliseconds.
    pub beat_ms: u64,
    /// An all-reduce on which nothing moves for this long is told as stalled, milliseconds; the coordinator decides
    /// what follows.
    pub reduce_patience_ms: u64,
    /// The sums that [`Position`] named count; otherwise the worker forgets them.
    pub keep_sums: bool,
    /// What is evaluated during the run.
    pub evaluation_sets: Vec<EvaluationSet>,
    /// What is answered at each evaluation.
    pub prompts: Prompts,
}

/// Where to take the state from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Committed step to reach.
    pub step: Step,
    /// Source of the state: the seed, a checkpoint or a member.
    pub source: SyncSource,
    /// Digest the state must have, empty when not known.
    pub state_digest: String,
}

/// A source of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncSource {
    /// Drawn from the seed, or `init_adapter`.
    Initial,
    /// A verified checkpoint folder.
    Checkpoint(String),
    /// Another member's peer service.
    Peer(String),
}

/// A member set: whole, or what changed since an earlier one. Who stays moves up into the slots of those who
/// left, in order; who came stands behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// The generation whose set this changes; nothing where all members are listed.
    pub since: Option<Generation>,
    /// Workers of that generation that left since then.
    pub left: Vec<WorkerId>,
    /// All members by slot, or those who came.
    pub members: Vec<Member>,
}

/// A member of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the member in the run.
    pub worker: WorkerId,
    /// Place of the member in the member set, from 0.
    pub slot: Slot,
    /// Address of the member's peer service, `host:port`.
    pub peer_address: String,
}
