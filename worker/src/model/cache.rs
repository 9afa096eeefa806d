//! Keys and values of what a decoder has already read, for generation.

use tch::Tensor;

use crate::device::TorchResult;

/// Keys and values per layer, `[B, K, T, D]`.
#[derive(Debug, Default)]
pub struct KeyValueCache {
    layers: Vec<Option<(Tensor, Tensor)>>,
}

impl KeyValueCache {
    /// An empty cache for so many layers.
    #[must_use]
    pub fn new(layers: usize) -> Self {
        Self {
            layers: (0..layers).map(|_| None).collect(),
        }
    }

    /// Number of tokens read so far.
    #[must_use]
    pub fn length(&self) -> i64 {
        self.layers
            .first()
            .and_then(Option::as_ref)
            .map_or(0, |(keys, _)| keys.size()[2])
    }

    /// Adds the newest keys and values of a layer and returns all of them.
    pub(super) fn extend(
        &mut self,
        layer: usize,
        keys: Tensor,
        values: Tensor,
    ) -> TorchResult<(Tensor, Tensor)> {
        let Some(slot) = self.layers.get_mut(layer) else {
            return Ok((keys, values));
        };
        let (keys, values) = match slot.take() {
            None => (keys, values),
            Some((old_keys, old_values)) => (
                Tensor::f_cat(&[old_keys, keys], 2)?,
                Tensor::f_cat(&[old_values, values], 2)?,
            ),
        };
        *slot = Some((keys.shallow_clone(), values.shallow_clone()));
        Ok((keys, values))
    }
}
