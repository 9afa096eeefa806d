//! Which ticks count: not the first one after this process stood still.
//!
//! In: when ticks come. Out: whether the engine hears of one. Keeps: after a stop, a suspended machine or
//! a disk that hung, whoever spoke meanwhile is heard before anybody is called silent: its messages have
//! to be read from the sockets first. No two ticks in a row are passed over, so that a coordinator that
//! is always late judges all the same.

use std::time::Duration;

/// Late is a tick after more than so many periods.
const LATE: u32 = 2;

/// Looks at ticks.
pub(super) struct Pulse {
    period: Duration,
    last: Duration,
    passed_over: bool,
}

impl Pulse {
    /// Ticks come every `period`, from `now` on.
    pub(super) fn new(period: Duration, now: Duration) -> Self {
        Self {
            period,
            last: now,
            passed_over: false,
        }
    }

    /// Whether the tick that comes now counts.
    pub(super) fn counts(&mut self, now: Duration) -> bool {
        let late = now.saturating_sub(self.last) > self.period * LATE;
        self.last = now;
        self.passed_over = late && !self.passed_over;
        !self.passed_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tick_after_a_stop_is_passed_over_and_never_two_in_a_row() {
        let mut pulse = Pulse::new(Duration::from_millis(100), Duration::ZERO);
        let mut counts = |ms| pulse.counts(Duration::from_millis(ms));
        assert!(counts(100) && counts(210) && counts(400));
        // Stopped for half a minute.
        assert!(!counts(30_000));
        assert!(counts(30_100));
        // Always late: every second one counts.
        assert!(!counts(31_000) && counts(32_000) && !counts(33_000) && counts(34_000));
    }
}
