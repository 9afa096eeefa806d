//! Where each tensor of an adapter lies in the one flat vector.
//!
//! Canonical order, row major, without gaps. Everything that leaves this room sees the vector; the
//! names appear again when files are written.

use std::ops::Range;

use shared::model::{AdapterShape, AdapterTensor, Part};

/// Names, shapes and places of all adapter tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterLayout {
    /// All tensors of the adapter, in canonical order.
    pub tensors: Vec<AdapterTensor>,
    /// First element of each tensor in the flat vector, and behind it the length of the vector.
    offsets: Vec<usize>,
}

impl AdapterLayout {
    /// The layout of an adapter.
    #[must_use]
    pub fn new(shape: &AdapterShape) -> Self {
        let mut offsets = vec![0];
        for tensor in &shape.tensors {
            let end = offsets.last().copied().unwrap_or(0);
            offsets.push(end + tensor.elements());
        }
        Self {
            tensors: shape.tensors.clone(),
            offsets,
        }
    }

    /// Number of elements of the flat vector.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// Whether nothing learns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// A tensor's part of the flat vector; empty for one that is not there.
    #[must_use]
    pub fn range(&self, tensor: usize) -> Range<usize> {
        let at = |place: usize| self.offsets.get(place).copied().unwrap_or(self.len());
        at(tensor)..at(tensor + 1)
    }

    /// Tensors with their part of the flat vector.
    pub fn places(&self) -> impl Iterator<Item = (&AdapterTensor, Range<usize>)> {
        let tensors = self.tensors.iter().enumerate();
        tensors.map(|(place, tensor)| (tensor, self.range(place)))
    }

    /// Indices of the tensors that lie in a part of the decoder: they stand side by side.
    #[must_use]
    pub fn of_part(&self, part: Part) -> Range<usize> {
        let first = self.tensors.partition_point(|tensor| tensor.part < part);
        let end = self.tensors.partition_point(|tensor| tensor.part <= part);
        first..end
    }
}

#[cfg(test)]
mod tests {
    use shared::model::Role;

    use super::*;

    #[test]
    fn tensors_lie_side_by_side_and_parts_are_runs_of_them() {
        let tensor = |part, shape: &[usize]| AdapterTensor {
            key: String::new(),
            shape: shape.to_vec(),
            module: String::new(),
            part,
            role: Role::LoraA,
        };
        let shape = AdapterShape {
            tensors: vec![
                tensor(Part::Layer(0), &[2, 6]),
                tensor(Part::Layer(0), &[6]),
                tensor(Part::Layer(2), &[1, 3]),
                tensor(Part::Head, &[4]),
            ],
            adapted: Vec::new(),
        };
        let layout = AdapterLayout::new(&shape);
        let ranges: Vec<_> = layout.places().map(|(_, range)| range).collect();
        assert_eq!(ranges, [0..12, 12..18, 18..21, 21..25]);
        assert_eq!((layout.len(), layout.range(4)), (25, 25..25));
        let parts = [Part::Embedding, Part::Layer(0), Part::Layer(1), Part::Head];
        assert_eq!(
            parts.map(|part| layout.of_part(part)),
            [0..0, 0..2, 2..2, 3..4]
        );
    }
}
