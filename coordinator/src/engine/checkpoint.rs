//! When a checkpoint is written, by whom, and what follows.
//!
//! The training goes on while it is written. A failure is said and the next one tried; only the last
//! one is tried again until its budget is spent, because the run ends with it.

use std::time::Duration;

use shared::error::{Code, Error, Result, render};
use shared::ids::{Step, WorkerId};
use shared::wire::message::{FileDigest, SyncSource, ToWorker};

use super::event::Command;
use super::notice::Notice;
use super::state::Phase;
use super::{Engine, Restorable};

/// Tries at the last checkpoint, and the pause between them.
const LAST_TRIES: u32 = 20;
const LAST_PAUSE: Duration = Duration::from_secs(3);

/// A checkpoint on its way to storage.
#[derive(Debug)]
pub(super) struct Writing {
    step: Step,
    writer: WorkerId,
    state_digest: String,
    staged: bool,
    since: Duration,
}

impl Engine {
    /// Orders the first member to stage the committed state.
    pub(super) fn write_checkpoint(&mut self) {
        let step = self.committed;
        if self.published == Some(step) {
            self.after_last_checkpoint();
            return;
        }
        let holder = self.working_ids().into_iter().next().or_else(|| {
            self.members
                .iter()
                .find(|(_, m)| m.has_state(step))
                .map(|(id, _)| id.clone())
        });
        let (Some(writer), Some(state_digest)) = (holder, self.state_digest.clone()) else {
            self.phase = Phase::Gathering;
            return;
        };
        let staging = self.options.staging.join(format!("checkpoint-{step}"));
        let staging = staging.display().to_string();
        self.writing = Some(Writing {
            step,
            writer: writer.clone(),
            state_digest,
            staged: false,
            since: self.now,
        });
        self.send(&writer, ToWorker::WriteCheckpoint { step, staging });
    }

    /// A checkpoint that is due is never left out: the next one, and the end, wait for it.
    pub(super) fn hold_for_checkpoint(&self) -> bool {
        let next = self.committed.0 + 1;
        let due_again = next.is_multiple_of(self.options.save_steps.max(1));
        let best = self.best_to_write.is_some();
        self.writing.is_some() && (due_again || self.ends() || best || self.ends_soon())
    }

    /// The run ends as soon as its state is safe.
    fn ends_soon(&self) -> bool {
        self.interrupted || self.failing.is_some()
    }

    /// Whether the committed state is to be saved, and not by the end itself.
    pub(super) fn save_due(&self) -> bool {
        let due = self
            .committed
            .0
            .is_multiple_of(self.options.save_steps.max(1));
        due && self.committed.0 > 0 && !self.ends()
    }

    pub(super) fn checkpoint_written(
        &mut self,
        worker: &WorkerId,
        step: Step,
        outcome: std::result::Result<Vec<FileDigest>, String>,
    ) {
        let Some(writing) = &mut self.writing else {
            return;
        };
        if writing.step != step || writing.writer != *worker {
            return;
        }
        match outcome {
            Ok(files) => {
                writing.staged = true;
                let state_digest = writing.state_digest.clone();
                self.out.push(Command::Publish {
                    step,
                    state_digest,
                    files,
                });
            }
            Err(reason) => self.checkpoint_failed(step, reason),
        }
    }

    pub(super) fn checkpoint_published(&mut self, step: Step, outcome: Result<(String, String)>) {
        if self.writing.as_ref().is_none_or(|w| w.step != step) {
            return;
        }
        match outcome {
            Ok((folder, state_digest)) => {
                self.writing = None;
                let state_digest = Some(state_digest);
                let source = SyncSource::Checkpoint(folder);
                self.restorable = Restorable {
                    step,
                    source,
                    state_digest,
                };
                self.published = Some(step);
                // What lies before it never comes again.
                self.digests = self.digests.split_off(&step);
                self.last_tries = 0;
                self.after_last_checkpoint();
            }
            Err(error) => self.checkpoint_failed(step, render(&error)),
        }
    }

    fn checkpoint_failed(&mut self, step: Step, reason: String) {
        self.writing = None;
        let last = matches!(self.phase, Phase::Finishing) || self.ends_soon();
        self.last_tries += u32::from(last);
        if last && self.last_tries >= LAST_TRIES {
            let what = format!("the checkpoint of step {step} could not be written");
            let error = Error::new(Code::Unwritable, what).why(reason).fix(
                "make room or fix the storage and start again: the run goes on from its newest \
                 checkpoint",
            );
            self.fail(error);
            return;
        }
        // At a boundary somebody may be waiting for it.
        if last || matches!(self.phase, Phase::Gathering) {
            self.write_again = Some(self.now + LAST_PAUSE);
        }
        self.notice(Notice::CheckpointFailed { step, reason });
    }

    /// A writer that does not answer, and the next try at the last checkpoint.
    pub(super) fn checkpoint_overdue(&mut self) {
        let (now, stage) = (self.now, self.options.ladder.stage);
        let overdue = |w: &Writing| !w.staged && now.saturating_sub(w.since) > stage;
        if let Some(step) = self.writing.as_ref().filter(|w| overdue(w)).map(|w| w.step) {
            self.checkpoint_failed(step, format!("nothing heard of it for {stage:?}"));
        }
        if self.write_again.is_some_and(|at| now >= at) {
            self.write_again = None;
            if matches!(self.phase, Phase::Finishing) {
                self.write_checkpoint();
            }
        }
    }

    pub(super) fn checkpoint_writer_left(&mut self, worker: &WorkerId) {
        let Some(writing) = &self.writing else { return };
        if writing.staged || writing.writer != *worker {
            return;
        }
        let step = writing.step;
        self.writing = None;
        if matches!(self.phase, Phase::Finishing) {
            self.phase = Phase::Gathering;
        } else {
            let reason = format!("{worker} left while writing it");
            self.notice(Notice::CheckpointFailed { step, reason });
        }
    }

    fn after_last_checkpoint(&mut self) {
        if matches!(self.phase, Phase::Finishing) {
            self.phase = Phase::Over;
            let step = self.committed;
            for worker in self.members.keys().cloned().collect::<Vec<_>>() {
                self.send(&worker, ToWorker::Finish { step });
            }
            self.out.push(Command::Complete(step));
        }
    }
}
