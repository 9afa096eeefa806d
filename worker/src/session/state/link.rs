//! The stream that is the lease: it breaks, and comes back.

use std::time::Duration;

use shared::error::{Code, Error};
use shared::wire::message::{FromWorker, Hello, Position, Progress};

use super::times::BackOff;
use super::{Action, Ending, Session};

/// Whether there is a stream, and when something was last said and heard on it.
#[derive(Debug)]
pub(super) struct Link {
    open: bool,
    opened: Duration,
    heard: Duration,
    said: Duration,
    /// When the newest sign of life that told what moves was said, and the counters it told.
    beaten: (Duration, Progress),
    /// When something useful was last heard: an order. Signs of life count once a session has lasted a lease, a welcome
    /// never: one that nothing follows may come of any number of sessions that all break. None before the first
    /// session.
    useful: Option<Duration>,
    /// Whether something useful was heard in this session.
    of_use: bool,
    back_off: BackOff,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            open: false,
            opened: Duration::ZERO,
            heard: Duration::ZERO,
            said: Duration::ZERO,
            beaten: (Duration::ZERO, Progress::default()),
            useful: None,
            of_use: false,
            back_off: BackOff::new(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn heard(&mut self, now: Duration, lease: Duration) {
        self.heard = now;
        if self.lasted(lease) {
            self.useful(now);
        }
    }

    pub(super) fn useful(&mut self, now: Duration) {
        self.useful = Some(now);
        self.of_use = true;
    }

    pub(super) fn said(&mut self, now: Duration) {
        self.said = now;
    }

    fn open(&mut self, now: Duration) {
        self.open = true;
        self.of_use = false;
        (self.opened, self.heard) = (now, now);
        self.useful.get_or_insert(now);
        self.beaten = (now, Progress::default());
    }

    /// Whether the coordinator was heard over a whole lease.
    fn lasted(&self, lease: Duration) -> bool {
        self.heard.saturating_sub(self.opened) >= lease
    }

    /// Ends the session; returns whether anything useful was heard in it.
    fn close(&mut self, lease: Duration) -> bool {
        if !std::mem::take(&mut self.open) {
            return false;
        }
        self.back_off.session_ended(self.lasted(lease));
        self.of_use
    }
}

impl Session {
    /// A stream is open: the first word is a greeting, with what the worker holds.
    pub(super) fn connected(&mut self) {
        self.link.open(self.now);
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
            retained: self.retained.clone(),
        })
    }

    /// The stream broke or could not be opened: everything is held, and it is tried again.
    pub(super) fn lost(&mut self, reason: String) {
        let was_useful = self.link.close(self.times.lease);
        let since = self.link.useful.unwrap_or_default();
        let waited = self.now.saturating_sub(since);
        // Silence alone may have taken that long: one try at least follows a session that was of use.
        if waited < self.times.ride_through || was_useful {
            let after = self.link.back_off.pause();
            self.out.push(Action::Open { after });
            return;
        }
        if let Some(step) = self.stopped_after {
            self.end(Ending::Stopped(step));
            return;
        }
        let error = if self.worker.is_some() {
            Error::new(Code::SessionLost, "the coordinator is gone")
                .why(format!("nothing useful heard for {waited:.1?}: {reason}"))
                .fix("start it again: the run goes on from its newest checkpoint")
        } else {
            Error::new(Code::Unreachable, "the coordinator cannot be reached")
                .why(reason)
                .fix("is `coordinator up` running, and is this the address it printed?")
        };
        let error = self.given_up(error);
        self.end(Ending::Failed(error));
    }

    pub(super) fn tick(&mut self, progress: Progress) {
        if !self.link.is_open() {
            return;
        }
        let silent = self.now.saturating_sub(self.link.heard);
        if silent > self.times.lease {
            self.lost(format!("nothing heard for {silent:.1?}"));
            return;
        }
        // Deadlines of the coordinator follow what moves, whatever else was said meanwhile.
        let (beaten, told) = self.link.beaten;
        let since = |then: Duration| self.now.saturating_sub(then);
        let news = told != progress && since(beaten) >= self.times.beat;
        if news || since(self.link.said) >= self.times.beat {
            self.link.beaten = (self.now, progress);
            self.say(FromWorker::Beat(progress));
        }
    }
}
