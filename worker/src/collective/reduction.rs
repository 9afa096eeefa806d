//! One all-reduce as arithmetic: no socket, no clock.
//!
//! In: chunks of the other members in any interleaving, each member's own in order. Out: the ranges
//! of this member's slice that have become final, and in the end the whole total. A chunk that does
//! not continue its sender's sequence is refused, so that nothing counts twice or is left out.

use std::ops::Range;

use shared::wire::peer::Phase;

use super::slices::{self, Slices};

/// Where this member stands in the all-reduce of one vector.
pub(super) struct Reduction<'a> {
    slices: Slices,
    me: usize,
    total: &'a mut [i64],
    /// By sender: the element of this member's slice that its next partial sum starts at.
    partials: Vec<usize>,
    /// By owner: the element of its slice that the next piece of its total starts at.
    totals: Vec<usize>,
    /// Elements of this member's slice before this one are final.
    final_until: usize,
}

impl<'a> Reduction<'a> {
    /// Begins with this member's own part; `total` has the length of `input`.
    pub(super) fn new(slices: Slices, me: usize, input: &[i64], total: &'a mut [i64]) -> Self {
        let mine = slices.of(me);
        total[mine.clone()].copy_from_slice(&input[mine.clone()]);
        let mut partials = vec![mine.start; slices.world_size()];
        partials[me] = mine.end;
        let mut totals: Vec<_> = (0..slices.world_size())
            .map(|slot| slices.of(slot).start)
            .collect();
        totals[me] = mine.end;
        Self {
            slices,
            me,
            total,
            partials,
            totals,
            final_until: mine.start,
        }
    }

    /// Takes a chunk in; returns the range of this member's slice that became final by it.
    pub(super) fn take(
        &mut self,
        from: usize,
        phase: Phase,
        offset: u64,
        values: &[u8],
    ) -> Result<Range<usize>, String> {
        let (slice, expected) = match phase {
            Phase::ReduceScatter => (self.slices.of(self.me), &mut self.partials[from]),
            Phase::AllGather => (self.slices.of(from), &mut self.totals[from]),
            Phase::Unspecified => return Err("a chunk without a phase".to_owned()),
        };
        let start = *expected;
        let end = start + values.len() / 8;
        if offset != start as u64
            || end > slice.end
            || values.is_empty()
            || !values.len().is_multiple_of(8)
        {
            return Err(format!(
                "{} bytes at element {offset} of phase {} do not continue at element {start} of a \
                 slice that ends at {}",
                values.len(),
                phase.as_str_name(),
                slice.end
            ));
        }
        *expected = end;
        if phase == Phase::AllGather {
            slices::copy(&mut self.total[start..end], values);
            return Ok(self.final_until..self.final_until);
        }
        slices::add(&mut self.total[start..end], values);
        let before = self.final_until;
        self.final_until = self.partials.iter().copied().min().unwrap_or(before);
        Ok(before..self.final_until)
    }

    /// A final range of this member's slice.
    pub(super) fn values(&self, range: Range<usize>) -> &[i64] {
        &self.total[range]
    }

    /// Whether a slot's partial sums are still missing.
    pub(super) fn misses_partial(&self, slot: usize) -> bool {
        self.partials[slot] < self.slices.of(self.me).end
    }

    /// Whether a slot still has something to send to this member.
    pub(super) fn needs(&self, slot: usize) -> bool {
        self.misses_partial(slot) || self.totals[slot] < self.slices.of(slot).end
    }

    /// Whether this member's slice is final.
    pub(super) fn owns_final(&self) -> bool {
        (0..self.slices.world_size()).all(|slot| !self.misses_partial(slot))
    }

    /// Whether the whole total is here.
    pub(super) fn is_complete(&self) -> bool {
        (0..self.slices.world_size()).all(|slot| !self.needs(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::slices::encode;

    #[test]
    fn a_range_is_final_only_when_every_member_has_added_its_part() {
        let (input, mut total) = (vec![1; 9], vec![0; 9]);
        let mut reduction = Reduction::new(Slices::new(9, 3), 1, &input, &mut total);
        let part = Phase::ReduceScatter;
        assert_eq!(reduction.take(0, part, 3, &encode(&[10, 10, 10])), Ok(3..3));
        assert_eq!(reduction.take(2, part, 3, &encode(&[100])), Ok(3..4));
        assert!(!reduction.owns_final() && reduction.needs(0));
        assert_eq!(reduction.take(2, part, 4, &encode(&[100, 100])), Ok(4..6));
        assert_eq!(reduction.values(3..6), [111, 111, 111]);
        assert!(reduction.owns_final() && !reduction.is_complete());
        assert_eq!(
            reduction.take(0, Phase::AllGather, 0, &encode(&[7, 7, 7])),
            Ok(6..6)
        );
        assert_eq!(
            reduction.take(2, Phase::AllGather, 6, &encode(&[8, 8, 8])),
            Ok(6..6)
        );
        assert!(reduction.is_complete());
        assert_eq!(total, [7, 7, 7, 111, 111, 111, 8, 8, 8]);
    }

    #[test]
    fn a_chunk_that_repeats_skips_or_overflows_is_refused() {
        let (input, mut total) = (vec![0; 4], vec![0; 4]);
        let mut reduction = Reduction::new(Slices::new(4, 2), 0, &input, &mut total);
        let part = Phase::ReduceScatter;
        assert!(reduction.take(1, part, 1, &encode(&[5])).is_err());
        assert!(reduction.take(1, part, 0, &encode(&[5, 5, 5])).is_err());
        assert!(reduction.take(1, part, 0, &[0; 7]).is_err());
        assert!(reduction.take(1, part, 0, &[]).is_err());
        assert!(
            reduction
                .take(1, Phase::Unspecified, 0, &encode(&[5]))
                .is_err()
        );
        assert_eq!(reduction.take(1, part, 0, &encode(&[5])), Ok(0..1));
        assert!(reduction.take(1, part, 0, &encode(&[5])).is_err());
        assert_eq!(reduction.take(1, part, 1, &encode(&[5])), Ok(1..2));
    }

    #[test]
    fn a_world_of_one_is_complete_at_once() {
        let mut total = vec![0; 3];
        let reduction = Reduction::new(Slices::new(3, 1), 0, &[1, 2, 3], &mut total);
        assert!(reduction.is_complete());
        assert_eq!(total, [1, 2, 3]);
    }
}
