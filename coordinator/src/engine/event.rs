//! What the engine hears and what it orders.

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

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session opened with its first message.
    Opened {
        /// The name of this session: new, never derived from what the worker claims.
        worker: WorkerId,
        /// Its first message.
        hello: Hello,
    },
    /// A worker said something.
    Message {
        /// Who.
        worker: WorkerId,
        /// What.
        envelope: Envelope<FromWorker>,
    },
    /// A session broke or ended.
    Closed {
        /// Whose.
        worker: WorkerId,
        /// For people.
        reason: String,
    },
    /// Bytes of a checkpoint that is being published have moved.
    Publishing {
        /// Where its files lie: which try this is about.
        staging: PathBuf,
    },
    /// A checkpoint was published, or could not be.
    Published {
        /// Its step.
        step: Step,
        /// Where its files lay: which try this is the outcome of.
        staging: PathBuf,
        /// What lies on storage now.
        outcome: std::result::Result<Stored, PublishFailure>,
    },
    /// The coordinator has looked through a checkpoint.
    Verified {
        /// Its step.
        step: Step,
        /// Whether it holds the state that the ledger says.
        outcome: Result<()>,
    },
    /// The adapter lies where loaders look for it, or could not be brought there.
    Exported {
        /// The step it is of.
        result: Step,
        /// What happened.
        outcome: std::result::Result<(), ExportFailure>,
    },
    /// Somebody asked the coordinator to end; the state is made safe first.
    Interrupt,
    /// Time has passed.
    Tick,
}

/// A checkpoint that has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its step.
    pub step: Step,
    /// Its folder.
    pub folder: String,
    /// Digest of the state it holds, computed from its files.
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
    /// It cannot be written.
    Storage(Error),
}

/// The workers of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSet {
    /// Version of the set.
    pub generation: Generation,
    /// Their names, by slot.
    pub workers: Vec<WorkerId>,
    /// Their incarnations, by slot: a coordinator that comes back waits for these.
    pub incarnations: Vec<String>,
    /// What they compute on.
    pub device_classes: BTreeSet<String>,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Tell a worker.
    Send {
        /// Whom.
        to: WorkerId,
        /// What.
        message: Box<Envelope<ToWorker>>,
    },
    /// End a session.
    Disconnect(WorkerId),
    /// A step is committed: write it down before anybody is told.
    Commit(Box<Committed>),
    /// A committed state is evaluated: write it down before anybody is told.
    Evaluated(Box<Evaluated>),
    /// The member set has changed.
    Members(MemberSet),
    /// A member was forced to leave.
    Evicted(Evicted),
    /// All files of a checkpoint are staged: publish it and answer `Published`.
    Publish {
        /// Its step.
        step: Step,
        /// Digest of the state that it must hold.
        state_digest: String,
        /// Where the files lie.
        staging: PathBuf,
        /// What the worker wrote.
        files: Vec<FileDigest>,
    },
    /// Nothing will be published from this staging folder: it may go.
    Discard(PathBuf),
    /// The retention limit is passed: this checkpoint may go.
    Remove(Step),
    /// A checkpoint is on storage, with the state that was agreed on.
    Stored(Stored),
    /// A worker restored another state from this checkpoint than the recorded one: look through it and
    /// answer `Verified`.
    Verify(Stored),
    /// A checkpoint does not hold what the ledger says: it is kept under another name, and never used.
    SetAside {
        /// Which.
        step: Step,
        /// What is wrong with it, for people.
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
    /// Tell people.
    Notice(Notice),
    /// Every step is committed and the adapter is where loaders look.
    Complete(Step),
    /// The state is safe, end with exit code 6.
    Interrupted(Step),
    /// The run cannot go on.
    Fail(Error),
}

/// Where a run goes on, and what becomes of what came after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewind {
    /// The step whose state it goes on from.
    pub step: Step,
    /// Digest of that state, when it is known.
    pub state_digest: Option<String>,
    /// Device classes that took part, where a replay came out differently: what was committed after `step`
    /// is void. Empty everywhere else: then a replay must come out as before.
    pub forked: BTreeSet<String>,
}

/// An evaluation that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The step whose state it is of.
    pub step: Step,
    /// Under which leadership.
    pub term: Term,
    /// By which member set.
    pub generation: Generation,
    /// What each set came to.
    pub sums: Vec<SetSums>,
    /// The answers to the prompts, as they travel.
    pub answers: Vec<i64>,
    /// How things stand with it.
    pub standing: Standing,
    /// What counts, and whose it is.
    pub credits: BTreeMap<MicroBatchId, Credited>,
    /// Each member's time in compute, microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
    /// Since the state was committed or the last evaluation, microseconds.
    pub wall_us: u64,
}

/// A committed step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    /// Which.
    pub step: Step,
    /// Under which leadership.
    pub term: Term,
    /// By which member set.
    pub generation: Generation,
    /// Loss summed over its targets, units of 2^-40.
    pub loss: i64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// A value was not finite or out of range: nothing was applied.
    pub skipped: bool,
    /// The loss scale it was computed with, in fp16.
    pub loss_scale: Option<LossScale>,
    /// Digest of the state after it.
    pub state_digest: String,
    /// What counts, and whose it is.
    pub credits: BTreeMap<MicroBatchId, Credited>,
    /// Micro-batches credited to each member.
    pub contributions: BTreeMap<WorkerId, u32>,
    /// Credited micro-batches that were lost with their worker and computed again.
    pub recomputed: u32,
    /// Bytes each member handed to all its peers for this step.
    pub bytes_sent: BTreeMap<WorkerId, u64>,
    /// The slowest member's time in reduce and in apply, microseconds.
    pub slowest_us: (u64, u64),
    /// Each member's time in compute, microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
}
