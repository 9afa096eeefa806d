//! The learning rate of every step, as transformers' `get_scheduler` computes it.
//!
//! In: shape, peak, warm-up, number of steps. Out: the rate that the step with index i uses:
//!
//! ```text
//! rate(i) = peak * factor(i)                             i from 0, total steps in the run
//! w       = warmup_steps, or ceil(total * warmup_ratio) where that is 0
//!
//! constant                 1
//! the others, i < w        i / w
//! constant_with_warmup     1
//! linear                   max(0, total - i) / max(1, total - w)
//! cosine                   max(0, (1 + cos(pi * (i - w) / max(1, total - w))) / 2)
//! ```
//!
//! With a warm-up the first step uses 0 and the last one more than 0. The cosine is `libm`'s: the standard library's
//! differs between platforms.

use crate::config::{LrSchedulerType, RunConfig};

/// Everything the learning rate depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Shape of the curve behind the warm-up.
    pub shape: LrSchedulerType,
    /// Peak of the learning rate, which the warm-up leads to.
    pub peak: f64,
    /// Steps of warm-up, 0 without one.
    pub warmup: u64,
    /// Steps of the whole run.
    pub total: u64,
}

impl Schedule {
    /// The schedule of a run with `total` steps.
    #[must_use]
    pub fn new(config: &RunConfig, total: u64) -> Self {
        let warmup = if config.warmup_steps > 0 {
            config.warmup_steps
        } else {
            (total as f64 * config.warmup_ratio).ceil() as u64
        };
        Self {
            shape: config.lr_scheduler_type,
            peak: config.learning_rate,
            warmup,
            total,
        }
    }

    /// The rate used by the step with this index, from 0.
    #[must_use]
    pub fn rate(&self, index: u64) -> f64 {
        self.peak * self.factor(index)
    }

    fn factor(&self, index: u64) -> f64 {
        if self.shape == LrSchedulerType::Constant {
            return 1.0;
        }
        if index < self.warmup {
            return index as f64 / self.warmup.max(1) as f64;
        }
        let decay = self.total.saturating_sub(self.warmup).max(1) as f64;
        match self.shape {
            LrSchedulerType::Constant | LrSchedulerType::ConstantWithWarmup => 1.0,
            LrSchedulerType::Linear => self.total.saturating_sub(index) as f64 / decay,
            LrSchedulerType::Cosine => {
                let progress = (index - self.warmup) as f64 / decay;
                let cosine = libm::cos(std::f64::consts::PI * 0.5 * 2.0 * progress);
                (0.5 * (1.0 + cosine)).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by transformers 5.23.0: shape, steps, warm-up, peak, then the rate of every step.
    type Golden = (LrSchedulerType, u64, u64, f64, &'static [f64]);
    const GOLDEN: [Golden; 6] = [
        (
            LrSchedulerType::Linear,
            9,
            0,
            1.5e-4,
            &[
                0.00015,
                0.0001333333333333333,
                0.00011666666666666665,
                9.999999999999999e-05,
                8.333333333333333e-05,
                6.666666666666666e-05,
                4.9999999999999996e-05,
                3.333333333333333e-05,
                1.6666666666666664e-05,
            ],
        ),
        (
            LrSchedulerType::Linear,
            9,
            3,
            1.5e-4,
            &[
                0.0,
                4.9999999999999996e-05,
                9.999999999999999e-05,
                0.00015,
                0.000125,
                9.999999999999999e-05,
                7.5e-05,
                4.9999999999999996e-05,
                2.4999999999999998e-05,
            ],
        ),
        (
            LrSchedulerType::Cosine,
            9,
            2,
            1.5e-4,
            &[
                0.0,
                7.5e-05,
                0.00015,
                0.0001425726650926814,
                0.00012176173513940501,
                9.168907004672357e-05,
                5.831092995327642e-05,
                2.8238264860594987e-05,
                7.427334907318571e-06,
            ],
        ),
        (
            LrSchedulerType::Cosine,
            7,
            0,
            3e-3,
            &[
                0.003,
                0.002851453301853629,
                0.0024352347027881004,
                0.0018337814009344716,
                0.0011662185990655284,
                0.0005647652972118998,
                0.00014854669814637144,
            ],
        ),
        (
            LrSchedulerType::Constant,
            4,
            2,
            1e-4,
            &[0.0001, 0.0001, 0.0001, 0.0001],
        ),
        (
            LrSchedulerType::ConstantWithWarmup,
            5,
            3,
            1e-4,
            &[
                0.0,
                3.3333333333333335e-05,
                6.666666666666667e-05,
                0.0001,
                0.0001,
            ],
        ),
    ];

    #[test]
    fn every_shape_gives_the_numbers_of_transformers() {
        for (shape, total, warmup, peak, expected) in GOLDEN {
            let schedule = Schedule {
                shape,
                peak,
                warmup,
                total,
            };
            let rates: Vec<f64> = (0..total).map(|s| schedule.rate(s)).collect();
            for (ours, theirs) in rates.iter().zip(expected) {
                // The cosine may differ in its last bit; the others may not.
                let room = if shape == LrSchedulerType::Cosine {
                    2e-16 * peak
                } else {
                    0.0
                };
                assert!((ours - theirs).abs() <= room, "{shape:?} {rates:?}");
            }
            assert_eq!(rates.len(), expected.len());
        }
    }

    #[test]
    fn past_the_last_step_the_rate_is_never_negative() {
        for shape in [LrSchedulerType::Linear, LrSchedulerType::Cosine] {
            let schedule = Schedule {
                shape,
                peak: 1.0,
                warmup: 8,
                total: 5,
            };
            assert!((0..20).all(|s| schedule.rate(s) >= 0.0), "{shape:?}");
        }
    }
}
