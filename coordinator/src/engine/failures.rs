//! Tries at storage that came to nothing: who could not, how often, and when to try again.
//!
//! Keeps: what the run waits for is tried at short intervals and a bounded number of times; what nobody waits for is
//! tried less and less often, and keeps nothing else from storage.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::WorkerId;

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(3);

/// Tries at one thing that came to nothing.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Who could not, in this round.
    pub(super) by: BTreeSet<WorkerId>,
    /// Rounds in which nobody could, and those of them in which the run waited for it.
    rounds: u32,
    pub(super) waited: u32,
    /// When the next round begins.
    again_at: Option<Duration>,
}

impl Failures {
    /// Nobody could: the next round begins after a pause. What nobody waits for is tried less and less often.
    pub(super) fn round(&mut self, now: Duration, waits: bool) {
        self.by.clear();
        self.waited += u32::from(waits);
        let doubled = if waits { 1 } else { 1 << self.rounds.min(7) };
        self.rounds += 1;
        self.again_at = Some(now + PAUSE * doubled);
    }

    pub(super) fn pauses(&self, now: Duration) -> bool {
        self.again_at.is_some_and(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_is_tried_less_and_less_often() {
        let (mut failures, now) = (Failures::default(), Duration::from_secs(100));
        let mut pause = |waits| {
            failures.round(now, waits);
            let pause = failures.again_at.unwrap() - now;
            assert!(failures.pauses(now) && !failures.pauses(now + pause));
            pause.as_secs()
        };
        assert_eq!([(); 4].map(|()| pause(false)), [3, 6, 12, 24]);
        assert_eq!([(); 2].map(|()| pause(true)), [3, 3]);
        assert_eq!(failures.waited, 2);
    }
}
