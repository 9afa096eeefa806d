//! What the engine hears and what it orders.

use std::collections::BTreeMap;

use shared::error::{Error, Result};
use shared::evaluation::{SetSums, Standing};
use shared::ids::{Generation, MicroBatchId, Step, Term, WorkerId};
use shared::numerics::LossScale;
use shared::wire::message::{Envelope, FileDigest, FromWorker, Hello, ToWorker};

use super::notice::Notice;
use super::work::Credited;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session opened with its first message.
    Opened {
        /// The name given to it.
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
    /// A checkpoint was published, or could not be.
    Published {
        /// Its step.
        step: Step,
        /// Where it lies now, and the digest of the state it holds.
        outcome: Result<(String, String)>,
    },
    /// Somebody asked the coordinator to end; the state is made safe first.
    Interrupt,
    /// Time has passed.
    Tick,
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
    /// The member set has changed: a coordinator that comes back waits for these.
    Members(Generation, Vec<WorkerId>),
    /// All files of a checkpoint are staged: publish it and answer `Published`.
    Publish {
        /// Its step.
        step: Step,
        /// Digest of the state it holds.
        state_digest: String,
        /// What the worker wrote.
        files: Vec<FileDigest>,
    },
    /// Nobody holds the state: the run goes on from this step, and repeats what came after.
    Rewind(Step),
    /// Tell people.
    Notice(Notice),
    /// Every step is committed and the last checkpoint is published.
    Complete(Step),
    /// The state is safe, end with exit code 6.
    Interrupted(Step),
    /// The run cannot go on.
    Fail(Error),
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
    /// Bytes each member sent to each peer since it joined.
    pub peer_bytes_sent: BTreeMap<WorkerId, BTreeMap<WorkerId, u64>>,
    /// The slowest member's time in reduce and in apply, microseconds.
    pub slowest_us: (u64, u64),
    /// Each member's time in compute, microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
}
