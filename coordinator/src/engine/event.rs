//! The engine's events, which are all its input, and its commands, which are all its output.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shared::error::{Error, Result};
use shared::evaluation::{SetSums, Standing};
use shared::ids::{Generation, MicroBatchId, Step, Term, WorkerId};
use shared::ledger::Evicted;
use shared::numerics::LossScale;
use shared::wire::message::{Envelope, FileDigest, FromWorker, Hello, ToWorker};

use super::notice::Notice;
use super::work::Credited;

/// What the driver reports to the engine; everything that the engine knows of the world comes as one of these.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session opened with its first message.
    Opened {
        /// The name of this session: new, never derived from what the worker claims.
        worker: WorkerId,
        /// The worker's first message: its version, its device, and what it holds of the run.
        hello: Hello,
    },
    /// A worker said something.
    Message {
        /// The session on which the message came.
        worker: WorkerId,
        /// The message, with the run, term, generation, step and attempt that the worker claims for it.
        envelope: Envelope<FromWorker>,
    },
    /// A session broke or ended.
    Closed {
        /// The session that ended.
        worker: WorkerId,
        /// Why it ended, in words for people; decides nothing.
        reason: String,
    },
    /// Bytes of a checkpoint that is being published have moved.
    Publishing {
        /// Staging folder of the publication: tells one try to write a step's checkpoint from another.
        staging: PathBuf,
    },
    /// A checkpoint was published, or could not be.
    Published {
        /// The step whose state is in the checkpoint.
        step: Step,
        /// Staging folder that the files came from: tells which try succeeded or failed.
        staging: PathBuf,
        /// The checkpoint as it is on storage now, or why it is not.
        outcome: std::result::Result<StoredCheckpoint, PublishFailure>,
    },
    /// The coordinator has read a checkpoint whole, as [`Command::Verify`] asked.
    Verified {
        /// The step that the checkpoint was committed as.
        step: Step,
        /// An error where the checkpoint does not hold the state that the ledger says.
        outcome: Result<()>,
    },
    /// The adapter is where loaders look for it, or could not be brought there.
    Exported {
        /// The step whose adapter it is.
        result: Step,
        /// Nothing, or why the adapter is not there.
        outcome: std::result::Result<(), ExportFailure>,
    },
    /// Somebody asked the coordinator to end; the state is made safe first.
    Interrupt,
    /// Time has passed.
    Tick,
}

/// A checkpoint that has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The committed step whose state it holds.
    pub step: Step,
    /// Path of the checkpoint's folder, as workers are told to open it.
    pub folder: String,
    /// Digest of the state in the checkpoint, computed from its files when it was published.
    pub state_digest: String,
}

/// Why staged files did not become a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum PublishFailure {
    /// The files are those that the writer wrote, and do not hold the state that the members agreed on.
    Content(Error),
    /// The files cannot be read, are not those that the writer wrote, or cannot get their name.
    Storage(Error),
}

/// Why the adapter is not where loaders look for it.
#[derive(Clone, Debug, PartialEq)]
pub enum ExportFailure {
    /// A checkpoint does not hold what the ledger says.
    Checkpoint(Step, Error),
    /// The adapter cannot be written there, or a checkpoint cannot be read now.
    Storage(Error),
}

/// The workers of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSet {
    /// Version of the set.
    pub generation: Generation,
    /// Session names of the members, by slot.
    pub workers: Vec<WorkerId>,
    /// Incarnations of the members, by slot: a coordinator that is started again waits for these processes.
    pub incarnations: Vec<String>,
    /// Device classes that the members compute on.
    pub device_classes: BTreeSet<String>,
}

/// What the driver must carry out, in the order in which the engine returns it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A message for one worker.
    Send {
        /// The session that the message goes to.
        to: WorkerId,
        /// The message, with the step and attempt that it is about.
        message: Box<Envelope<ToWorker>>,
    },
    /// End a session.
    Disconnect(WorkerId),
    /// A step is committed: the record must be written before any worker is told.
    Commit(Box<Committed>),
    /// A committed state is evaluated: the record must be written before any later command.
    Evaluated(Box<Evaluated>),
    /// The member set has changed.
    Members(MemberSet),
    /// A member was forced to leave.
    Evicted(Evicted),
    /// All files of a checkpoint are staged: publish it and answer `Published`.
    Publish {
        /// The committed step that the files are of.
        step: Step,
        /// Digest that the state in the files must have, as the members agreed on it.
        state_digest: String,
        /// Staging folder of this try, into which the writer put the files.
        staging: PathBuf,
        /// Names, sizes and digests of the files, as the writer reports them.
        files: Vec<FileDigest>,
    },
    /// Nothing will be published from this staging folder: it may go.
    Discard(PathBuf),
    /// The retention limit is passed: this checkpoint may go.
    Remove(Step),
    /// A checkpoint is on storage, with the state that was agreed on.
    Stored(StoredCheckpoint),
    /// A worker restored another state from this checkpoint than the recorded one: look through it and
    /// answer `Verified`.
    Verify(StoredCheckpoint),
    /// A checkpoint does not hold what the ledger says: it is kept under another name, and never used.
    SetAside {
        /// The step that the checkpoint was committed as.
        step: Step,
        /// What is wrong with the checkpoint, in words for people.
        reason: String,
    },
    /// Bring the adapter of `result` to where loaders look, with the history of `last`, and answer
    /// `Exported`.
    Export {
        /// The step whose adapter is the result.
        result: Step,
        /// The last committed step.
        last: Step,
    },
    /// The run goes on from this step.
    Rewind(Rewind),
    /// A reason for the operator's log; orders nothing.
    Notice(Notice),
    /// Every step is committed and the adapter is where loaders look.
    Complete(Step),
    /// The state is safe, end with exit code 6.
    Interrupted(Step),
    /// The run cannot go on.
    Fail(Error),
}

/// The committed step that a run goes on from, and what becomes of the steps after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewind {
    /// The step whose state the run goes on from.
    pub step: Step,
    /// Digest of that state; `None` only for one from the seed that no worker has hashed yet.
    pub state_digest: Option<String>,
    /// Device classes that took part, where a replay came out differently: what was committed after `step`
    /// is void. Empty everywhere else: then a replay must come out as before.
    pub forked: BTreeSet<String>,
}

/// An evaluation that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The step whose committed state was evaluated.
    pub step: Step,
    /// Term of the coordinator that led it.
    pub term: Term,
    /// Generation of the members that computed it.
    pub generation: Generation,
    /// Sums of each evaluation set, in the order of the sets.
    pub sums: Vec<SetSums>,
    /// The model's answers to the prompts, encoded as the integers that the members reduce.
    pub answers: Vec<i64>,
    /// Best step, patience used and whether the run stops, with this evaluation counted.
    pub standing: Standing,
    /// The evaluation's micro-batches, each with the worker whose result counts.
    pub credits: BTreeMap<MicroBatchId, Credited>,
    /// Each member's time in compute, in microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
    /// Time since the evaluated state was committed, or since this coordinator's start, in microseconds.
    pub wall_us: u64,
}

/// A committed step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// The step's number, from 1.
    pub step: Step,
    /// Term of the coordinator that led it.
    pub term: Term,
    /// Generation of the members that agreed on it.
    pub generation: Generation,
    /// Loss summed over the step's target tokens, in units of 2^-40.
    pub loss: i64,
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Whether a value was not finite or out of range: then nothing was applied.
    pub skipped: bool,
    /// The loss scale that the gradients were computed with; `None` outside fp16.
    pub loss_scale: Option<LossScale>,
    /// Digest of the state after the step, equal on all members.
    pub state_digest: String,
    /// The step's micro-batches, each with the worker whose result counts.
    pub credits: BTreeMap<MicroBatchId, Credited>,
    /// Number of micro-batches credited to each member.
    pub contributions: BTreeMap<WorkerId, u32>,
    /// Credited micro-batches that were lost with their worker and computed again.
    pub recomputed: u32,
    /// Bytes that each member sent to all its peers in the step's reduce.
    pub bytes_sent: BTreeMap<WorkerId, u64>,
    /// The slowest member's time in reduce, in microseconds.
    pub slowest_reduce_us: u64,
    /// The slowest member's time in apply, in microseconds.
    pub slowest_apply_us: u64,
    /// Each member's time in compute, in microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
}
