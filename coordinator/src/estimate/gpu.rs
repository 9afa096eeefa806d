//! Peak memory of a GPU that one worker computes on, by part.
//!
//! In: as for [`super::memory`]. Out: [`Gpu`], with activations kept and computed again. All weights are on the card;
//! nothing is mapped. Keeps: every term is an allocation that can be named; only [`CONTEXT`] is measured, on the
//! machine that docs/reports/gpu.md names. The allocator's rounding and cache come on top.

use serde::Serialize;

use shared::model::head_rows;

use super::counts::Size;
use super::memory::{MemoryInputs, PerPosition, value_bytes};

/// Bytes of the driver's context, libtorch's kernels and cuBLAS' workspaces, measured.
pub const CONTEXT: u64 = 687 << 20;
/// Bytes that one part of a quantized weight needs while it is made dense.
const PARTS: u64 = 50 << 20;
const F32: u64 = 4;

/// Memory of the card, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Context and libraries.
    pub context: u64,
    /// Frozen weights, quantized or dense, all of them.
    pub weights: u64,
    /// The adapter, `12 n`: its values, and its gradients twice while they are gathered, all f32.
    pub adapter: u64,
    /// Activations of the largest micro-batch that are kept for the backward pass.
    pub activations: u64,
    /// The larger of two that never meet: logits of one part of the rows; a layer's gradients with one weight made
    /// dense.
    pub transient: u64,
    /// Sum of all parts above.
    pub peak: u64,
    /// The same sum with `activation_checkpointing: on`.
    pub peak_checkpointed: u64,
}

/// Peak memory of the card, in bytes, over micro-batches of these `sizes` (P computed, Q predicting positions).
///
/// `peak = context + weights + 12 n + max over sizes of (P kept + max(min(Q, rows) V (2 E + 12) + head_gradients, P
/// backward + dense_weight))`, with `kept` and `backward` in bytes per position and `rows` the positions that the head
/// takes at once.
pub(super) fn gpu(inputs: &MemoryInputs<'_>, sizes: &[Size]) -> Gpu {
    let (held, gradients) = (inputs.weights(), inputs.gradients());
    let vocabulary = inputs.shape.vocab_size;
    let rows = head_rows(vocabulary, true) as u64;
    // Bytes of one logit: in the compute type and its gradient there; in f32 the logit, its logarithm and their
    // gradient.
    let logit = 2 * value_bytes(inputs.config) + 3 * F32;
    let needs = |size: &Size, position: &PerPosition| {
        let head = size.targets.min(rows) * vocabulary as u64 * logit + gradients.head;
        let in_layer = size.computed * position.backward + held.temporary;
        (size.computed * position.kept, head.max(in_layer))
    };
    let largest = |recomputed: bool| {
        let position = inputs.per_position(recomputed, true);
        let needs = sizes.iter().map(|size| needs(size, &position));
        needs
            .max_by_key(|(kept, transient)| kept + transient)
            .unwrap_or((0, 0))
    };
    let (kept, recomputed) = (largest(false), largest(true));
    let parts = if held.quantized > 0 { PARTS } else { 0 };
    let (weights, adapter) = (
        held.quantized + held.dense,
        3 * inputs.adapter.elements() * F32,
    );
    let fixed = CONTEXT + parts + weights + adapter;
    Gpu {
        context: CONTEXT + parts,
        weights,
        adapter,
        activations: kept.0,
        transient: kept.1,
        peak: fixed + kept.0 + kept.1,
        peak_checkpointed: fixed + recomputed.0 + recomputed.1,
    }
}
