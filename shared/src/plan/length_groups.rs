//! The order of one epoch by length: transformers' `get_length_grouped_indices`.
//!
//! In: the shuffled order of the epoch, lengths, samples per step. Out: the order in which each
//! step holds samples of like length. Up to fifty steps at a time are sorted from long to short,
//! and the longest sample of all comes first. Not here: the shuffling (see `permutation`).

use std::cmp::Reverse;

/// Sorts `order` within mega-batches of steps of `global_batch` samples.
///
/// With `torch.Generator().manual_seed(seed + epoch)` as its `generator` transformers 5.23 gives
/// the same order; left alone, its Trainer draws from the process's generator.
pub(super) fn group_by_length(order: &mut [u32], lengths: &[u32], global_batch: usize) {
    let global_batch = global_batch.max(1);
    let length = |row: u32| lengths.get(row as usize).copied().unwrap_or(0);
    // At least four mega-batches, where there are samples enough, so that chance has its part.
    let steps = (order.len() / (global_batch * 4)).clamp(1, 50);
    let mega_batch = steps * global_batch;
    for rows in order.chunks_mut(mega_batch) {
        rows.sort_by_key(|&row| Reverse(length(row)));
    }
    // The first of the longest, as torch's argmax takes it.
    let firsts = (0..order.len()).step_by(mega_batch);
    let longest = firsts.min_by_key(|&place| (Reverse(length(order[place])), place));
    if let Some(place) = longest {
        order.swap(0, place);
    }
}

#[cfg(test)]
mod tests {
    use super::super::permutation;
    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        made_with: std::collections::BTreeMap<String, String>,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        seed: u64,
        epoch: u64,
        global_batch: usize,
        lengths: Vec<u32>,
        order: Vec<u32>,
    }

    // Made by transformers 5.23.0: tests/golden/make_order_golden.py.
    #[test]
    fn the_order_is_that_of_transformers() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/golden/data/length_groups.json"
        );
        let golden: Golden = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(golden.made_with["transformers"], "5.23.0");
        assert!(golden.cases.len() >= 8);
        for case in golden.cases {
            let mut order = permutation(case.seed, case.epoch, case.lengths.len(), true);
            group_by_length(&mut order, &case.lengths, case.global_batch);
            let size = (case.lengths.len(), case.global_batch);
            assert_eq!(order, case.order, "samples and global batch {size:?}");
        }
    }

    #[test]
    fn nothing_has_an_order_too() {
        group_by_length(&mut [], &[], 0);
    }
}
