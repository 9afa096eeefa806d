//! Dynamic loss scaling, the rule of torch's GradScaler, as a pure function of committed steps.
//!
//! In: the scale a step was computed with, and whether anything in it overflowed. Out: the scale of the next one:
//!
//! ```text
//! overflowed                        scale' = max(scale / 2, 1)        good' = 0    skipped' = skipped + 1
//! the 2000th good step in a row     scale' = min(scale * 2, 2^62)     good' = 0
//! any other good step               scale' = scale                    good' = good + 1
//! ```
//!
//! Keeps: a power of two from 1 to 2^62, so that scaling and unscaling are exact; every worker computes the same one,
//! for the flag is part of the reduced total. Not here: what a skipped step means for the run (see the coordinator's
//! engine).

use serde::{Deserialize, Serialize};

/// Good steps in a row after which the scale doubles.
pub const GROWTH_INTERVAL: u32 = 2000;
/// The largest scale; torch goes on to 2^127, where no f16 gradient is finite any more.
pub const LARGEST_LOSS_SCALE: u64 = 1 << 62;

/// The loss scale as part of the committed state; there is none unless the run computes in fp16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossScale {
    /// The scale of the next step, a power of two.
    pub scale: u64,
    /// Steps in a row that were applied since the scale changed.
    pub good_steps: u32,
    /// Steps of this run that were skipped: the learning rate does not count them.
    pub skipped_steps: u64,
}

impl LossScale {
    /// The scale before step 1: `scale` itself, or the power of two below it.
    #[must_use]
    pub fn new(scale: u64) -> Self {
        let scale = scale.clamp(1, LARGEST_LOSS_SCALE);
        Self {
            scale: 1 << scale.ilog2(),
            good_steps: 0,
            skipped_steps: 0,
        }
    }

    /// The factor on the loss as f32, exact because the scale is a power of two.
    #[must_use]
    pub fn factor(&self) -> f32 {
        self.scale as f32
    }

    /// A smaller scale cannot help: what overflows here is not finite by itself.
    #[must_use]
    pub fn is_least(&self) -> bool {
        self.scale == 1
    }

    /// After a step: doubled by the last of [`GROWTH_INTERVAL`] good ones, halved by an overflow.
    #[must_use]
    pub fn after(self, overflowed: bool) -> Self {
        if overflowed {
            return Self {
                scale: (self.scale / 2).max(1),
                good_steps: 0,
                skipped_steps: self.skipped_steps + 1,
            };
        }
        let good_steps = self.good_steps.saturating_add(1);
        if good_steps < GROWTH_INTERVAL {
            return Self { good_steps, ..self };
        }
        Self {
            scale: self.scale.saturating_mul(2).min(LARGEST_LOSS_SCALE),
            good_steps: 0,
            ..self
        }
    }
}

/// Multiplies a gradient by `1 / factor`: exact, but for values below 2^-126, far under the integers' resolution.
/// Infinities and NaNs stay what they are.
pub fn unscale(gradient: &mut [f32], factor: f32) {
    if factor == 1.0 {
        return;
    }
    let inverse = 1.0 / factor;
    for value in gradient {
        *value *= inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // torch 2.11.0, `torch.amp.GradScaler("cpu")`, with an infinite gradient in the steps marked 1 and
    // `growth_interval=3`: the scale of each step. Our interval is a constant, so 1,997 good steps
    // before each of ours stand for none of torch's.
    const INFINITE: [u8; 12] = [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const TORCH: [f32; 12] = [
        65536.0, 32768.0, 32768.0, 32768.0, 65536.0, 65536.0, 65536.0, 32768.0, 32768.0, 32768.0,
        65536.0, 65536.0,
    ];

    #[test]
    fn the_scale_goes_as_torch_has_it() {
        let mut scale = LossScale::new(65_536);
        for (infinite, expected) in INFINITE.into_iter().zip(TORCH) {
            assert_eq!(scale.factor(), expected);
            if scale.good_steps == 0 {
                scale.good_steps = GROWTH_INTERVAL - 3;
            }
            scale = scale.after(infinite == 1);
        }
        assert_eq!((scale.scale, scale.skipped_steps), (32_768, 3));
    }

    #[test]
    fn two_thousand_good_steps_in_a_row_double_it() {
        let mut scale = LossScale::new(4);
        for _ in 1..GROWTH_INTERVAL {
            scale = scale.after(false);
        }
        assert_eq!((scale.scale, scale.good_steps), (4, 1999));
        let broken = scale.after(true);
        assert_eq!((broken.scale, broken.good_steps), (2, 0));
        assert_eq!(scale.after(false), LossScale::new(8));
    }

    #[test]
    fn it_stays_a_power_of_two_between_its_bounds() {
        assert_eq!(LossScale::new(1).after(true).scale, 1);
        let mut largest = LossScale::new(u64::MAX);
        largest.good_steps = GROWTH_INTERVAL;
        assert_eq!(largest.after(false).scale, LARGEST_LOSS_SCALE);
        assert_eq!(LossScale::new(0).scale, 1);
        assert_eq!(LossScale::new(65_537).scale, 65_536);
        assert_eq!(LossScale::new(LARGEST_LOSS_SCALE).factor(), 2f32.powi(62));
    }

    #[test]
    fn unscaling_is_exact_and_hides_nothing() {
        let gradient = [1.5f32, -0.1, 3.0e-30, f32::INFINITY, f32::NAN];
        let mut scaled = gradient.map(|value| value * 65_536.0);
        unscale(&mut scaled, 65_536.0);
        assert_eq!(scaled[..4], gradient[..4]);
        assert!(scaled[4].is_nan());
    }
}
