//! Bytes that the gradients of the trained tensors take in a worker, by where they lie in the decoder.
//!
//! In: the tensors of the adapter, the type of compute. Out: [`GradientBytes`]. Keeps: pure arithmetic; one look at
//! every tensor, so that a model of thousands of experts costs no more than its size.

use shared::model::{AdapterShape, AdapterTensor, Part, Role};

const F32: u64 = 4;

/// Bytes of the gradients that exist at once in one part of the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GradientBytes {
    /// Bytes of the largest layer's gradients.
    pub(super) layer: u64,
    /// Bytes that training the last norm and the output head needs, without the logits.
    pub(super) head: u64,
    /// Bytes of the embedding's gradients; 0 where the embedding is frozen.
    pub(super) embedding: u64,
}

/// The gradients of an adapter on a model of `layers` layers that computes in values of `value_bytes`.
pub(super) fn gradients(adapter: &AdapterShape, value_bytes: u64, layers: usize) -> GradientBytes {
    let mut bytes = GradientBytes::default();
    let mut by_layer = vec![0; layers];
    for tensor in &adapter.tensors {
        let size = tensor.elements() as u64 * F32;
        match tensor.part {
            Part::Embedding => bytes.embedding += size,
            Part::Layer(layer) => {
                if let Some(sum) = by_layer.get_mut(layer) {
                    *sum += size;
                }
            }
            Part::Head => bytes.head += of_head(tensor, size, value_bytes),
        }
    }
    bytes.layer = by_layer.into_iter().max().unwrap_or(0);
    bytes
}

/// Bytes for one trained tensor of the head, of `size = 4 n` bytes: `2 size` for the summed gradient and that of one
/// part of the rows; for a whole weight matrix in a compute type of `E < 4` bytes another `2 n E`, because the weight is
/// rounded to that type for each part and its gradient comes in that type first.
fn of_head(tensor: &AdapterTensor, size: u64, value_bytes: u64) -> u64 {
    let rounded = tensor.role == Role::Whole && tensor.shape.len() == 2 && value_bytes < F32;
    2 * size + u64::from(rounded) * 2 * size / F32 * value_bytes
}
