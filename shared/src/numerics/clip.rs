//! Clipping by the gradient's L2 norm, in f64 and in one order.
//!
//! In: the reduced integers q. Out: `sqrt(sum of (q * 2^-44)^2)`, the norm before clipping that is logged and committed;
//! the factor on the gradient that it gives.
//! Keeps: eight lanes inside a chunk of 4096, lanes then chunks joined in order, so the value is
//! the same for any number of threads.

use super::fixed_point::dequantize;
use super::parallel::{CHUNK, each, share};

const LANES: usize = 8;

/// L2 norm of the gradient whose reduced integers are `total`, in f64; 0 for no elements.
#[must_use]
pub fn grad_norm(total: &[i64]) -> f64 {
    let mut sums = vec![0f64; total.len().div_ceil(CHUNK)];
    let share = share(total.len());
    let shares = total.chunks(share).zip(sums.chunks_mut(share / CHUNK));
    each(shares, |(total, sums)| {
        for (sum, chunk) in sums.iter_mut().zip(total.chunks(CHUNK)) {
            *sum = sum_of_squares(chunk);
        }
    });
    // The square root is correctly rounded everywhere.
    sums.iter().fold(0.0, |total, sum| total + sum).sqrt()
}

/// `min(1, max_grad_norm / (grad_norm + 1e-6))`, the factor on a gradient of this norm; 1 where `max_grad_norm` is 0.
pub(super) fn clip_factor(grad_norm: f64, max_grad_norm: f64) -> f32 {
    if max_grad_norm > 0.0 {
        // Torch divides in f32.
        (max_grad_norm as f32 / (grad_norm as f32 + 1e-6)).min(1.0)
    } else {
        1.0
    }
}

fn sum_of_squares(chunk: &[i64]) -> f64 {
    let mut lanes = [0f64; LANES];
    let whole = chunk.chunks_exact(LANES);
    let rest = whole.remainder();
    for group in whole {
        for (lane, &q) in lanes.iter_mut().zip(group) {
            let g = dequantize(q);
            *lane += g * g;
        }
    }
    for (lane, &q) in lanes.iter_mut().zip(rest) {
        let g = dequantize(q);
        *lane += g * g;
    }
    lanes.iter().fold(0.0, |sum, lane| sum + lane)
}

#[cfg(test)]
mod tests {
    use super::super::parallel::in_pools;
    use super::*;

    fn integers(n: usize) -> Vec<i64> {
        (0..n as u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 22) as i64 - (1 << 41))
            .collect()
    }

    #[test]
    fn it_is_the_euclidean_norm() {
        assert_eq!(grad_norm(&[]), 0.0);
        assert_eq!(grad_norm(&[3 << 44, -(4i64 << 44)]), 5.0);
        let total = integers(10_001);
        let plain: f64 = total
            .iter()
            .map(|&q| dequantize(q).powi(2))
            .sum::<f64>()
            .sqrt();
        assert!((grad_norm(&total) / plain - 1.0).abs() < 1e-13);
    }

    #[test]
    fn threads_change_no_bit() {
        let total = integers(4_300_003);
        let plain = total.chunks(CHUNK).map(sum_of_squares);
        let plain = plain.fold(0.0, |total, sum| total + sum).sqrt().to_bits();
        let found = in_pools(|| grad_norm(&total).to_bits());
        assert_eq!(found, [plain; 4]);
    }

    #[test]
    fn the_order_of_addition_is_fixed() {
        // Written once by this code; a change here changes every run's bytes. Many lengths, because
        // the root hides most differences of a last bit.
        let bits = (1..300).map(|k| grad_norm(&integers(k * 97)).to_bits());
        assert_eq!(
            bits.fold(0u64, |c, b| c.wrapping_mul(1_000_003).wrapping_add(b)),
            10_927_234_849_349_957_615
        );
    }
}
