//! What happens in a run and everything that tells of it: curves, trainer states, lines on the terminal, a progress bar
//! and a summary.
//!
//! In: a run's events ([`RunEvent`]). Out: `trainer_state.json` with `log_history` ([`TrainerState`]),
//! `metrics.jsonl` ([`MetricsLog`]), TensorBoard events ([`EventFile`]), the answers to fixed prompts ([`Answers`]),
//! the terminal and the JSON event stream ([`Reporter`]), the same events in `logs/cluster.jsonl` ([`ClusterLog`]);
//! append-only logs without partial writes ([`AppendLog`]).
//! Keeps: `log_history` depends on the committed numbers alone, never on workers, clocks or restarts. Not here:
//! deciding what is committed, writing checkpoints.

mod answers;
mod append_log;
mod evaluation;
mod event;
mod json_lines;
mod metrics;
mod number;
mod progress;
mod record;
mod reporter;
mod sentinel;
mod summary;
mod tensorboard;
mod trainer_state;

pub use answers::Answers;
pub use append_log::AppendLog;
pub use evaluation::EvaluationEntry;
pub use event::{
    CompleteEvent, CoordinatorTraffic, EvaluationEvent, EventSink, NoticeEvent, RunEvent, StepEvent,
};
pub use json_lines::ClusterLog;
pub use metrics::MetricsLog;
pub use record::StepRecord;
pub use reporter::{OutputFormat, Reporter};
pub use sentinel::{Alarm, Sentinel, Sign};
pub use summary::Summary;
pub use tensorboard::EventFile;
pub use trainer_state::{HistoryEntry, LogEntry, TrainerState};
