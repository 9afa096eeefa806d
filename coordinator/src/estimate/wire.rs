//! Bytes that a worker sends to its peers in one step.
//!
//! In: elements of the reduced vector, members. Out: bytes. Member j owns slice j of the vector: every
//! other member sends it that slice (reduce-scatter), and it sends its total to every other member
//! (all-gather). Slices differ by one element at most, so the first member's is the largest.
//! Not here: what goes to the coordinator, which is kilobytes, and the frames' own bytes, under 1 %.

/// Values behind the gradient in the vector: loss, targets, overflows, micro-batches.
pub const EXTRAS: u64 = 4;
/// Bytes of one value.
const I64: u64 = 8;

/// Most bytes of values that one of `workers` sends in a step.
///
/// `8 (P + 4 - s) + 8 s (W - 1)` for an owner of a slice of `s = ceil((P + 4) / W)` values.
#[must_use]
pub fn sent_per_step(parameters: u64, workers: u64) -> u64 {
    let length = parameters + EXTRAS;
    let own = length.div_ceil(workers.max(1));
    I64 * (length - own) + I64 * own * (workers.max(1) - 1)
}

/// Bytes of values that all workers together send in a step: `16 (P + 4) (W - 1)`.
#[must_use]
pub fn sent_by_all(parameters: u64, workers: u64) -> u64 {
    2 * I64 * (parameters + EXTRAS) * (workers.max(1) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_sends_others_slices_and_its_own_total() {
        assert_eq!(sent_per_step(96, 1), 0);
        assert_eq!(sent_per_step(96, 2), 8 * 50 + 8 * 50);
        assert_eq!(sent_per_step(96, 4), 8 * 75 + 8 * 25 * 3);
        // 100 = 34 + 33 + 33.
        assert_eq!(sent_per_step(96, 3), 8 * 66 + 8 * 34 * 2);
        assert_eq!(sent_by_all(96, 3), 8 * (66 + 68 + 2 * (67 + 66)));
    }
}
