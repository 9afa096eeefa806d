//! How fast a worker computes, as far as its own reports tell.
//!
//! In: the time of each micro-batch. Out: what to expect of the next one, when it is late, when the
//! worker counts as hung. Keeps: a slow worker is measured by its own past, so that it is not
//! evicted for being slow.

use std::collections::VecDeque;
use std::time::Duration;

use shared::wire::message::REMEMBERED_TIMES as REMEMBERED;

/// A worker this much slower than the typical one is named.
pub(super) const SLOW: u32 = 3;
/// So many times its slowest remembered micro-batch is a hang.
const HUNG: u32 = 4;

/// The newest compute times of one worker.
#[derive(Debug, Default)]
pub(super) struct Pace {
    times: VecDeque<Duration>,
}

impl Pace {
    /// As the worker itself remembers, where this coordinator does not know it.
    pub(super) fn told(compute_us: &[u64]) -> Self {
        let mut pace = Self::default();
        for us in compute_us {
            pace.record(Duration::from_micros(*us));
        }
        pace
    }

    pub(super) fn record(&mut self, time: Duration) {
        if self.times.len() == REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(time);
    }

    /// What a micro-batch usually takes here; nothing before the first report.
    pub(super) fn typical(&self) -> Option<Duration> {
        median(self.times.iter().copied().collect())
    }

    /// A micro-batch that takes longer than this is not coming.
    pub(super) fn deadline(&self, least: Duration, first: Duration) -> Duration {
        self.times
            .iter()
            .max()
            .map_or(first, |slowest| least.max(*slowest * HUNG))
    }
}

/// The middle one, the lower of two.
pub(super) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn only_the_newest_reports_count() {
        let mut pace = Pace::default();
        assert_eq!(pace.typical(), None);
        assert_eq!(pace.deadline(ms(5), ms(600)), ms(600));
        for _ in 0..REMEMBERED {
            pace.record(ms(900));
        }
        assert_eq!(pace.deadline(ms(5), ms(600)), ms(3600));
        for _ in 0..REMEMBERED {
            pace.record(ms(1));
        }
        assert_eq!(pace.typical(), Some(ms(1)));
        assert_eq!(pace.deadline(ms(5), ms(600)), ms(5));
    }

    #[test]
    fn a_worker_tells_its_own_past() {
        assert_eq!(Pace::told(&[]).deadline(ms(5), ms(600)), ms(600));
        let told = Pace::told(&[2000, 3000]);
        assert_eq!(told.deadline(ms(5), ms(600)), ms(12));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![ms(3), ms(1), ms(2)]), Some(ms(2)));
        assert_eq!(median(vec![ms(3), ms(1)]), Some(ms(1)));
    }
}
