//! The stream that is the lease: it breaks, and comes back.

use std::time::Duration;

use shared::error::{Code, Error};
use shared::wire::message::{FromWorker, Hello, Position, Welcome};

use super::{Action, Ending, Session};

/// Before the coordinator has named its own times.
const FIRST_LEASE: Duration = Duration::from_secs(10);
/// A coordinator that nobody has ever heard may be started a little later than its workers.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// What the coordinator said about time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) lease: Duration,
    pub(super) beat: Duration,
    pub(super) ride_through: Duration,
    pub(super) reduce_patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: FIRST_LEASE,
            beat: FIRST_LEASE / 8,
            ride_through: FIRST_PATIENCE,
            reduce_patience: FIRST_LEASE,
        }
    }
}

impl Times {
    pub(super) fn of(welcome: &Welcome) -> Self {
        let millis = |n: u64| Duration::from_millis(n.max(1));
        Self {
            lease: millis(welcome.lease_ms),
            beat: millis(welcome.beat_ms),
            ride_through: millis(welcome.ride_through_ms),
            reduce_patience: millis(welcome.reduce_patience_ms),
        }
    }

    /// A drain that the coordinator does not answer ends a little after the coordinator's own time.
    pub(super) fn drain(&self) -> Duration {
        self.lease + self.lease / 4
    }
}

/// Whether there is a stream, and since when not.
#[derive(Debug)]
pub(super) struct Link {
    open: bool,
    /// When the last stream broke.
    down_since: Duration,
    heard: Duration,
    said: Duration,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            open: false,
            down_since: Duration::ZERO,
            heard: Duration::ZERO,
            said: Duration::ZERO,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    pub(super) fn said(&mut self, now: Duration) {
        self.said = now;
    }
}

impl Session {
    /// A stream is open: the first word is a greeting, with what the worker holds.
    pub(super) fn connected(&mut self) {
        self.link.open = true;
        self.link.heard(self.now);
        let hello = Hello {
            resume: self.position(),
            ..self.greeting.clone()
        };
        self.say(FromWorker::Hello(hello));
    }

    /// What this worker holds of its run.
    fn position(&self) -> Option<Position> {
        let (step, state_digest) = self.state.clone().unwrap_or_default();
        let shadow = self.shadow.clone().filter(|(of, _)| *of == step.next());
        Some(Position {
            run: self.identity.run.clone(),
            worker: self.worker.clone()?,
            step,
            state_digest,
            task: self.task,
            credited: self.credited.clone(),
            shadow_digest: shadow.map(|(_, digest)| digest).unwrap_or_default(),
            loaded: self.loaded.clone(),
            compute_us: self.times_us.iter().copied().collect(),
        })
    }

    /// The stream broke or could not be opened: everything is held, and it is tried again.
    pub(super) fn lost(&mut self, reason: String) {
        if std::mem::take(&mut self.link.open) {
            self.link.down_since = self.now;
        }
        if self.draining.is_some() {
            self.end(Ending::Drained);
            return;
        }
        let waited = self.now.saturating_sub(self.link.down_since);
        if waited < self.times.ride_through {
            self.out.push(Action::Open);
            return;
        }
        let error = if self.worker.is_some() {
            Error::new(Code::SessionLost, "the coordinator is gone")
                .why(format!("not heard for {waited:?}: {reason}"))
                .fix("start it again: the run goes on from its newest checkpoint")
        } else {
            Error::new(Code::Unreachable, "the coordinator cannot be reached")
                .why(reason)
                .fix("is `coordinator up` running, and is this the address it printed?")
        };
        self.end(Ending::Failed(error));
    }

    pub(super) fn tick(&mut self) {
        if self.draining.is_some_and(|deadline| self.now > deadline) {
            self.end(Ending::Drained);
            return;
        }
        if !self.link.is_open() {
            return;
        }
        let silent = self.now.saturating_sub(self.link.heard);
        if silent > self.times.lease {
            self.lost(format!("nothing heard for {silent:?}"));
            return;
        }
        if self.now.saturating_sub(self.link.said) >= self.times.beat {
            self.say(FromWorker::Beat);
        }
    }
}
