//! All cluster timeouts, derived from `failure_detection`.
//!
//! In: how long silence may last before a worker is evicted, and how long workers wait for a coordinator that is away.
//! Out: all timeouts, printed at start.
//! Keeps: beat < suspect < progress < lease <= ride-through; settings that break this order are refused.

use std::fmt;
use std::time::Duration;

use shared::error::{Code, Error, Result};

/// How long a worker may hash and load a base model.
const LOAD: Duration = Duration::from_secs(3600);
/// How long a joiner may take to bring its state up.
const SYNC: Duration = Duration::from_secs(300);
/// The first micro-batch of a worker pays for lazy initialization of its device.
const FIRST_COMPUTE: Duration = Duration::from_secs(600);
/// How long nothing of a checkpoint may move on its way to storage: one flush of a slow disk.
const STAGE: Duration = Duration::from_secs(120);
/// The longest a step boundary is held for a joiner that is one step behind.
const CATCH_UP: Duration = Duration::from_secs(2);

/// All cluster timeouts, as [`Timeouts::new`] derives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Both sides of a session send something at least this often.
    pub beat: Duration,
    /// Silence after which a worker gets no more work, and its work may be given to a second worker.
    pub suspect: Duration,
    /// The least time a micro-batch may take before its worker counts as hung.
    pub progress: Duration,
    /// Silence after which a worker is evicted: `failure_detection` itself.
    pub lease: Duration,
    /// Time without a byte moving after which an all-reduce ends.
    pub reduce_patience: Duration,
    /// Time after which a draining worker is released, whatever it computes; the last holder of a state waits longer.
    pub drain: Duration,
    /// A step boundary waits this long for a joiner that is one step behind.
    pub catch_up: Duration,
    /// An assignment is doubled only when it will still take longer than this.
    pub min_time_left_to_double: Duration,
    /// A coordinator that comes back waits this long for the workers it knew.
    pub rejoin: Duration,
    /// Workers hold what they have this long while the coordinator is away.
    pub ride_through: Duration,
    /// Time that loading the base model may take without device or storage progress.
    pub load_stall: Duration,
    /// Time that a joiner's state transfer may take without a byte moving.
    pub sync_stall: Duration,
    /// Time that a micro-batch may take where no earlier one tells how long, or where another device hung on it.
    pub first_compute: Duration,
    /// Time that writing or publishing a checkpoint may take without a byte moving.
    pub stage_stall: Duration,
}

impl Timeouts {
    /// Derives all timeouts. `failure_detection` is the lease; most others are fractions of it, the rest have floors.
    ///
    /// # Errors
    /// [`Code::Contradiction`] when workers would give up before silence is even noticed.
    pub fn new(failure_detection: Duration, ride_through: Duration) -> Result<Self> {
        if failure_detection.is_zero() || ride_through < failure_detection {
            return Err(Error::new(
                Code::Contradiction,
                format!(
                    "ride_through {ride_through:?} is shorter than failure_detection \
                     {failure_detection:?}"
                ),
            )
            .why("workers would give the coordinator up before it could notice anything")
            .fix("raise ride_through, or lower failure_detection"));
        }
        let lease = failure_detection;
        Ok(Self {
            beat: lease / 8,
            suspect: lease * 3 / 8,
            progress: lease * 5 / 8,
            lease,
            reduce_patience: lease * 5 / 8,
            drain: lease,
            catch_up: (lease / 4).min(CATCH_UP),
            min_time_left_to_double: lease / 32,
            rejoin: lease,
            ride_through,
            load_stall: LOAD,
            sync_stall: SYNC.max(lease),
            first_compute: FIRST_COMPUTE.max(lease * 10),
            stage_stall: STAGE.max(lease * 10),
        })
    }

    /// How often the engine is told the time.
    #[must_use]
    pub fn tick(&self) -> Duration {
        (self.lease / 64).clamp(Duration::from_millis(10), Duration::from_millis(100))
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "times: a sign of life every {:?}, suspect after {:?}, hung after {:?} on one \
             micro-batch (more where they take longer), evicted after {:?} of silence; a drain \
             ends after {:?}; workers hold {:?} without the coordinator",
            self.beat, self.suspect, self.progress, self.lease, self.drain, self.ride_through
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_is_above_the_one_before() {
        for millis in [200, 1000, 8000, 3_600_000] {
            let lease = Duration::from_millis(millis);
            let timeouts = Timeouts::new(lease, lease).unwrap();
            let rungs = [
                timeouts.min_time_left_to_double,
                timeouts.beat,
                timeouts.suspect,
                timeouts.progress,
                timeouts.lease,
            ];
            assert!(rungs.windows(2).all(|w| w[0] < w[1]), "{rungs:?}");
            assert!(timeouts.tick() < timeouts.beat);
        }
    }

    #[test]
    fn workers_that_would_give_up_too_early_are_refused() {
        let error = Timeouts::new(Duration::from_secs(8), Duration::from_secs(7)).unwrap_err();
        assert_eq!(error.code, Code::Contradiction);
        assert!(error.what.contains("7s") && error.what.contains("8s"));
    }
}
