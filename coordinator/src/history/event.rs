//! What happens in a run: one serialisable type that everything which tells of a run listens to.
//!
//! In: what the driver makes of the engine's commands. Out: to each [`EventSink`] the same value. As JSON an event is
//! one object with its name under `event`: a line of `--output json` and of `logs/cluster.jsonl`.
//! Keeps: an event holds everything that any sink needs, so that no sink asks the engine or measures anything itself.

use std::collections::BTreeMap;

use serde::Serialize;
use shared::error::{Code, Error, Result};
use shared::ids::{Generation, Step, Term, WorkerId};
use shared::ledger;

use super::evaluation::EvaluationEntry;
use super::number;
use super::record::StepRecord;
use super::sentinel::Alarm;
use super::summary::Summary;
use crate::engine::Notice;

/// Something that happened in a run, in the order in which it became true.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run's history is open; its steps follow.
    Started {
        /// Steps of the whole run.
        total_steps: u64,
        /// The newest committed step, 0 for a new run.
        step: Step,
        /// Number of steps between two lines for people.
        logging_steps: u64,
    },
    /// Workers can join.
    Listening {
        /// Address at which workers reach the coordinator.
        address: String,
        /// Join token, where joining takes one.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// A worker has loaded the base model and tried its largest micro-batch.
    WorkerJoined {
        /// The worker that has loaded.
        worker: WorkerId,
        /// Number of workers that have loaded, this one included.
        workers: usize,
    },
    /// The member set has changed.
    Members(ledger::Members),
    /// A step is committed.
    Step(Box<StepEvent>),
    /// A committed state is evaluated.
    Evaluation(Box<EvaluationEvent>),
    /// The evaluations show a sign of overfitting.
    Overfitting {
        /// The sign, with its numbers.
        #[serde(flatten)]
        alarm: Alarm,
        /// The alarm in words for people.
        text: String,
    },
    /// A member was forced to leave.
    Evicted(ledger::Evicted),
    /// A checkpoint was verified and has its name.
    Checkpoint {
        /// The step whose state it holds.
        step: Step,
        /// Absolute path of its folder.
        path: String,
        /// Digest of the state in it.
        state_digest: String,
    },
    /// A checkpoint is not used any more: it is damaged, or of a course that the run has left.
    CheckpointSetAside(ledger::Checkpoint),
    /// The run goes on from an earlier or a later state.
    Rewind(ledger::Rewind),
    /// A line that people should know.
    Notice(NoticeEvent),
    /// Every step is committed and the adapter is where loaders look.
    Complete(Box<CompleteEvent>),
    /// The run ends with an error.
    Error(Error),
}

impl RunEvent {
    /// A notice that is text alone.
    #[must_use]
    pub fn notice(text: impl Into<String>) -> Self {
        Self::Notice(NoticeEvent {
            text: text.into(),
            code: None,
            about: None,
        })
    }

    /// A failure that the run goes on after.
    #[must_use]
    pub fn complaint(error: &Error) -> Self {
        Self::Notice(NoticeEvent {
            text: format!("the run goes on: {}", shared::error::render(error)),
            code: Some(error.code),
            about: None,
        })
    }
}

/// A committed step: its figures, who computed it and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct StepEvent {
    /// The figures that people are shown.
    #[serde(flatten)]
    pub record: StepRecord,
    /// Digest of the state after the step, equal on all members.
    pub state_digest: String,
    /// Number of micro-batches credited to each member.
    pub micro_batches: BTreeMap<WorkerId, u32>,
    /// Credited micro-batches that were lost with their worker and computed again.
    pub recomputed: u32,
    /// Generation of the members that agreed on the step.
    pub generation: Generation,
    /// Term of the coordinator that led it.
    pub term: Term,
    /// Each member's time in compute, in microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
    /// The slowest member's time in reduce, in microseconds.
    pub reduce_us: u64,
    /// The slowest member's time in apply, in microseconds.
    pub apply_us: u64,
    /// Bytes that each member sent to all its peers in the step's reduce.
    pub bytes_sent: BTreeMap<WorkerId, u64>,
    /// Bytes that the coordinator has received and sent since its start.
    #[serde(flatten)]
    pub traffic: CoordinatorTraffic,
    /// The step with its credits and samples, as the ledger has it.
    #[serde(skip)]
    pub commit: ledger::Commit,
}

/// An evaluation of a committed state: its figures and what it cost.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationEvent {
    /// The step with the best evaluation so far, this one included.
    pub best_step: Option<Step>,
    /// The deciding loss of that step, in nats.
    #[serde(with = "number::optional", skip_serializing_if = "Option::is_none")]
    pub best_loss: Option<f64>,
    /// Whether patience is over, so that the run ends with this step.
    pub stops: bool,
    /// The figures that people are shown.
    #[serde(flatten)]
    pub entry: EvaluationEntry,
    /// Term of the coordinator that led it.
    pub term: Term,
    /// Generation of the members that computed it.
    pub generation: Generation,
    /// Each member's time in compute, in microseconds.
    pub compute_us: BTreeMap<WorkerId, u64>,
    /// Time since the evaluated state was committed, or since this coordinator's start, in microseconds.
    pub wall_us: u64,
    /// The evaluation with its credits, as the ledger has it.
    #[serde(skip)]
    pub evaluation: ledger::Evaluation,
}

impl EvaluationEvent {
    /// The step with the best evaluation so far, with its deciding loss.
    #[must_use]
    pub fn best(&self) -> Option<(Step, f64)> {
        self.best_step.zip(self.best_loss)
    }
}

/// A line that people should know, and what it is about where a program can tell.
#[derive(Clone, Debug, Serialize)]
pub struct NoticeEvent {
    /// The line, in words for people.
    pub text: String,
    /// Code of the error that the line tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What has changed in the cluster, with its values.
    #[serde(flatten)]
    pub about: Option<Notice>,
}

/// The end of a run whose every step is committed.
#[derive(Clone, Debug, Serialize)]
pub struct CompleteEvent {
    /// The last step.
    pub step: Step,
    /// Loss of this process's last step that was not skipped, in nats.
    #[serde(with = "number::optional")]
    pub loss: Option<f64>,
    /// Folder of the result.
    pub output_dir: String,
    /// Target tokens of the steps of this process.
    pub num_tokens: u64,
    /// Time from this process's start of the run, in seconds.
    pub seconds: f64,
    /// `num_tokens / seconds`.
    pub tokens_per_second: f64,
    /// SHA-256 of `adapter_model.safetensors`, hexadecimal.
    pub adapter_sha256: String,
    /// Bytes that the coordinator has received and sent since its start.
    #[serde(flatten)]
    pub traffic: CoordinatorTraffic,
    /// What this process has counted of the run.
    #[serde(skip)]
    pub summary: Summary,
}

/// Bytes on the coordinator's sessions since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CoordinatorTraffic {
    /// Bytes of all messages from workers.
    pub coordinator_bytes_received: u64,
    /// Bytes of all messages to workers.
    pub coordinator_bytes_sent: u64,
}

impl From<(u64, u64)> for CoordinatorTraffic {
    fn from((received, sent): (u64, u64)) -> Self {
        Self {
            coordinator_bytes_received: received,
            coordinator_bytes_sent: sent,
        }
    }
}

/// What listens to a run's events and tells of them: a file, a stream, a terminal.
pub trait EventSink: Send {
    /// Takes an event; a sink passes over events that it does not tell of.
    ///
    /// # Errors
    /// Why the event could not be told. Whether the run can go on is the caller's decision.
    fn take(&mut self, event: &RunEvent) -> Result<()>;
}
