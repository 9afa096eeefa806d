//! The order of one epoch: `torch.randperm` without torch.
//!
//! In: seed, epoch, number of samples. Out: their order. Torch has two Fisher-Yates variants, the
//! second for more rows than a 32-bit draw can mix evenly; both are here.

use super::mersenne::Mersenne;

/// Below this many rows torch draws 32 bits per swap.
const WIDE_FROM: usize = (u32::MAX / 20) as usize;

/// The order in which epoch `epoch` (from 0) reads `n` samples.
///
/// With `shuffle` it is `torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch))`
/// on a CPU, else the order of the data. Rows are 32-bit: a longer dataset is cut to that, which
/// the prepared dataset cannot reach.
#[must_use]
pub fn permutation(seed: u64, epoch: u64, n: usize, shuffle: bool) -> Vec<u32> {
    let rows = u32::try_from(n).unwrap_or(u32::MAX);
    if !shuffle {
        return (0..rows).collect();
    }
    let mut generator = Mersenne::new(seed.wrapping_add(epoch));
    if n < WIDE_FROM {
        let mut order: Vec<u32> = (0..rows).collect();
        for i in 0..n.saturating_sub(1) {
            let z = generator.draw() as usize % (n - i);
            order.swap(i, i + z);
        }
        return order;
    }
    // The inside-out variant: row i takes the place z, and what stood there moves to the end.
    let mut order: Vec<u32> = Vec::with_capacity(rows as usize);
    for row in 0..rows {
        let z = (generator.draw_wide() % (u64::from(row) + 1)) as usize;
        order.push(row);
        let last = order.len() - 1;
        order.swap(z, last);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(order: &[u32]) -> u64 {
        order.iter().fold(0u64, |c, &v| {
            c.wrapping_mul(1_000_003).wrapping_add(u64::from(v))
        })
    }

    // Printed by torch 2.11.0: seed, n, then `c = c * 1000003 + v` over torch.randperm.
    const GOLDEN: [(u64, usize, u64); 8] = [
        (42, 1, 0),
        (42, 2, 1),
        (42, 10, 4_367_441_860_860_227_361),
        (43, 10, 3_703_992_685_386_256_633),
        (0, 7, 6_032_714_805_321_997_615),
        ((1 << 32) + 7, 10, 761_916_358_200_778_849),
        ((1 << 40) - 1, 22, 3_701_644_938_584_802_009),
        (42, 1000, 2_443_707_488_768_793_688),
    ];

    #[test]
    fn the_order_is_that_of_torch_randperm() {
        assert_eq!(permutation(42, 0, 10, true), [2, 6, 1, 8, 4, 5, 0, 9, 3, 7]);
        for (seed, n, expected) in GOLDEN {
            assert_eq!(
                checksum(&permutation(seed, 0, n, true)),
                expected,
                "seed {seed}, n {n}"
            );
        }
    }

    #[test]
    fn the_epoch_is_added_to_the_seed() {
        assert_eq!(permutation(40, 3, 50, true), permutation(43, 0, 50, true));
        assert_ne!(permutation(42, 0, 50, true), permutation(42, 1, 50, true));
    }

    #[test]
    fn without_shuffle_the_data_keeps_its_order() {
        assert_eq!(permutation(42, 5, 4, false), [0, 1, 2, 3]);
        assert!(permutation(42, 0, 0, true).is_empty());
    }

    #[test]
    fn from_214748364_rows_on_torch_draws_64_bits() {
        assert_eq!(
            permutation(42, 0, 214_748_363, true)[..4],
            [105_399_001, 199_900_638, 3_068_019, 143_601_337]
        );
        assert_eq!(
            permutation(42, 0, 214_748_365, true)[..8],
            [
                85_514_504,
                93_417_259,
                199_404_010,
                60_269_803,
                87_481_865,
                115_296_688,
                108_395_808,
                23_093_201
            ]
        );
    }
}
