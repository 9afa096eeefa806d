//! Peak memory of a GPU that one worker computes on, by part.
//!
//! In: as for [`super::memory`]. Out: [`Gpu`], with activations kept and computed again. All weights lie on the
//! card; nothing is mapped. Keeps: every term is an allocation that can be named; only [`CONTEXT`] is measured, on
//! the machine that docs/reports/gpu.md names. What the allocator rounds up and keeps comes on top.

use serde::Serialize;

use shared::model::head_rows;

use super::counts::Size;
use super::memory::{Model, Place, Way, held, value_bytes, way};

/// The driver's context, libtorch's kernels and cuBLAS' workspaces, measured.
pub const CONTEXT: u64 = 687 << 20;
/// What one part of a quantized weight needs on its way to a dense one (`worker/cshim/quantized.cpp`).
const PARTS: u64 = 50 << 20;
const F32: u64 = 4;

/// Memory of the card, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gpu {
    /// Context and libraries.
    pub context: u64,
    /// Frozen weights.
    pub weights: u64,
    /// The adapter's values, and its gradients twice while they come together.
    pub adapter: u64,
    /// What is kept of the largest micro-batch for the way back.
    pub activations: u64,
    /// The largest that comes and goes: a part's logits, or a layer's gradients with a dense weight.
    pub transient: u64,
    /// All of it.
    pub peak: u64,
    /// All of it with `activation_checkpointing: on`.
    pub peak_checkpointed: u64,
}

/// The peak over micro-batches of these sizes.
pub(super) fn gpu(model: &Model<'_>, sizes: &[Size]) -> Gpu {
    let (held, learned) = (held(model), model.learned());
    let vocabulary = model.shape.vocab_size;
    let rows = head_rows(vocabulary, true) as u64;
    // In the type of compute and back, in f32, their logarithms, and the gradient of both.
    let logit = 2 * value_bytes(model.config) + 3 * F32;
    let needs = |size: &Size, way: &Way| {
        let head = size.targets.min(rows) * vocabulary as u64 * logit + learned.head_bytes;
        let in_layer = size.computed * way.around + held.temporary;
        (size.computed * way.kept, head.max(in_layer))
    };
    let largest = |again: bool| {
        let way = way(model, &learned, again, Place::Gpu);
        let needs = sizes.iter().map(|size| needs(size, &way));
        needs
            .max_by_key(|(kept, around)| kept + around)
            .unwrap_or((0, 0))
    };
    let (kept, again) = (largest(false), largest(true));
    let parts = if held.quantized > 0 { PARTS } else { 0 };
    let (weights, adapter) = (
        held.quantized + held.dense,
        3 * model.adapter.elements() * F32,
    );
    let fixed = CONTEXT + parts + weights + adapter;
    Gpu {
        context: CONTEXT + parts,
        weights,
        adapter,
        activations: kept.0,
        transient: kept.1,
        peak: fixed + kept.0 + kept.1,
        peak_checkpointed: fixed + again.0 + again.1,
    }
}
