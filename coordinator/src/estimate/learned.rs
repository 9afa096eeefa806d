//! What learns, seen from memory: what each adapted linear keeps, and how large gradients become.
//!
//! In: the tensors of the adapter, the configuration. Out: [`Learned`]. Keeps: pure arithmetic; one
//! look at every tensor, so that a model of thousands of experts costs no more than its size.

use std::collections::HashMap;

use shared::config::RunConfig;
use shared::model::{AdapterShape, AdapterTensor, Part, Role};

use super::memory::{drops_in_dora, value_bytes};

const F32: u64 = 4;

/// What learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned<'a> {
    /// What the graph keeps for a linear, by the linear's path.
    pub kept: HashMap<&'a str, Kept>,
    /// Layers in which anything learns.
    pub layers: Vec<bool>,
    /// Bytes of the gradients of the layer that has most of them.
    pub layer_bytes: u64,
    /// Bytes of what the last norm and the output head need to learn, the head's logits aside.
    pub head_bytes: u64,
    /// Bytes of the embedding's gradients; 0 where it does not learn.
    pub embedding_bytes: u64,
}

/// What the graph keeps for a linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes per position beside its input.
    pub bytes: u64,
    /// Whether its input is kept too, which linears that read the same one share.
    pub input: bool,
}

/// Looks at every tensor of an adapter.
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

/// The sum of the parts' gradients and one part's. A weight that learns whole is rounded to the type
/// of compute for as long as a part takes, and its gradient comes in that type first.
fn of_head(tensor: &AdapterTensor, size: u64, width: u64) -> u64 {
    let rounded = tensor.role == Role::Whole && tensor.shape.len() == 2 && width < F32;
    2 * size + u64::from(rounded) * 2 * size / F32 * width
}

/// Bytes per position for one tensor; `None` for what is not laid over a linear.
///
/// A pair keeps R numbers in f32, and `per_drop` bytes per input that may be dropped: one, and for DoRA
/// the input so treated. DoRA keeps what it stretches in the type of compute, IA3 what it scales.
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
