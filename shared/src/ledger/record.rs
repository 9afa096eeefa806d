//! What a line of the ledger says.
//!
//! Keeps: the order of fields is the order in the file, so equal records give equal bytes. A new
//! field is optional and left out when empty: a version that does not know it refuses the line by its
//! name and misunderstands nothing. A new kind raises [`FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::numbers::{hex_u64, text_i64};
use crate::evaluation::SetSums;
use crate::ids::{Generation, MicroBatchId, RunId, Step, Term, WorkerId};
use crate::numerics::LossScale;

/// Newest version of the ledger's form: 2 has evaluations.
pub const FORMAT: u32 = 2;

/// The form a run is written in: without evaluations that of versions before them.
#[must_use]
pub const fn form(evaluates: bool) -> u32 {
    if evaluates { FORMAT } else { 1 }
}

/// One line of the ledger, told apart by its `kind`.
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
    /// A committed state is evaluated.
    Evaluation(Evaluation),
    /// The run goes on from an earlier state.
    Rewind(Rewind),
    /// A checkpoint has its name, or was set aside.
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
    /// Identifier of the run, drawn when it began.
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
    /// The run that wrote the checkpoint.
    pub run_id: RunId,
    /// Step of the checkpoint in that run.
    pub step: Step,
    /// Digest of the checkpoint's state.
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
    /// The run goes on where its parent stood.
    #[default]
    GoesOn,
    /// The run begins anew.
    Restarts,
}

/// A coordinator that took the lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leader {
    /// Version of the leadership: grows with every start.
    pub term: Term,
    /// Address at which workers reach the coordinator.
    pub address: String,
}

/// The member set that computes from this line on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Version of the member set.
    pub generation: Generation,
    /// All workers of the set.
    pub workers: Vec<WorkerId>,
    /// Incarnations of the workers' processes, by which those that come back are found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incarnations: Vec<String>,
    /// What they compute on, each class once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device_classes: Vec<String>,
}

/// A committed step: what was credited, never what was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Optimizer step that was committed, from 1.
    pub step: Step,
    /// Term of the coordinator that committed the step.
    pub term: Term,
    /// Generation whose members computed the step.
    pub generation: Generation,
    /// Index of the step's epoch, from 0.
    pub epoch: u64,
    /// Credits of the step: who computed what, in order of the micro-batches.
    pub micro_batches: Vec<Credit>,
    /// Units of all its samples that have a loss: its divisor. Target tokens, as ledgers of earlier versions say.
    #[serde(alias = "target_tokens")]
    pub loss_units: u64,
    /// Loss summed over its targets, units of 2^-40.
    #[serde(with = "text_i64")]
    pub loss: i64,
    /// Bits of the gradient norm before clipping, an f64.
    #[serde(with = "hex_u64")]
    pub grad_norm_bits: u64,
    /// A value was not finite or out of range: nothing was applied.
    pub skipped: bool,
    /// Digest of adapter and optimizer state after it.
    pub state_digest: String,
    /// The loss scale it was computed with, in fp16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
}

impl Commit {
    /// Whether the step was skipped, and no smaller loss scale could have helped.
    #[must_use]
    pub fn is_non_finite(&self) -> bool {
        self.skipped && self.loss_scale.is_none_or(|scale| scale.is_least())
    }
}

/// A micro-batch that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// Index in its step, from 0.
    pub micro_batch: MicroBatchId,
    /// Worker whose result counts.
    pub worker: WorkerId,
    /// Fingerprint of the micro-batch's integers.
    #[serde(with = "hex_u64")]
    pub fingerprint: u64,
    /// Rows of the dataset, in order.
    pub samples: Vec<u32>,
}

/// An evaluation of a committed state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The step whose state it is of: the newest committed one.
    pub step: Step,
    /// Term of the coordinator that led the evaluation.
    pub term: Term,
    /// Generation whose members computed the evaluation.
    pub generation: Generation,
    /// Credits of the evaluation: who computed what, in order of the micro-batches.
    pub micro_batches: Vec<EvaluationCredit>,
    /// What each set came to; the first one decides.
    pub sets: Vec<EvaluatedSet>,
    /// The best step so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Step>,
    /// Evaluations in a row that were not better.
    pub without_improvement: u32,
    /// Patience is over: the run ends with this step.
    pub stops: bool,
}

/// A micro-batch of an evaluation that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationCredit {
    /// Index in the evaluation, from 0.
    pub micro_batch: MicroBatchId,
    /// Worker whose result counts.
    pub worker: WorkerId,
    /// Fingerprint of the micro-batch's integers.
    #[serde(with = "hex_u64")]
    pub fingerprint: u64,
}

/// What a set came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatedSet {
    /// Name of the evaluation set.
    pub name: String,
    /// Cross entropies of all targets, units of 2^-32.
    #[serde(with = "text_i64")]
    pub loss: i64,
    /// Each sample's mean, summed, units of 2^-32.
    #[serde(with = "text_i64")]
    pub sample_loss: i64,
    /// Number of target tokens that `loss` is summed over.
    pub targets: i64,
    /// Number of samples with at least one target token.
    pub samples: i64,
    /// Targets that are the most probable token.
    pub right: i64,
    /// Samples whose every target is the most probable token.
    pub verbatim: i64,
    /// Losses that were not finite or did not fit.
    pub overflows: i64,
}

impl EvaluatedSet {
    /// A set's sums under its name.
    #[must_use]
    pub fn new(name: &str, sums: &SetSums) -> Self {
        Self {
            name: name.to_owned(),
            loss: sums.loss,
            sample_loss: sums.sample_loss,
            targets: sums.targets,
            samples: sums.samples,
            right: sums.correct,
            verbatim: sums.exact_matches,
            overflows: sums.overflows,
        }
    }

    /// The integers of the set without its name, as an evaluation counts them.
    #[must_use]
    pub fn sums(&self) -> SetSums {
        SetSums {
            loss: self.loss,
            sample_loss: self.sample_loss,
            targets: self.targets,
            samples: self.samples,
            correct: self.right,
            exact_matches: self.verbatim,
            overflows: self.overflows,
        }
    }
}

/// The run goes on from another state; what was committed after it must come out again, or is void.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewind {
    /// The step whose state it goes on from.
    pub step: Step,
    /// Digest of that state, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_digest: Option<String>,
    /// Reason of the rewind, for people.
    pub reason: String,
    /// A fork: the device classes that took part, where a replay came out differently. What was
    /// committed after `step` is void. Empty everywhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forked: Vec<String>,
}

/// A checkpoint that has its name, or lost it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Committed step whose state the checkpoint holds.
    pub step: Step,
    /// Folder of the checkpoint, relative to the output folder.
    pub folder: String,
    /// Digest of the state that the checkpoint holds.
    pub state_digest: String,
    /// Why the checkpoint has its name no more, for people: it was found damaged, or is of a course that the run has
    /// left. `folder` is then where it lies now. Absent in every other line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

impl Checkpoint {
    /// That a checkpoint was set aside; of a reason of several lines, one is made.
    #[must_use]
    pub fn set_aside(step: Step, folder: String, state_digest: String, reason: &str) -> Self {
        let reason: Vec<_> = reason.lines().map(str::trim).collect();
        Self {
            step,
            folder,
            state_digest,
            set_aside: Some(reason.join(", ")),
        }
    }
}

/// A worker that was forced to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evicted {
    /// The worker that was evicted.
    pub worker: WorkerId,
    /// Reason of the eviction, for people.
    pub reason: String,
}

/// End of the run: its last step, and the adapter it left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Complete {
    /// Last step of the run.
    pub step: Step,
    /// SHA-256 of `adapter_model.safetensors`, hexadecimal.
    pub adapter_sha256: String,
}
