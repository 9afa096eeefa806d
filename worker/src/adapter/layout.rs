//! The canonical order of adapter parameters, and PEFT's name for each.
//!
//! Model order of adapted linears, A then B of each, row major, in one flat vector. Everything that
//! leaves this room sees the vector; the names appear again when files are written.

use shared::model::{LinearSpec, adapter_tensors};

/// Names, shapes and places of all adapter tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterLayout {
    /// In canonical order, A and B of a linear side by side.
    pub tensors: Vec<AdapterTensor>,
}

/// One tensor of the adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterTensor {
    /// PEFT's key, such as `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub key: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// First element in the flat vector.
    pub offset: usize,
    /// The decoder layer it is part of.
    pub layer: usize,
}

impl AdapterTensor {
    /// Elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// This tensor's part of the flat vector.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.elements()
    }
}

impl AdapterLayout {
    /// The layout for the adapted linears, given in model order.
    #[must_use]
    pub fn new(lora_rank: u32, adapted: &[LinearSpec]) -> Self {
        let mut offset = 0;
        let layers = adapted.iter().flat_map(|spec| [spec.layer; 2]);
        let tensors = adapter_tensors(adapted, lora_rank)
            .into_iter()
            .zip(layers)
            .map(|(expected, layer)| {
                let tensor = AdapterTensor {
                    key: expected.key,
                    shape: expected.shape,
                    offset,
                    layer,
                };
                offset += tensor.elements();
                tensor
            });
        let tensors = tensors.collect();
        Self { tensors }
    }

    /// PEFT's key of A for a module path.
    #[must_use]
    pub fn key_of_a(module: &str) -> String {
        format!("base_model.model.{module}.lora_A.weight")
    }

    /// Elements of the flat vector.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.last().map_or(0, |t| t.range().end)
    }

    /// Whether nothing is adapted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Which of the tensors are part of a layer: they lie side by side.
    #[must_use]
    pub fn of_layer(&self, layer: usize) -> std::ops::Range<usize> {
        let first = self.tensors.partition_point(|tensor| tensor.layer < layer);
        let end = self.tensors.partition_point(|tensor| tensor.layer <= layer);
        first..end
    }

    /// A and B of each adapted linear.
    pub fn pairs(&self) -> impl Iterator<Item = (&AdapterTensor, &AdapterTensor)> {
        self.tensors.as_chunks::<2>().0.iter().map(|[a, b]| (a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_lie_side_by_side_under_pefts_keys() {
        let spec = |name: &str, out_features| LinearSpec {
            name: name.into(),
            layer: 0,
            in_features: 6,
            out_features,
        };
        let adapted = [
            spec("model.layers.0.self_attn.q_proj", 6),
            spec("x.v_proj", 3),
        ];
        let layout = AdapterLayout::new(2, &adapted);
        let places: Vec<_> = layout.tensors.iter().map(|t| (t.shape, t.offset)).collect();
        assert_eq!(
            places,
            [([2, 6], 0), ([6, 2], 12), ([2, 6], 24), ([3, 2], 36)]
        );
        assert_eq!(layout.len(), 42);
        assert_eq!(
            layout.tensors[1].key,
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
        );
        assert_eq!(layout.pairs().count(), 2);
    }
}
