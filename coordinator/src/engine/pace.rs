//! How fast one worker computes, by its own reports.
//!
//! In: cost and time of each micro-batch, and of the rehearsal's. Out: the time that a micro-batch usually takes, and
//! the time after which its worker counts as hung.
//! Keeps: a worker is measured by its own past, so that it is not evicted for being slow; its deadline grows with the
//! size of the work, so that it is not evicted for a long row.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Cost, WorkKind};

/// Number of newest times that are remembered for each kind of work.
const REMEMBERED: usize = 16;
/// Factor over the median worker's time at which a worker is reported as slow.
pub(super) const SLOW: u32 = 3;
/// Factor over the worker's own slowest comparable time at which it counts as hung.
const HUNG: u32 = 4;

/// One computed micro-batch: its tokens and its time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    tokens: u64,
    time: Duration,
}

impl Sample {
    /// Most time for `tokens` tokens, by this sample: `time * max(tokens / self.tokens, 1)^2`. Squared, because
    /// attention grows with the square of a row; never less than `time`, because a small micro-batch has its fixed
    /// part.
    fn at_most(&self, tokens: u64) -> Duration {
        let ratio = self.ratio(tokens).max(1.0);
        let most = self.time.as_secs_f64() * ratio * ratio;
        Duration::try_from_secs_f64(most).unwrap_or(Duration::MAX)
    }

    fn ratio(&self, tokens: u64) -> f64 {
        tokens.max(1) as f64 / self.tokens.max(1) as f64
    }
}

/// A worker's newest times for one kind of work.
#[derive(Debug, Default)]
struct Times {
    samples: VecDeque<Sample>,
    /// Median seconds for one token, kept because it is asked for far more often than it changes.
    unit: f64,
}

impl Times {
    fn add(&mut self, sample: Sample) {
        if self.samples.len() == REMEMBERED {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        let units = self.samples.iter();
        let units = units.map(|s| s.time.as_secs_f64() / s.tokens.max(1) as f64);
        let mut units: Vec<_> = units.collect();
        units.sort_unstable_by(f64::total_cmp);
        self.unit = units.get((units.len() - 1) / 2).copied().unwrap_or(0.0);
    }
}

/// A worker's newest times, by kind of work.
#[derive(Debug, Default)]
pub(super) struct Pace {
    times: BTreeMap<WorkKind, Times>,
    /// Times of the rehearsal: training work on a device that did nothing else.
    rehearsed: Vec<Sample>,
}

impl Pace {
    /// Takes tokens and time of each micro-batch of the rehearsal.
    pub(super) fn rehearsed(&mut self, rehearsals: impl Iterator<Item = (u64, Duration)>) {
        self.rehearsed = rehearsals
            .map(|(tokens, time)| Sample { tokens, time })
            .collect();
    }

    pub(super) fn record(&mut self, cost: Cost, time: Duration) {
        let tokens = cost.tokens;
        let times = self.times.entry(cost.kind).or_default();
        times.add(Sample { tokens, time });
    }

    /// Samples that tell about a kind of work. Without an evaluation yet, training tells about it, as a forward pass is
    /// a part of training.
    fn evidence(&self, kind: WorkKind) -> impl Iterator<Item = &Sample> {
        let of = |kind: WorkKind| self.times.get(&kind).into_iter().flat_map(|t| &t.samples);
        let own = of(kind);
        let unknown = !self.times.contains_key(&kind);
        let trained = kind == WorkKind::Evaluate && unknown;
        let tried = kind == WorkKind::Train || trained;
        own.chain(of(WorkKind::Train).filter(move |_| trained))
            .chain(self.rehearsed.iter().filter(move |_| tried))
    }

    /// Usual time of this worker for a cost; `None` before its first report of that kind.
    pub(super) fn typical(&self, cost: Cost) -> Option<Duration> {
        let times = self.times.get(&cost.kind)?;
        let usual = Duration::try_from_secs_f64(times.unit * cost.tokens.max(1) as f64);
        Some(usual.unwrap_or(Duration::MAX))
    }

    /// Time without progress after which the worker counts as hung on work of this cost: `least` at least, `first`
    /// without any sample.
    pub(super) fn deadline(&self, cost: Cost, least: Duration, first: Duration) -> Duration {
        // Before its first report only the rehearsal is known, on a device that did nothing else.
        let hung = HUNG * if self.times.is_empty() { HUNG } else { 1 };
        // Small work tells little about large work: it counts only where no sample is at least half as large.
        let alike = |s: &&Sample| s.tokens.saturating_mul(2) >= cost.tokens;
        let most = |s: &Sample| s.at_most(cost.tokens);
        let alike = self.evidence(cost.kind).filter(alike).map(most).max();
        alike
            .or_else(|| self.evidence(cost.kind).map(most).max())
            .map_or(first, |slowest| least.max(slowest.saturating_mul(hung)))
    }
}

/// The median; of an even number of times, the lower middle one.
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

    const fn cost(tokens: u64) -> Cost {
        Cost {
            kind: WorkKind::Train,
            tokens,
        }
    }

    const fn of(kind: WorkKind, tokens: u64) -> Cost {
        Cost { kind, tokens }
    }

    #[test]
    fn only_the_newest_reports_count() {
        let mut pace = Pace::default();
        assert_eq!(pace.typical(cost(10)), None);
        assert_eq!(pace.deadline(cost(10), ms(5), ms(600)), ms(600));
        for _ in 0..REMEMBERED {
            pace.record(cost(10), ms(900));
        }
        assert_eq!(pace.deadline(cost(10), ms(5), ms(600)), ms(3600));
        for _ in 0..REMEMBERED {
            pace.record(cost(10), ms(1));
        }
        assert_eq!(pace.typical(cost(10)), Some(ms(1)));
        assert_eq!(pace.deadline(cost(10), ms(5), ms(600)), ms(5));
    }

    #[test]
    fn one_long_row_among_short_ones_may_take_as_long_as_its_size_says() {
        let mut pace = Pace::default();
        for _ in 0..REMEMBERED {
            pace.record(cost(70), ms(100));
        }
        let long = pace.deadline(cost(3500), ms(5000), ms(600_000));
        assert!(long >= ms(100) * 50 * 50, "{long:?}");
        assert_eq!(pace.deadline(cost(70), ms(300), ms(600_000)), ms(400));
        assert_eq!(pace.deadline(cost(7), ms(300), ms(600_000)), ms(400));
    }

    #[test]
    fn a_rehearsal_is_the_first_evidence_and_stays_one() {
        let mut pace = Pace::default();
        pace.rehearsed([(3500, ms(20_000))].into_iter());
        assert_eq!(pace.deadline(cost(3500), ms(5), ms(1)), ms(320_000));
        for _ in 0..2 * REMEMBERED {
            pace.record(cost(70), ms(1));
        }
        assert_eq!(pace.deadline(cost(3500), ms(5), ms(1)), ms(80_000));
        // The fixed part of something small is not taken for what grows with the square of a row.
        pace.record(cost(7), ms(500));
        assert_eq!(pace.deadline(cost(3500), ms(5), ms(1)), ms(80_000));
    }

    #[test]
    fn kinds_of_work_are_measured_apart() {
        let mut pace = Pace::default();
        for _ in 0..REMEMBERED {
            pace.record(of(WorkKind::Evaluate, 100), ms(10));
        }
        let generate = of(WorkKind::Generate, 1024);
        assert_eq!(pace.deadline(generate, ms(5), ms(600)), ms(600));
        // Training after evaluations is not measured by them.
        assert_eq!(pace.deadline(cost(100), ms(5), ms(600)), ms(600));
        let mut trained = Pace::default();
        trained.record(cost(100), ms(40));
        let evaluate = of(WorkKind::Evaluate, 100);
        assert_eq!(trained.deadline(evaluate, ms(5), ms(600)), ms(160));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![ms(3), ms(1), ms(2)]), Some(ms(2)));
        assert_eq!(median(vec![ms(3), ms(1)]), Some(ms(1)));
    }
}
