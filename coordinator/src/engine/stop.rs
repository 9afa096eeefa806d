//! How a run ends before its last step: it was interrupted, it fails, or its storage does.
//!
//! In: the interrupt, the error. Out: the end, once the state is safe. Keeps: a run that was interrupted or whose numbers
//! are not finite ends at a boundary, with its owed states on storage or held by nobody; workers of a run that may be
//! started again keep their states.

use shared::error::Error;
use shared::wire::message::ToWorker;

use super::Engine;
use super::event::{Command, MemberSet};
use super::state::Phase;

/// What ends the run as soon as its state is on storage.
#[derive(Debug, Default)]
pub(super) struct Stopping {
    pub(super) interrupted: bool,
    pub(super) pending_failure: Option<Error>,
}

impl Stopping {
    /// Whether the run ends as soon as its state is on storage.
    pub(super) fn is_near(&self) -> bool {
        self.interrupted || self.pending_failure.is_some()
    }

    /// Ends the run with `error` as soon as its state is on storage.
    pub(super) fn fail_later(&mut self, error: Error) {
        self.pending_failure = Some(error);
    }
}

impl Engine {
    /// At a boundary: fails the run once its state is on storage or nobody holds it.
    pub(super) fn fail_safely(&mut self) {
        if !self.made_safe() {
            return;
        }
        let Some(error) = self.stopping.pending_failure.take() else {
            return;
        };
        let error = match self.checkpoints.stored.last_key_value() {
            Some((step, stored)) => error
                .why(format!(
                    "the state of step {step} is good, and lies in {}",
                    stored.folder
                ))
                .fix(format!("go on from it: --set parent={}", stored.folder)),
            None => error.why("no step was applied before: there is no checkpoint"),
        };
        self.fail(error);
    }

    /// At a boundary of an interrupted run: ends it once its state is on storage or nobody holds it.
    pub(super) fn stop_safely(&mut self) {
        if self.made_safe() {
            self.phase = Phase::Over;
            self.nobody_is_awaited();
            let safe = self
                .checkpoints
                .is_on_storage(self.states.committed)
                .then_some(self.states.committed);
            let step = safe.or_else(|| self.restart_point().map(|point| point.step));
            self.outbox
                .push(Command::Interrupted(step.unwrap_or_default()));
        }
    }

    /// Whether every owed state is on storage or held by nobody; orders the others written.
    fn made_safe(&mut self) -> bool {
        self.store_owed();
        let waits = self.owed().iter().any(|step| self.holders().anybody(*step));
        !waits && self.checkpoints.writing.is_none() && !self.members.somebody_is_on_its_way()
    }

    /// Ends the run: every worker is refused.
    pub(super) fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        for worker in self.members.names() {
            self.send(&worker, ToWorker::Refused(error.clone()));
        }
        self.nobody_is_awaited();
        self.outbox.push(Command::Fail(error));
    }

    /// Ends the coordinator without ending the workers: they keep their state for a coordinator that is started again.
    pub(super) fn stop_with(&mut self, error: Error) {
        self.phase = Phase::Over;
        self.outbox.push(Command::Fail(error));
    }

    /// Records an empty member set, so that the next start waits for nobody.
    fn nobody_is_awaited(&mut self) {
        self.outbox.push(Command::Members(MemberSet {
            generation: self.generations.newest,
            ..MemberSet::default()
        }));
    }
}
