//! The end of a run whose steps are all committed: the owed states on storage first, then the adapter exported.
//!
//! In: what is on storage, what came of the export. Out: the order to export, the end. Keeps: the run is complete only
//! when the adapter is where loaders look; an export that fails for its storage is tried again, for as many rounds as a
//! checkpoint.

use std::time::Duration;

use shared::error::render;
use shared::wire::message::ToWorker;

use super::Engine;
use super::event::{Command, ExportFailure};
use super::failures::Failures;
use super::notice::Notice;
use super::state::Phase;
use super::write::ROUNDS;

/// The adapter on its way to where loaders look.
#[derive(Debug, Default)]
pub(super) struct Export {
    is_running: bool,
    failures: Failures,
}

impl Export {
    /// Whether the adapter is being exported, or the next try pauses.
    fn waits(&self, now: Duration) -> bool {
        self.is_running || self.failures.pauses(now)
    }
}

impl Engine {
    /// Once the last and the best state are on storage, orders the export of the adapter.
    pub(super) fn finish_when_stored(&mut self) {
        let waits = self.export.waits(self.now) || self.checkpoints.writing.is_some();
        if !matches!(self.phase, Phase::Finishing) || waits {
            return;
        }
        let owed = self.owed();
        if owed.is_empty() {
            self.export.is_running = true;
            let (result, last) = (self.result(), self.states.committed);
            self.outbox.push(Command::Export { result, last });
        } else if owed.iter().all(|step| self.writable(*step).is_none()) {
            // Nobody holds the owed states any more: the boundary decides where the run goes on.
            self.phase = Phase::Gathering;
        }
    }

    pub(super) fn exported(&mut self, outcome: std::result::Result<(), ExportFailure>) {
        self.export.is_running = false;
        if !matches!(self.phase, Phase::Finishing) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.phase = Phase::Over;
                let step = self.states.committed;
                for worker in self.members.names() {
                    self.send(&worker, ToWorker::Finish { step });
                }
                self.outbox.push(Command::Complete(step));
            }
            Err(ExportFailure::Checkpoint(step, error)) => {
                if !self.checkpoints.stored.contains_key(&step) {
                    self.stop_with(error);
                    return;
                }
                self.checkpoints
                    .set_aside(step, render(&error), &mut self.outbox);
                self.store_owed();
                self.finish_when_stored();
            }
            Err(ExportFailure::Storage(error)) => {
                self.export.failures.round(self.now, true);
                if self.export.failures.waited >= ROUNDS {
                    self.stop_with(error);
                    return;
                }
                self.outbox.notice(Notice::ExportFailed {
                    reason: render(&error),
                });
            }
        }
    }
}
