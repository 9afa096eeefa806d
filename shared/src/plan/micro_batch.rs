//! A step's samples cut into micro-batches: padded beside each other, or packed behind each other.
//!
//! In: rows and lengths of a step's samples in their order, `micro_batch_size`, whether to pack.
//! Out: micro-batches. Keeps: packing changes neither the samples of a step, nor the place of a
//! sample in it, nor how many micro-batches there are; a packed micro-batch never has more tokens
//! than `micro_batch_size` rows of the step's longest sample. Not here: the order of the samples.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One unit of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatchPlan {
    /// Rows of the dataset, in the order of the step.
    pub samples: Vec<u32>,
    /// The place of each in the step, from 0. Dropout is keyed by it.
    pub positions: Vec<u32>,
    /// Tokens each takes in compute: all the longest's where they are padded, its own where they
    /// are packed.
    pub cells: Vec<u32>,
    /// Tokens of the samples themselves.
    pub tokens: u64,
}

impl MicroBatchPlan {
    /// Tokens that are computed, padding included.
    #[must_use]
    pub fn computed_tokens(&self) -> u64 {
        self.cells.iter().copied().map(u64::from).sum()
    }
}

/// Cuts a step's samples, given as rows and their lengths.
#[must_use]
pub fn cut(samples: &[(u32, u32)], size: usize, packing: bool) -> Vec<MicroBatchPlan> {
    let size = size.max(1);
    if packing {
        let lengths: Vec<u32> = samples.iter().map(|&(_, length)| length).collect();
        let parts = balanced(&lengths, samples.len().div_ceil(size));
        return parts.iter().map(|part| take(samples, part, true)).collect();
    }
    let places: Vec<usize> = (0..samples.len()).collect();
    let parts = places.chunks(size);
    parts.map(|part| take(samples, part, false)).collect()
}

fn take(samples: &[(u32, u32)], places: &[usize], packed: bool) -> MicroBatchPlan {
    let lengths = || places.iter().map(|&place| samples[place].1);
    let longest = lengths().max().unwrap_or(0);
    MicroBatchPlan {
        samples: places.iter().map(|&place| samples[place].0).collect(),
        positions: places.iter().map(|&place| place as u32).collect(),
        cells: lengths()
            .map(|l| if packed { l } else { longest })
            .collect(),
        tokens: lengths().map(u64::from).sum(),
    }
}

/// Shares places out to `parts`, so that all have about as many tokens: the longest first, each to
/// the part with the fewest (on a tie the first place, the first part). None stays empty as long as
/// there are as many places as parts. Places rise within a part, parts rise by their first place.
fn balanced(lengths: &[u32], parts: usize) -> Vec<Vec<usize>> {
    let mut longest_first: Vec<usize> = (0..lengths.len()).collect();
    longest_first.sort_by_key(|&place| (Reverse(lengths[place]), place));
    let mut shares: Vec<Vec<usize>> = vec![Vec::new(); parts];
    let mut fewest: BinaryHeap<Reverse<(u64, usize)>> =
        (0..parts).map(|part| Reverse((0, part))).collect();
    for place in longest_first {
        let Some(Reverse((tokens, part))) = fewest.pop() else {
            break;
        };
        shares[part].push(place);
        // A sample without a token still takes part, or the others would stay empty.
        let more = u64::from(lengths[place].max(1));
        fewest.push(Reverse((tokens + more, part)));
    }
    shares.iter_mut().for_each(|share| share.sort_unstable());
    shares.sort_unstable();
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(lengths: &[u32]) -> Vec<(u32, u32)> {
        (100u32..).zip(lengths.iter().copied()).collect()
    }

    #[test]
    fn padded_samples_stay_beside_each_other() {
        let found = cut(&numbered(&[5, 2, 9, 1, 4]), 2, false);
        let samples: Vec<_> = found.iter().map(|m| m.samples.clone()).collect();
        assert_eq!(samples, [vec![100, 101], vec![102, 103], vec![104]]);
        assert_eq!(found[1].positions, [2, 3]);
        assert_eq!(found[1].cells, [9, 9]);
        assert_eq!((found[1].computed_tokens(), found[1].tokens), (18, 10));
    }

    #[test]
    fn packed_samples_are_shared_out_by_tokens_the_longest_first() {
        // By hand: 9 and 5, then 4 to the 5, 2 to the first 9, 1 to the other.
        let found = cut(&numbered(&[5, 2, 9, 1, 4]), 3, true);
        let positions: Vec<_> = found.iter().map(|m| m.positions.clone()).collect();
        assert_eq!(positions, [vec![0, 3, 4], vec![1, 2]]);
        assert_eq!(found[0].samples, [100, 103, 104]);
        assert_eq!(found[0].cells, [5, 1, 4]);
        assert_eq!((found[0].computed_tokens(), found[0].tokens), (10, 10));
    }

    #[test]
    fn a_micro_batch_of_one_sample_is_the_same_either_way() {
        let samples = numbered(&[5, 2, 9, 1, 4]);
        assert_eq!(cut(&samples, 1, true), cut(&samples, 1, false));
        assert!(cut(&[], 4, true).is_empty() && cut(&[], 4, false).is_empty());
    }

    proptest! {
        #[test]
        fn packing_moves_samples_between_the_micro_batches_and_nothing_else(
            lengths in prop::collection::vec(0u32..600, 1..80),
            size in 1usize..12,
        ) {
            let samples = numbered(&lengths);
            let (padded, packed) = (cut(&samples, size, false), cut(&samples, size, true));
            prop_assert_eq!(padded.len(), packed.len());
            let listed = |found: &[MicroBatchPlan]| {
                let all = found.iter().flat_map(|m| m.positions.iter().copied().zip(m.samples.clone()));
                let mut all: Vec<_> = all.collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(listed(&padded), listed(&packed));
            prop_assert_eq!(listed(&packed), (0..).zip(samples.iter().map(|s| s.0)).collect::<Vec<_>>());
            let longest = u64::from(*lengths.iter().max().unwrap());
            for micro_batch in &packed {
                prop_assert!(!micro_batch.samples.is_empty());
                prop_assert!(micro_batch.positions.is_sorted());
                let own = micro_batch.positions.iter().map(|&p| lengths[p as usize]);
                prop_assert_eq!(&micro_batch.cells, &own.collect::<Vec<_>>());
                prop_assert_eq!(micro_batch.tokens, micro_batch.computed_tokens());
                // Samples without a token count as one of them when they are shared out.
                prop_assert!(micro_batch.tokens <= size as u64 * longest.max(1));
            }
            prop_assert_eq!(cut(&samples, size, true), packed);
        }
    }
}
