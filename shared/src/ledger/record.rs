//! What a line of the ledger says.
//!
//! Keeps: the order of fields is the order in the file, so equal records give equal bytes. A new
//! field is optional and left out when empty; a new kind raises [`FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::numbers::{hex_u64, text_i64};
use crate::ids::{Generation, MicroBatchId, RunId, Step, Term, WorkerId};

/// Version of the ledger's form.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// What is trained; always the first line.
    Run(Run),
    /// A coordinator took the lead.
    Term(Leader),
    /// A member set.
    Members(Members),
    /// A step is committed.
    Commit(Commit),
    /// The run goes on from an earlier state.
    Rewind(Rewind),
    /// A checkpoint has its name.
    Checkpoint(Checkpoint),
    /// A worker was forced to leave; for people.
    Evicted(Evicted),
    /// Every step is committed and the adapter is written.
    Complete(Complete),
}

/// What is trained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Version of the ledger's form.
    pub format: u32,
    /// Version of the program that began the run.
    pub version: String,
    /// The run.
    pub run_id: RunId,
    /// Digest over everything that decides the adapter.
    pub run_identity: String,
    /// What that digest was made of, readable.
    pub identity: BTreeMap<String, String>,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The step after which this ledger begins: 0, or that of a checkpoint from elsewhere.
    pub begins_after: Step,
    /// Where the first state came from, when not from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// A checkpoint of another run that this one begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    /// The run that wrote it.
    pub run_id: RunId,
    /// Its step in that run.
    pub step: Step,
    /// Digest of its state.
    pub state_digest: String,
    /// Optimizer state was taken over, not only the weights.
    pub optimizer_kept: bool,
    /// Where in the data this run begins.
    #[serde(default)]
    pub cursor: Policy,
    /// Where in the schedule of the learning rate it begins.
    #[serde(default)]
    pub schedule: Policy,
}

/// What a run does with something of its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It goes on where the parent stood.
    #[default]
    GoesOn,
    /// It begins anew.
    Restarts,
}

/// A coordinator that took the lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Version of the leadership: grows with every start.
    pub term: Term,
    /// Where workers reach it.
    pub address: String,
}

/// Who computes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Version of the member set.
    pub generation: Generation,
    /// All of them.
    pub workers: Vec<WorkerId>,
}

/// A committed step: what was credited, never what was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Which.
    pub step: Step,
    /// Under whose lead.
    pub term: Term,
    /// By which member set.
    pub generation: Generation,
    /// Index of its epoch, from 0.
    pub epoch: u64,
    /// Who computed what, in order of the micro-batches.
    pub micro_batches: Vec<Credit>,
    /// Target tokens of all its samples.
    pub target_tokens: u64,
    /// Loss summed over its targets, units of 2^-40.
    #[serde(with = "text_i64")]
    pub loss: i64,
    /// Bits of the gradient norm before clipping, an f64.
    #[serde(with = "hex_u64")]
    pub grad_norm_bits: u64,
    /// A value was not finite: nothing was applied.
    pub skipped: bool,
    /// Digest of adapter and optimizer state after it.
    pub state_digest: String,
}

/// A micro-batch that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// Index in its step, from 0.
    pub micro_batch: MicroBatchId,
    /// Whose result counts.
    pub worker: WorkerId,
    /// Fingerprint of its integers.
    #[serde(with = "hex_u64")]
    pub fingerprint: u64,
    /// Rows of the dataset, in order.
    pub samples: Vec<u32>,
}

/// The run goes on from another state; what was committed after it must come out again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewind {
    /// The step whose state it goes on from.
    pub step: Step,
    /// Digest of that state, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_digest: Option<String>,
    /// Why, for people.
    pub reason: String,
}

/// A checkpoint that has its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Its step.
    pub step: Step,
    /// Its folder in the output folder.
    pub folder: String,
    /// Digest of its state.
    pub state_digest: String,
}

/// A worker that was forced to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evicted {
    /// Who.
    pub worker: WorkerId,
    /// Why, for people.
    pub reason: String,
}

/// The end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    /// The last step.
    pub step: Step,
    /// SHA-256 of `adapter_model.safetensors`.
    pub adapter_sha256: String,
}
