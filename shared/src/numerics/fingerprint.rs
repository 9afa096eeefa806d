//! A check that adds like the sums it checks.
//!
//! In: a slice of integers and where it starts in the whole. Out: `sum w_i * q_i` modulo the prime
//! 2^61 - 1, with weights from an integer hash of the element's index. So the fingerprint of a sum
//! is the sum of the fingerprints, of a whole the sum of its slices, and an element changed by
//! less than 2^61 - 1 always changes it. Made against damage, not against malice.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use super::parallel::{each, share};

const BITS: u32 = 61;
const PRIME: u64 = (1 << BITS) - 1;
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
/// Sixteen products of 60 by 63 bits fit an i128.
const BATCH: usize = 16;

/// A fingerprint, below 2^61 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl Add for Fingerprint {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(((u128::from(self.0) + u128::from(other.0)) % u128::from(PRIME)) as u64)
    }
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Fingerprint {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

/// The fingerprint of `integers`, which start at element `first_index` of the whole.
#[must_use]
pub fn fingerprint(integers: &[i64], first_index: u64) -> Fingerprint {
    let share = share(integers.len());
    let mut parts = vec![Fingerprint::default(); integers.len().div_ceil(share)];
    let indices = (first_index..).step_by(share);
    let shares = integers.chunks(share).zip(indices).zip(&mut parts);
    each(shares, |((integers, index), part)| {
        *part = of_share(integers, index);
    });
    parts.into_iter().sum()
}

fn of_share(integers: &[i64], first_index: u64) -> Fingerprint {
    let mut counter = first_index.wrapping_mul(STRIDE);
    let (batches, rest) = integers.as_chunks::<BATCH>();
    let mut total = 0i128;
    for batch in batches {
        // Weights before products: neither waits for the other then.
        let weights: [i64; BATCH] =
            std::array::from_fn(|i| weight(counter.wrapping_add(STRIDE.wrapping_mul(i as u64))));
        let (even, odd) = (0..BATCH / 2).fold((0, 0), |(even, odd), i| {
            let product = |i: usize| i128::from(weights[i]) * i128::from(batch[i]);
            (even + product(2 * i), odd + product(2 * i + 1))
        });
        total += fold(even + odd);
        counter = counter.wrapping_add(STRIDE.wrapping_mul(BATCH as u64));
    }
    let mut sum = 0i128;
    for &integer in rest {
        sum += i128::from(weight(counter)) * i128::from(integer);
        counter = counter.wrapping_add(STRIDE);
    }
    total += fold(sum);
    Fingerprint(total.rem_euclid(i128::from(PRIME)) as u64)
}

/// The weight of one element: the mix of splitmix64 over `index * 0x9e3779b97f4a7c15`, cut to 60 bits and made odd, so
/// never 0 modulo the prime.
#[inline]
fn weight(counter: u64) -> i64 {
    let mut z = counter;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((z ^ (z >> 31)) >> 4) | 1) as i64
}

/// The residue of `sum` modulo the prime, not reduced but in at most 68 bits.
#[inline]
fn fold(sum: i128) -> i128 {
    (sum >> BITS) + (sum & i128::from(PRIME))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parallel::in_pools;
    use super::*;

    fn slow(integers: &[i64], first_index: u64) -> u64 {
        let p = i128::from(PRIME);
        let mut total = 0i128;
        for (i, &q) in integers.iter().enumerate() {
            let w = i128::from(weight((first_index + i as u64).wrapping_mul(STRIDE)));
            total = (total + w * i128::from(q).rem_euclid(p)) % p;
        }
        total as u64
    }

    #[test]
    fn it_is_fixed_for_ever() {
        let integers: Vec<i64> = (0..20).map(|i| (i - 7) * 1_000_000_007 * 12_345).collect();
        assert_eq!(fingerprint(&[], 3), Fingerprint(0));
        assert_eq!(fingerprint(&integers, 5).0, slow(&integers, 5));
        assert_eq!(
            fingerprint(&[1], 1),
            Fingerprint(0xe220_a839_7b1d_cdaf >> 4 | 1)
        );
        assert_eq!(fingerprint(&[i64::MIN; 33], 5).0, slow(&[i64::MIN; 33], 5));
        assert_eq!(fingerprint(&[i64::MAX; 32], 5).0, slow(&[i64::MAX; 32], 5));
    }

    #[test]
    fn threads_change_nothing() {
        let integers: Vec<i64> = (0..1_100_003u64)
            .map(|i| i.wrapping_mul(0x2545_f491_4f6c_dd1d) as i64)
            .collect();
        let found = in_pools(|| fingerprint(&integers, 5).0);
        assert_eq!(found, [slow(&integers, 5); 4]);
    }

    proptest! {
        #[test]
        fn it_equals_the_definition(q in prop::collection::vec(any::<i64>(), 0..40), at in 0u64..1 << 40) {
            prop_assert_eq!(fingerprint(&q, at).0, slow(&q, at));
        }

        #[test]
        fn it_adds_like_the_sums(
            pairs in prop::collection::vec((-(1i64 << 62)..1 << 62, -(1i64 << 62)..1 << 62), 0..40),
        ) {
            let (a, b): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
            let sum: Vec<i64> = pairs.iter().map(|(a, b)| a + b).collect();
            prop_assert_eq!(fingerprint(&a, 9) + fingerprint(&b, 9), fingerprint(&sum, 9));
        }

        #[test]
        fn slices_add_to_the_whole(q in prop::collection::vec(any::<i64>(), 1..60), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(q.len());
            let parts = [fingerprint(&q[..cut], 0), fingerprint(&q[cut..], cut as u64)];
            prop_assert_eq!(parts.into_iter().sum::<Fingerprint>(), fingerprint(&q, 0));
        }

        #[test]
        fn one_flipped_bit_or_two_swapped_elements_change_it(
            q in prop::collection::vec(any::<i64>(), 2..40),
            at in any::<prop::sample::Index>(), bit in 0u32..64,
        ) {
            let at = at.index(q.len());
            let mut flipped = q.clone();
            flipped[at] ^= 1i64 << bit;
            prop_assert_ne!(fingerprint(&flipped, 0), fingerprint(&q, 0));
            let mut swapped = q.clone();
            swapped.swap(0, at);
            prop_assert_eq!(fingerprint(&swapped, 0) == fingerprint(&q, 0), swapped == q);
        }
    }
}
