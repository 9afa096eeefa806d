//! Failed tries to bring something to storage: which workers failed, how many rounds, and when the next begins.
//!
//! Keeps: a state that the run waits for is tried at short, equal intervals; one that the run does not wait for is
//! tried less and less often, and keeps no other from storage.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::WorkerId;

/// Pause between two rounds of tries that the run waits for.
const PAUSE: Duration = Duration::from_secs(3);

/// Failed tries to bring one state, or the adapter, to storage.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Workers that failed in this round.
    pub(super) by: BTreeSet<WorkerId>,
    /// Rounds in which every holder failed; `waited` counts those in which the run waited.
    rounds: u32,
    pub(super) waited: u32,
    /// When the next round begins; `None` before a round has failed.
    again_at: Option<Duration>,
}

impl Failures {
    /// Ends a round in which every holder failed. The next one begins after [`PAUSE`], doubled each round up to 128
    /// times where the run does not wait.
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
