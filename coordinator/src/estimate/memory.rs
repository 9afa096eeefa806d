//! Peak memory of one worker on the CPU, by part.
//!
//! In: shape of the base model, the adapted linears, the configuration, the sizes of the micro-batches.
//! Out: [`Memory`]: anonymous bytes beyond those of a worker that waits for a coordinator. Letters: P positions of a
//! micro-batch, padding included; Q positions that predict; n elements of the adapter. What a layer needs per position
//! is said beside its description, in `shared::model`.
//! Keeps: every term is an allocation of the worker that can be named; only [`RUNTIME`] is measured. Freed memory that
//! malloc keeps comes on top: some percent, because a worker's tensors reuse the memory of earlier ones.
//! Not here: a GPU's memory; pages of the weight files, which the machine may take back at any time.

use serde::Serialize;
use shared::config::{Checkpointing, Precision, QuantizationConfig, RunConfig};
use shared::model::{
    ActivationSettings, AdapterShape, ModelConfig, backward_bytes, head_rows, kept_activations,
    logits_bytes,
};

use super::counts::Size;
use super::gradients::{GradientBytes, gradients};
use super::weights::{WeightInputs, Weights, weights};

/// Bytes that libtorch, its kernels and the threads take at first use, measured.
pub const RUNTIME: u64 = 10 << 20;

const F32: u64 = 4;
const I64: u64 = 8;

/// Anonymous memory of one worker, bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Libraries and threads at work.
    pub runtime: u64,
    /// Frozen weights that were converted or quantized; 0 where the mapped files serve.
    pub weights: u64,
    /// The prepared samples and the plan over them.
    pub data: u64,
    /// The adapter, `4 n (3 + 3 + 3 + 1 + 1)`: committed state, shadow, and a state that is kept until it is on
    /// storage, each with values and two moments; the values on the device; the gradient; all f32.
    pub adapter: u64,
    /// The vectors of i64 that gradients are summed in: own sum, total, and others that the plan needs.
    pub integers: u64,
    /// Activations of the largest micro-batch that the decoder keeps for the backward pass.
    pub activations: u64,
    /// The larger of two that never meet: logits with their gradients and those of a trained head; a layer's gradients
    /// with one quantized weight made dense.
    pub transient: u64,
    /// Sum of all parts above.
    pub peak: u64,
    /// Weight files that are mapped: not anonymous, shared by all workers of a machine.
    pub mapped: u64,
}

/// What the memory of a run's workers is computed from.
pub struct MemoryInputs<'a> {
    /// Shape of the base model.
    pub shape: &'a ModelConfig,
    /// Shapes of the tensors that are trained.
    pub adapter: &'a AdapterShape,
    /// The run's configuration, resolved.
    pub config: &'a RunConfig,
    /// Parameters of the base model.
    pub base: u64,
    /// Bytes of a value in the weight files.
    pub stored_value_bytes: u64,
    /// Quantization of the linears in the weight files.
    pub stored_quantization: QuantizationConfig,
    /// Samples of the prepared data.
    pub samples: u64,
    /// Tokens of the prepared data, without padding.
    pub tokens: u64,
    /// Tokens of the longest sample.
    pub longest: u64,
    /// Number of integer vectors, as long as the adapter, that a worker holds at once.
    pub integer_vectors: u64,
}

/// Peak memory of one worker, in bytes, over micro-batches of these `sizes` (P computed, Q predicting positions).
///
/// `peak = runtime + weights + 5 tokens + 20 samples + 44 n + 8 (n + 4) vectors + compute`, where `compute` is the
/// largest, over the sizes, of `P kept + max(min(Q, rows) logits + head_gradients, P backward + dense_weight +
/// layer_gradients)`, and at least the embedding's gradients. `kept`, `backward` and `logits` are bytes per position,
/// `rows` the positions that the head takes at once.
#[must_use]
pub fn memory(inputs: &MemoryInputs<'_>, sizes: &[Size]) -> Memory {
    let n = inputs.adapter.elements();
    let gradients = inputs.gradients();
    let recomputed = inputs.config.activation_checkpointing == Checkpointing::On;
    let position = inputs.per_position(recomputed, false);
    let held = inputs.weights();
    let rows = head_rows(inputs.shape.vocab_size, false) as u64;
    let logits = logits_bytes(inputs.shape, value_bytes(inputs.config));
    let needs = |size: &Size| {
        let activations = size.computed * position.kept;
        let in_layer = size.computed * position.backward + held.temporary + gradients.layer;
        let in_head = size.targets.min(rows) * logits + gradients.head;
        (activations + in_head.max(in_layer), activations)
    };
    let (whole, activations) = sizes.iter().map(needs).max().unwrap_or((0, 0));
    // The embedding's gradients come last, when everything else is freed.
    let compute = whole.max(gradients.embedding);
    let mut memory = Memory {
        runtime: RUNTIME,
        weights: held.made + held.converted,
        // Ids and targets of a token; an offset, two numbers of the plan and a place in the order.
        data: inputs.tokens * 5 + inputs.samples * 20,
        adapter: n * F32 * (3 + 3 + 3 + 1 + 1),
        integers: (n + super::wire::EXTRAS) * I64 * inputs.integer_vectors,
        activations: activations.min(compute),
        transient: compute - activations.min(compute),
        peak: 0,
        mapped: held.files,
    };
    memory.peak = [
        memory.runtime,
        memory.weights,
        memory.data,
        memory.adapter,
        memory.integers,
        memory.activations,
        memory.transient,
    ]
    .iter()
    .sum();
    memory
}

/// Bytes per position that a micro-batch needs in forward and backward.
pub(super) struct PerPosition {
    /// Bytes that stay from the forward pass until the backward pass uses them.
    pub kept: u64,
    /// Further bytes while one layer's backward pass runs.
    pub backward: u64,
}

impl MemoryInputs<'_> {
    /// Bytes that the gradients of the trained tensors take.
    pub(super) fn gradients(&self) -> GradientBytes {
        gradients(self.adapter, value_bytes(self.config), self.shape.layers)
    }

    /// Bytes of the base model's weights as the configuration wants them held.
    pub(super) fn weights(&self) -> Weights {
        weights(&WeightInputs {
            shape: self.shape,
            parameters: self.base,
            stored_value_bytes: self.stored_value_bytes,
            stored_quantization: self.stored_quantization,
            asked: self.config.quantization,
            value_bytes: value_bytes(self.config),
        })
    }

    /// Bytes per position with all activations kept; `recomputed` (checkpointing) instead `layers H E` for every
    /// layer's input, and one layer's share of the graph while it runs backward.
    pub(super) fn per_position(&self, recomputed: bool, on_gpu: bool) -> PerPosition {
        let settings = ActivationSettings {
            value_bytes: value_bytes(self.config),
            on_gpu,
            dropout: self.config.lora_dropout > 0.0,
            dora: self.config.adapter.use_dora,
            longest: self.longest,
        };
        let kept = kept_activations(self.shape, self.adapter, settings).total();
        let backward = backward_bytes(self.shape, self.adapter, settings);
        if !recomputed {
            return PerPosition { kept, backward };
        }
        let layers = self.shape.layers.max(1) as u64;
        let input = self.shape.hidden_size as u64 * settings.value_bytes;
        PerPosition {
            kept: layers * input,
            backward: backward + kept.div_ceil(layers),
        }
    }
}

/// Bytes of a value in compute: 4 for fp32, 2 for bf16 and fp16.
pub(super) fn value_bytes(config: &RunConfig) -> u64 {
    match config.precision {
        Precision::F32 => 4,
        Precision::Bf16 | Precision::Fp16 => 2,
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
