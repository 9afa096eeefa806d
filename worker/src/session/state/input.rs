//! What a session hears and what it orders.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::error::Error;
use shared::ids::{Identity, MicroBatchId, Slot, Step};
use shared::wire::message::{
    Applied, Computed, Envelope, Failed, FileDigest, FromWorker, Loaded, Member, Progress,
    SliceFingerprints, Sync, Task, ToWorker, Welcome,
};

/// What the session hears.
#[derive(Debug)]
pub enum Input {
    /// A stream to the coordinator is open.
    Connected,
    /// The coordinator said something.
    Coordinator(Envelope<ToWorker>),
    /// The stream broke, or could not be opened.
    Lost(String),
    /// The base model is in memory.
    Loaded(Loaded),
    /// The state is at a committed step: taken from a source, or followed there.
    Synced {
        /// Committed step that the state is at.
        step: Step,
        /// Digest of the state at that step.
        state_digest: String,
    },
    /// The source of the state failed.
    SyncFailed(String),
    /// The shadow copy has become the state.
    Committed(Step),
    /// A micro-batch is computed.
    Computed {
        /// Where the run stood when it was assigned.
        identity: Identity,
        /// Outcome of the micro-batch, as the coordinator will hear it.
        result: Computed,
    },
    /// Tasks that were withdrawn before they were begun.
    Skipped {
        /// Step that the micro-batches belong to.
        step: Step,
        /// What the micro-batches were to be computed for.
        task: Task,
        /// The micro-batches that were withdrawn, by their index in the step.
        micro_batches: Vec<MicroBatchId>,
    },
    /// The total is reduced and applied to the shadow copy.
    Applied {
        /// The reduce it belongs to.
        identity: Identity,
        /// Outcome of the reduce and the update, as the coordinator will hear it.
        report: Applied,
    },
    /// The committed state is hashed.
    Proved {
        /// Committed step of the state that was hashed.
        step: Step,
        /// Digest of that state, from its bytes.
        state_digest: String,
    },
    /// The newest reduce is told by slice.
    Slices {
        /// The reduce it belongs to.
        identity: Identity,
        /// Fingerprints of what was sent and of what arrived.
        slices: SliceFingerprints,
    },
    /// Earlier states that are held now, with their digests: all of them.
    Retained(BTreeMap<Step, String>),
    /// The committed state is hashed and the total applied once more.
    Reapplied {
        /// The reduce it belongs to.
        identity: Identity,
        /// Digest of the committed state, from its bytes.
        committed_digest: String,
        /// Digest of the shadow copy, empty when nothing was applied.
        state_digest: String,
    },
    /// The all-reduce failed, or nothing moves in it as far as this worker sees; the worker itself is fine.
    ReduceFailed {
        /// The reduce it belongs to.
        identity: Identity,
        /// Why, because of whom, and whether the all-reduce ended with it.
        failed: Failed,
    },
    /// A checkpoint is staged, or not.
    Staged {
        /// Committed step whose state was to be staged.
        step: Step,
        /// The files, or why not.
        outcome: Result<Vec<FileDigest>, String>,
    },
    /// Loading, syncing or computing failed: this worker cannot go on.
    Broken(Error),
    /// Somebody asked the worker to leave.
    Drain,
    /// Time has passed, and this has moved since the process began.
    Tick(Progress),
}

/// What has to be done.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Open a stream to the coordinator; what comes of it is heard as `Connected` or `Lost`.
    Open {
        /// The pause before it is tried.
        after: Duration,
    },
    /// Say this to the coordinator.
    Say(Box<Envelope<FromWorker>>),
    /// Verify and load the base model.
    Load(Box<Welcome>),
    /// Time without movement after which an all-reduce is told as stalled.
    Patience(Duration),
    /// The all-reduce in flight is of no use any more.
    Abandon,
    /// Bring the state to a committed step.
    Sync(Identity, Sync),
    /// Follow no peer any more.
    Unfollow,
    /// Connect to the members of a generation; a reduce in flight is void.
    Connect {
        /// Run, term and generation that the members are of.
        identity: Identity,
        /// All members, in the order of their slots.
        members: Vec<Member>,
        /// Slot of this worker among the members.
        slot: Slot,
    },
    /// Compute micro-batches, in order.
    Compute {
        /// The step they belong to.
        identity: Identity,
        /// What the micro-batches are computed for.
        task: Task,
        /// The micro-batches to compute, by their index in the step.
        micro_batches: Vec<MicroBatchId>,
    },
    /// Do not begin these; forget their integers.
    Withdraw {
        /// Step that the micro-batches belong to.
        step: Step,
        /// What the micro-batches were to be computed for.
        task: Task,
        /// The micro-batches to leave, by their index in the step.
        micro_batches: Vec<MicroBatchId>,
    },
    /// Move the integers of micro-batches into the sum.
    Credit(Task, Vec<MicroBatchId>),
    /// Forget everything of the step in work.
    Forget,
    /// Reduce the sum with the others; a step's total is applied to the shadow copy.
    Reduce {
        /// Step and attempt of the reduce, and the generation it is among.
        identity: Identity,
        /// What the sum is of.
        task: Task,
        /// Number of members that take part.
        world_size: usize,
    },
    /// Hash the committed state and apply the total once more.
    Reapply(Identity),
    /// Hash the committed state.
    Prove,
    /// Tell the fingerprints of the newest reduce by slice.
    Explain(Identity),
    /// Keep the states of these steps beside the newest; all others may go.
    Retain(Vec<Step>),
    /// The shadow copy becomes the state.
    Commit(Step),
    /// Stage the committed state.
    Stage {
        /// Committed step whose state is written.
        step: Step,
        /// Staging folder, absolute, as the coordinator named it.
        staging: String,
    },
    /// The session is over.
    End(Ending),
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The run is complete.
    Complete(Step),
    /// Left on request: what this worker held is safe elsewhere, or it never held anything.
    Drained,
    /// The coordinator was stopped on purpose after this step, which is on storage.
    Stopped(Step),
    /// The session ended with an error.
    Failed(Error),
}

impl Ending {
    /// How the session ended, in words for people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Complete(step) => format!("the run is complete after step {step}"),
            Self::Stopped(step) => {
                format!("the run was stopped, the state of step {step} is on storage")
            }
            Self::Drained => "left on request, the run goes on".into(),
            Self::Failed(error) => format!("the session ended: {error}"),
        }
    }
}
