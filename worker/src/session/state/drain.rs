//! Leaving on request.
//!
//! In: somebody asks this worker to leave. Out: a word to the coordinator, and the end once nothing is lost by
//! it. Keeps: a worker that holds a state stays until the coordinator releases it, however often the line breaks
//! meanwhile: only the coordinator knows whether that state is on storage or with another worker. A coordinator that
//! was stopped on purpose has said that it is.

use shared::error::{Code, Error};
use shared::ids::Step;
use shared::wire::message::FromWorker;

use super::{Ending, Session};

impl Session {
    pub(super) fn drain(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        self.ask_to_leave();
    }

    /// Says so where somebody hears it; ends at once only when there is nothing to lose.
    pub(super) fn ask_to_leave(&mut self) {
        let drains = self.holds_a_state();
        let reason = "drained".to_owned();
        self.say(FromWorker::Leaving { reason, drains });
        if !drains {
            self.end(Ending::Drained);
        }
    }

    /// The coordinator ends on purpose: a worker that may go goes, another holds what it has for the next one.
    pub(super) fn stopped(&mut self, step: Step, hold: bool) {
        self.stopped_after = Some(step);
        if !hold || self.draining {
            self.end(Ending::Stopped(step));
        }
    }

    fn holds_a_state(&self) -> bool {
        self.stopped_after.is_none()
            && self.loaded.is_some()
            && (self.state.is_some() || !self.retained.is_empty())
    }

    /// Why a worker that gives the coordinator up ends; one that was to leave says what is lost by it.
    pub(super) fn given_up(&self, error: Error) -> Error {
        if !self.draining || !self.holds_a_state() {
            return error;
        }
        let step = self.state.as_ref().map(|(step, _)| *step);
        let newest = step.or_else(|| self.retained.keys().next_back().copied());
        let newest = newest.map_or_else(String::new, |step| format!(" of step {step}"));
        Error::new(Code::SessionLost, error.what)
            .why(format!(
                "asked to leave, but never released: the state{newest} is on no storage that this worker \
                 knows of"
            ))
            .why(error.why.join("; "))
            .fix("start the coordinator again: the run goes on from its newest checkpoint")
    }
}
