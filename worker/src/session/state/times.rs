//! What the coordinator says about time, and how long to wait before a stream is opened again.
//!
//! Keeps: never a reconnect without a pause; sessions that do not last make it longer, one that lasted a
//! lease makes it short again.

use std::time::Duration;

use shared::wire::message::Welcome;

/// The lease before the coordinator has named its own.
const FIRST_LEASE: Duration = Duration::from_secs(8);
/// A coordinator that nobody has ever heard may be started a little later than its workers.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// The shortest pause before a stream is opened again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before a stream is opened again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The deadlines that the coordinator named in its welcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Silence of the coordinator that ends the session.
    pub(super) lease: Duration,
    /// Longest time without a message of this worker's.
    pub(super) beat: Duration,
    /// How long the worker holds what it has while the coordinator is away.
    pub(super) ride_through: Duration,
    /// Time without movement after which a reduce is told as stalled.
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
}

/// The pause before the next try.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    pause: Duration,
    /// Sessions in a row that did not last a lease.
    short: u32,
}

impl BackOff {
    pub(super) fn new() -> Self {
        Self {
            pause: SHORTEST_PAUSE,
            short: 0,
        }
    }

    /// A session is over; the pause follows from how many in a row were short. Tries that never became a session leave
    /// it as it is.
    pub(super) fn session_ended(&mut self, lasted: bool) {
        self.short = if lasted {
            0
        } else {
            self.short.saturating_add(1)
        };
        self.pause = SHORTEST_PAUSE
            .saturating_mul(1 << self.short.saturating_sub(1).min(16))
            .min(LONGEST_PAUSE);
    }

    pub(super) fn pause(&self) -> Duration {
        self.pause
    }
}
