//! What the trained tensors add to a worker's memory: activations that each adapted linear keeps, and gradients.
//!
//! In: the tensors of the adapter, the configuration. Out: [`Learned`]. Keeps: pure arithmetic; one
//! look at every tensor, so that a model of thousands of experts costs no more than its size.

use std::collections::HashMap;

use shared::config::RunConfig;
use shared::model::{AdapterShape, AdapterTensor, Part, Role};

use super::memory::{drops_in_dora, value_bytes};

const F32: u64 = 4;

/// What the trained tensors need in memory beside their own values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned<'a> {
    /// Activations that the autograd graph keeps for an adapted linear, by the linear's path.
    pub kept: HashMap<&'a str, Kept>,
    /// Whether any tensor of a layer is trained, by layer.
    pub layers: Vec<bool>,
    /// Bytes of the largest layer's gradients.
    pub layer_bytes: u64,
    /// Bytes that training the last norm and the output head needs, without the logits.
    pub head_bytes: u64,
    /// Bytes of the embedding's gradients; 0 where the embedding is frozen.
    pub embedding_bytes: u64,
}

/// Activations that the autograd graph keeps for one adapted linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes per position, without the linear's input.
    pub bytes: u64,
    /// Whether the linear's input is kept too; linears that read the same input share it.
    pub input: bool,
}

/// What the tensors of an adapter need in memory, for a model of `layers` layers.
pub(super) fn learned<'a>(
    adapter: &'a AdapterShape,
    config: &RunConfig,
    layers: usize,
) -> Learned<'a> {
    let width = value_bytes(config);
    let per_drop =
        u64::from(config.lora_dropout > 0.0) + if drops_in_dora(config) { width } else { 0 };
    let mut found = Learned {
        layers: vec![false; layers],
        ..Learned::default()
    };
    let mut bytes = vec![0; layers];
    for tensor in &adapter.tensors {
        let size = tensor.elements() as u64 * F32;
        match tensor.part {
            Part::Embedding => found.embedding_bytes += size,
            Part::Layer(layer) => {
                if let (Some(learns), Some(sum)) =
                    (found.layers.get_mut(layer), bytes.get_mut(layer))
                {
                    *learns = true;
                    *sum += size;
                }
            }
            Part::Head => found.head_bytes += of_head(tensor, size, width),
        }
        if let Some(kept) = kept(tensor, width, per_drop) {
            let sum = found.kept.entry(tensor.module.as_str()).or_default();
            sum.bytes += kept;
            sum.input |= tensor.role != Role::ScaledOutput;
        }
    }
    found.layer_bytes = bytes.into_iter().max().unwrap_or(0);
    found
}

/// Bytes for one trained tensor of the head, of `size = 4 n` bytes: `2 size` for the summed gradient and that of one
/// part of the rows; for a whole weight matrix in a compute type of `width < 4` bytes another `2 n width`, because the
/// weight is rounded to that type for each part and its gradient comes in that type first.
fn of_head(tensor: &AdapterTensor, size: u64, width: u64) -> u64 {
    let rounded = tensor.role == Role::Whole && tensor.shape.len() == 2 && width < F32;
    2 * size + u64::from(rounded) * 2 * size / F32 * width
}

/// Bytes per position that the graph keeps for one tensor; `None` for a tensor that no linear uses.
///
/// `lora_A` (R x in): `4 R + per_drop in`, with `per_drop` 1 for a dropout mask, and under DoRA `width` more for the
/// dropped input itself. DoRA's magnitude and IA3's output vector (out): `width out`, for the values that they scale.
/// Every other tensor over a linear: 0.
fn kept(tensor: &AdapterTensor, width: u64, per_drop: u64) -> Option<u64> {
    let side = |side: usize| tensor.shape.get(side).map_or(0, |&n| n as u64);
    match tensor.role {
        Role::LoraA => Some(side(0) * F32 + per_drop * side(1)),
        Role::Magnitude | Role::ScaledOutput => Some(side(0) * width),
        Role::LoraB | Role::ScaledInput => Some(0),
        Role::Whole if tensor.shape.len() == 2 => Some(0),
        Role::Whole | Role::Bias | Role::EmbeddingA | Role::EmbeddingB => None,
    }
}
