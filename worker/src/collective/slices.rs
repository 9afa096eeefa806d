//! Who owns which part of the vector, cut into chunks, and integers as bytes.
//!
//! In: a length and a number of members. Out: contiguous slices, slot j owning slice j, whose
//! lengths differ by at most one and together cover the vector exactly once.

use std::ops::Range;

use bytes::Bytes;

/// The split of a vector over the slots of a generation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slices {
    length: usize,
    world_size: usize,
}

impl Slices {
    pub(super) fn new(length: usize, world_size: usize) -> Self {
        Self {
            length,
            world_size: world_size.max(1),
        }
    }

    /// Number of slots in the generation.
    pub(super) fn world_size(self) -> usize {
        self.world_size
    }

    /// The range of elements that a slot owns; the first ranges are longer by one when the length does not divide.
    pub(super) fn of(self, slot: usize) -> Range<usize> {
        let (base, longer) = (self.length / self.world_size, self.length % self.world_size);
        let start = slot * base + slot.min(longer);
        start..start + base + usize::from(slot < longer)
    }
}

/// The range that `slot` of `world_size` members owns in a vector of this length.
#[must_use]
pub fn slice(length: usize, world_size: usize, slot: usize) -> Range<usize> {
    Slices::new(length, world_size).of(slot)
}

/// Cuts a range into chunks.
pub(super) fn chunks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(size.max(1))
        .map(move |start| start..end.min(start + size))
}

/// Little-endian bytes of integers, a copy.
pub(super) fn encode(values: &[i64]) -> Bytes {
    let mut bytes = vec![0; std::mem::size_of_val(values)];
    for (place, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(values) {
        *place = value.to_le_bytes();
    }
    Bytes::from(bytes)
}

/// Adds little-endian integers, wrapping. Both sides have the same number of elements.
pub(super) fn add(total: &mut [i64], bytes: &[u8]) {
    for (sum, value) in total.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *sum = sum.wrapping_add(i64::from_le_bytes(*value));
    }
}

/// Copies little-endian integers. Both sides have the same number of elements.
pub(super) fn copy(into: &mut [i64], bytes: &[u8]) {
    for (place, value) in into.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *place = i64::from_le_bytes(*value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_every_element_once_and_differ_by_at_most_one() {
        for world_size in 1..=9 {
            for length in [0, 1, 2, 3, 8, 9, 10, 1000, 3_000_001] {
                let slices = Slices::new(length, world_size);
                let mut next = 0;
                for slot in 0..world_size {
                    let slice = slices.of(slot);
                    assert_eq!(slice.start, next);
                    assert!(slice.len().abs_diff(length / world_size) <= 1);
                    next = slice.end;
                }
                assert_eq!(next, length);
            }
        }
    }

    #[test]
    fn chunks_cover_a_range_without_gap() {
        let cut: Vec<_> = chunks(5..18, 6).collect();
        assert_eq!(cut, [5..11, 11..17, 17..18]);
        assert_eq!(chunks(4..4, 6).count(), 0);
    }

    #[test]
    fn integers_survive_the_bytes_and_sums_wrap() {
        let values = [i64::MIN, -1, 0, 1, i64::MAX];
        let mut back = [7; 5];
        copy(&mut back, &encode(&values));
        assert_eq!(back, values);
        add(&mut back, &encode(&[-1, -1, -1, -1, 1]));
        assert_eq!(back, [i64::MAX, -2, -1, 0, i64::MIN]);
    }
}
