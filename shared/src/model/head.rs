//! How many rows the output head computes at a time.
//!
//! In: the vocabulary and whether it is a GPU. Out: rows of one part. Keeps: a part's logits stay
//! within megabytes; how much there is to compute changes nothing, so the same micro-batch is cut the
//! same way everywhere of a device class.

/// Bytes of one part's logits in f32. A GPU needs more rows to be busy.
const LOGITS_ON_CPU: usize = 32 << 20;
const LOGITS_ON_GPU: usize = 128 << 20;

/// Rows of one part, at least one.
#[must_use]
pub fn head_rows(vocabulary: usize, on_gpu: bool) -> usize {
    let bytes = if on_gpu { LOGITS_ON_GPU } else { LOGITS_ON_CPU };
    (bytes / (4 * vocabulary.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_vocabulary_has_few_rows_and_never_none() {
        assert_eq!(head_rows(150_000, false), 55);
        assert_eq!(head_rows(150_000, true), 223);
        assert_eq!(head_rows(1 << 40, false), 1);
        assert_eq!(head_rows(0, false), 8 << 20);
    }
}
