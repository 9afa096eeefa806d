//! The integers of an evaluation: [`WIDTH`] per set, the answers to prompts, the number of micro-batches.
//!
//! Losses are in units of 2^-32 nats: 2.1e9 nats fit, enough for 200 million tokens. A sample's mean is rounded once,
//! half to even, so that sums of samples are exact as well. Keeps: no sum of the micro-batches of a set wraps, on one
//! worker or over all of them; what does not fit is flagged, and the mean is not a number.

use serde::{Deserialize, Serialize};

/// Losses are counted in units of 2^-LOSS_BITS nats.
pub const LOSS_BITS: u32 = 32;
/// Integers per set.
pub const WIDTH: usize = 7;

/// Integers of an evaluation of so many sets, without prompts.
#[must_use]
pub const fn width(sets: usize) -> usize {
    sets * WIDTH + 1
}

/// What one set came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSums {
    /// Cross entropies of all targets, units of 2^-32.
    pub loss: i64,
    /// Each sample's mean cross entropy, summed, units of 2^-32.
    pub sample_loss: i64,
    /// Number of target tokens that `loss` is summed over.
    pub targets: i64,
    /// Number of samples with at least one target token.
    pub samples: i64,
    /// Number of targets that are the model's most probable token.
    #[serde(rename = "right")]
    pub correct: i64,
    /// Number of samples whose every target is the most probable token: the model would write them word for word.
    #[serde(rename = "verbatim")]
    pub exact_matches: i64,
    /// Losses that were not finite or did not fit.
    pub overflows: i64,
}

impl SetSums {
    /// Adds one sample: the cross entropy of each target, and whether it is the most probable token.
    pub fn add(&mut self, losses: &[f32], correct: &[bool]) {
        let Ok(targets @ 1..) = i64::try_from(losses.len()) else {
            return;
        };
        let mut sum = 0i64;
        for &loss in losses {
            match fixed(loss) {
                Some(units) => self.overflows += add_to(&mut sum, units),
                None => self.overflows += 1,
            }
        }
        self.overflows += add_to(&mut self.loss, sum);
        self.overflows += add_to(&mut self.sample_loss, divided(sum, targets));
        self.targets += targets;
        self.samples += 1;
        let found = correct.iter().filter(|&&hit| hit).count();
        self.correct += i64::try_from(found).unwrap_or(i64::MAX);
        self.exact_matches += i64::from(found == losses.len());
    }

    /// What one of `micro_batches` may bring, so that the sum of all of them fits whoever computes them: its share of
    /// what fits, and a flag where it is more.
    #[must_use]
    pub fn bounded(mut self, micro_batches: usize) -> Self {
        let parts = i64::try_from(micro_batches.max(1)).unwrap_or(i64::MAX);
        let most = i64::MAX / parts;
        for sum in [&mut self.loss, &mut self.sample_loss] {
            if !(-most..=most).contains(sum) {
                *sum = (*sum).clamp(-most, most);
                self.overflows += 1;
            }
        }
        self
    }

    /// The sums in the order in which they travel.
    #[must_use]
    pub fn to_array(self) -> [i64; WIDTH] {
        [
            self.loss,
            self.sample_loss,
            self.targets,
            self.samples,
            self.correct,
            self.exact_matches,
            self.overflows,
        ]
    }

    /// The sums of integers that travelled, in the order of [`Self::to_array`].
    #[must_use]
    pub fn from_array(of: [i64; WIDTH]) -> Self {
        let [
            loss,
            sample_loss,
            targets,
            samples,
            correct,
            exact_matches,
            overflows,
        ] = of;
        Self {
            loss,
            sample_loss,
            targets,
            samples,
            correct,
            exact_matches,
            overflows,
        }
    }

    /// Mean cross entropy of a target, nats; not a number when it is not finite.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.mean(self.loss, self.targets)
    }

    /// Mean over samples of each sample's mean, nats: long answers weigh no more than short ones.
    #[must_use]
    pub fn mean_sample_loss(&self) -> f64 {
        self.mean(self.sample_loss, self.samples)
    }

    /// `exp` of [`Self::mean_loss`].
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        libm::exp(self.mean_loss())
    }

    /// Share of targets that are the most probable token.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.correct, self.targets)
    }

    /// Share of samples the model would write word for word.
    #[must_use]
    pub fn verbatim_share(&self) -> f64 {
        share(self.exact_matches, self.samples)
    }

    fn mean(&self, sum: i64, count: i64) -> f64 {
        if self.overflows > 0 || count == 0 {
            return f64::NAN;
        }
        sum as f64 / (1u64 << LOSS_BITS) as f64 / count as f64
    }
}

/// Adds as far as it fits; 1 where it does not.
fn add_to(sum: &mut i64, more: i64) -> i64 {
    let fits = sum.checked_add(more);
    *sum = fits.unwrap_or_else(|| sum.saturating_add(more));
    i64::from(fits.is_none())
}

fn share(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn fixed(loss: f32) -> Option<i64> {
    let units = (f64::from(loss) * (1u64 << LOSS_BITS) as f64).round_ties_even();
    // 2^62: far over any loss, far under where integers end.
    (units.is_finite() && units.abs() < 4.6e18).then_some(units as i64)
}

/// `sum / by`, rounded half to even.
fn divided(sum: i64, by: i64) -> i64 {
    let (quotient, rest) = (sum.div_euclid(by), sum.rem_euclid(by));
    let up = match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient & 1,
        std::cmp::Ordering::Greater => 1,
    };
    quotient + up
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn means_are_by_token_and_by_sample() {
        let mut sums = SetSums::default();
        sums.add(&[1.0, 3.0], &[true, false]);
        sums.add(&[0.5], &[true]);
        assert_eq!(sums.mean_loss(), 1.5);
        assert_eq!(sums.mean_sample_loss(), 1.25);
        assert_eq!((sums.targets, sums.samples), (3, 2));
        assert_eq!((sums.correct, sums.exact_matches), (2, 1));
        assert_eq!(SetSums::from_array(sums.to_array()), sums);
    }

    #[test]
    fn a_loss_that_is_not_finite_makes_the_mean_not_a_number() {
        let mut sums = SetSums::default();
        sums.add(&[1.0, f32::INFINITY], &[true, false]);
        assert_eq!(sums.overflows, 1);
        assert!(sums.mean_loss().is_nan() && sums.perplexity().is_nan());
    }

    proptest! {
        /// Whatever losses the micro-batches have and whoever adds them up: each total is the exact one, or it is
        /// flagged. `i128` says what is exact.
        #[test]
        fn no_sum_over_workers_wraps(
            micro_batches in prop::collection::vec(
                prop::collection::vec(
                    prop_oneof![-1.07e9f32..1.07e9f32, 0f32..20f32, Just(1.07e9f32)],
                    0..6,
                ),
                1..40,
            ),
        ) {
            let parts = micro_batches.len();
            let sums = micro_batches.iter().map(|losses| {
                let mut sums = SetSums::default();
                for loss in losses {
                    sums.add(&[*loss], &[false]);
                }
                (sums.bounded(parts), losses)
            });
            let (mut total, mut exact) = ([0i64; WIDTH], 0i128);
            for (sums, losses) in sums {
                for (sum, more) in total.iter_mut().zip(sums.to_array()) {
                    // As workers and their all-reduce add.
                    let (added, wrapped) = sum.overflowing_add(more);
                    prop_assert!(!wrapped);
                    *sum = added;
                }
                exact += losses.iter().map(|l| i128::from(fixed(*l).unwrap())).sum::<i128>();
            }
            let total = SetSums::from_array(total);
            let is_exact = i128::from(total.loss) == exact && total.loss == total.sample_loss;
            prop_assert!(is_exact || total.overflows > 0);
            prop_assert!(total.overflows == 0 || total.mean_loss().is_nan());
        }
    }

    #[test]
    fn a_sum_that_only_fits_alone_is_flagged_among_others() {
        let mut sums = SetSums::default();
        sums.add(&[1.07e9], &[true]);
        assert_eq!(sums.bounded(1), sums);
        let among = sums.bounded(2);
        assert_eq!((among.overflows, among.loss), (0, sums.loss));
        let among = sums.bounded(3);
        assert_eq!((among.overflows, among.loss), (2, i64::MAX / 3));
        sums.add(&[1.07e9, 1.07e9], &[true, true]);
        assert!(sums.overflows > 0, "beyond 2^31 nats in one micro-batch");
    }

    #[test]
    fn a_sample_without_a_target_is_none() {
        let mut sums = SetSums::default();
        sums.add(&[], &[]);
        assert_eq!(sums, SetSums::default());
    }

    #[test]
    fn halves_are_rounded_to_even() {
        let rounded = [(1, 2), (3, 2), (5, 2), (7, 3), (8, 3)].map(|(a, b)| divided(a, b));
        assert_eq!(rounded, [0, 2, 2, 2, 3]);
    }
}
