//! Floats to fixed-point integers and back.
//!
//! In: f32 gradients and token losses. Out: i64 at 2^44 and 2^40, and whether something did not fit.
//!
//! ```text
//! q    = round_half_even(g * 2^44)            of each element of a micro-batch's gradient
//! g    = q * 2^-44                            back, of a sum over all micro-batches of the step
//! loss = sum over tokens of round_half_even(nll * 2^40)
//! mean = loss * 2^-40 / tokens                nats per target token
//! ```
//!
//! Multiplying an f32 by a power of two is exact in f64, so the only rounding is half to even. Keeps: integer sums of
//! values that passed the check cannot wrap, whatever the order: |q| < 2^63 / micro-batches of the step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::parallel::{each, share};

/// Gradients are integers in units of 2^-44.
pub const GRADIENT_SCALE_BITS: u32 = 44;
/// Losses are integers in units of 2^-40 nats.
pub const LOSS_SCALE_BITS: u32 = 40;

const GRADIENT_SCALE: f64 = (1u64 << GRADIENT_SCALE_BITS) as f64;
const LOSS_SCALE: f64 = (1u64 << LOSS_SCALE_BITS) as f64;
const TWO_52: f64 = 4_503_599_627_370_496.0;
/// Adding it to |x| < 2^51 rounds half to even, and the sum's bits hold the integer.
const ROUND: f64 = 1.5 * TWO_52;
/// Blocks whose elements are all below 2^7 have |q| < 2^51 and take the vector path.
const SMALL: f32 = 128.0;
const BLOCK: usize = 1024;

/// Whether an element was not finite or out of range; it travels with the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Overflow(pub bool);

impl std::ops::BitOr for Overflow {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Overflow {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Writes `round_half_even(g * 2^44)` of every element.
///
/// An element that is not finite, or whose integer is 2^63 / `micro_batches_in_step` or more in
/// size, becomes 0 and raises the flag: so a step's sum never wraps. Elements are paired up to the
/// shorter of the two slices.
pub fn quantize_into(gradient: &[f32], micro_batches_in_step: u32, out: &mut [i64]) -> Overflow {
    debug_assert_eq!(gradient.len(), out.len());
    let parts = u64::from(micro_batches_in_step.max(1));
    let share = share(gradient.len());
    let overflow = AtomicBool::new(false);
    let shares = gradient.chunks(share).zip(out.chunks_mut(share));
    each(shares, |(values, integers)| {
        if quantize_share(values, parts, integers).0 {
            overflow.store(true, Ordering::Relaxed);
        }
    });
    Overflow(overflow.into_inner())
}

fn quantize_share(gradient: &[f32], parts: u64, out: &mut [i64]) -> Overflow {
    let mut overflow = Overflow(false);
    for (values, integers) in gradient.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
        // 2^51 of the vector path times 2^12 micro-batches is the bound itself.
        if parts <= 1 << 12 && all_small(values) {
            for (integer, &value) in integers.iter_mut().zip(values) {
                *integer = round_small(f64::from(value) * GRADIENT_SCALE);
            }
        } else {
            for (integer, &value) in integers.iter_mut().zip(values) {
                *integer = match round_any(f64::from(value) * GRADIENT_SCALE) {
                    Some(q) if u128::from(q.unsigned_abs()) * u128::from(parts) < 1 << 63 => q,
                    _ => {
                        overflow = Overflow(true);
                        0
                    }
                };
            }
        }
    }
    overflow
}

/// Sums `round_half_even(x * 2^40)` over the tokens of a micro-batch.
///
/// True means overflow: a loss that is not finite or a sum that does not fit; those tokens, or the
/// sum, count as 0.
#[must_use]
pub fn quantize_losses(nll: &[f32]) -> (i64, bool) {
    let mut sum = 0i128;
    let mut overflow = false;
    for &value in nll {
        match round_any(f64::from(value) * LOSS_SCALE) {
            Some(q) => sum += i128::from(q),
            None => overflow = true,
        }
    }
    match i64::try_from(sum) {
        Ok(sum) => (sum, overflow),
        Err(_) => (0, true),
    }
}

/// Adds two loss sums; nothing when the result does not fit (8.4 million nats per step).
#[must_use]
pub fn add_losses(one: i64, other: i64) -> Option<i64> {
    one.checked_add(other)
}

/// Adds integers element by element, wrapping.
pub fn accumulate(into: &mut [i64], add: &[i64]) {
    debug_assert_eq!(into.len(), add.len());
    let share = share(into.len());
    each(
        into.chunks_mut(share).zip(add.chunks(share)),
        |(into, add)| {
            for (sum, &part) in into.iter_mut().zip(add) {
                *sum = sum.wrapping_add(part);
            }
        },
    );
}

/// `total * 2^-44`, the one way back from an integer to a gradient.
#[must_use]
#[inline]
pub fn dequantize(total: i64) -> f64 {
    total as f64 * (1.0 / GRADIENT_SCALE)
}

/// The mean loss of `tokens` target tokens; not a number when there is none.
#[must_use]
pub fn loss_value(sum: i64, tokens: u64) -> f64 {
    sum as f64 * (1.0 / LOSS_SCALE) / tokens as f64
}

fn all_small(values: &[f32]) -> bool {
    // Written so that NaN counts as large.
    values
        .iter()
        .fold(true, |small, value| small & (value.abs() < SMALL))
}

#[inline]
fn round_small(scaled: f64) -> i64 {
    ((scaled + ROUND).to_bits() as i64).wrapping_sub(ROUND.to_bits() as i64)
}

fn round_any(scaled: f64) -> Option<i64> {
    const LIMIT: f64 = (1u64 << 63) as f64;
    if scaled.abs() < TWO_52 / 2.0 {
        Some(round_small(scaled))
    } else if scaled.abs() < LIMIT {
        // An f32 has 24 significant bits: from 2^51 on the scaled value is whole already.
        Some(scaled as i64)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "fixed_point_tests.rs"]
mod tests;
