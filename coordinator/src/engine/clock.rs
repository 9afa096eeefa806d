//! Time without the coordinator's own stalls: what the coordinator slept through counts against no worker.
//!
//! In: the time of each event. Out: that time without the gaps in which nothing at all was heard, not even the
//! coordinator's own ticks. Keeps: a process that was stopped, a suspended machine, a disk that held up the event loop
//! make no worker look silent; messages that waited meanwhile are heard before any worker is judged.

use std::time::Duration;

/// The coordinator's time, without its own stalls.
#[derive(Debug)]
pub(super) struct Clock {
    /// Ticks come at least this often when the coordinator runs.
    tick: Duration,
    /// A gap longer than this is a stall.
    stall: Duration,
    last: Duration,
    slept: Duration,
}

impl Clock {
    pub(super) fn new(beat: Duration, tick: Duration) -> Self {
        Self {
            tick,
            stall: beat.max(tick * 4),
            last: Duration::ZERO,
            slept: Duration::ZERO,
        }
    }

    /// Takes the time of an event and returns it without the stalls; never goes backwards.
    pub(super) fn hears(&mut self, now: Duration) -> Duration {
        let gap = now.saturating_sub(self.last);
        if gap > self.stall {
            self.slept += gap - self.tick;
        }
        self.last = self.last.max(now);
        self.last - self.slept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_the_coordinator_slept_through_does_not_count() {
        let mut clock = Clock::new(ms(1000), ms(100));
        for at in (0..=2000).step_by(100) {
            assert_eq!(clock.hears(ms(at)), ms(at));
        }
        assert_eq!(clock.hears(ms(60_000)), ms(2100));
        assert_eq!(clock.hears(ms(60_500)), ms(2600));
        // Never backwards.
        assert_eq!(clock.hears(ms(60_400)), ms(2600));
    }
}
