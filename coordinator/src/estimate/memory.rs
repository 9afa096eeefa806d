//! Peak memory of one worker on the CPU, by part.
//!
//! In: shape of the base model, the adapted linears, the configuration, the sizes of the micro-batches.
//! Out: [`Memory`]: anonymous bytes beyond those of a worker that waits for a coordinator. Letters: P positions of a
//! micro-batch, padding included; Q positions that predict; n elements of the adapter; E bytes of a value in compute (4
//! for fp32, 2 for bf16 and fp16); H hidden, I intermediate, V vocabulary, R rank.
//! Keeps: every term is an allocation of the worker that can be named; only [`RUNTIME`] is measured. Freed memory that
//! malloc keeps comes on top: some percent, because a worker's tensors reuse the memory of earlier ones
//! (`worker/cshim/allocator.cpp`).
//! Not here: a GPU's memory; pages of the weight files, which the machine may take back at any time.

use serde::Serialize;
use shared::config::{Checkpointing, Precision, QuantizationConfig, RunConfig};
use shared::model::Projection::{Down, Gate, GateUp, Key, Output, Query, QueryKeyValue, Up, Value};
use shared::model::{
    AdapterShape, Experts, LinearSpec, ModelConfig, Projection, head_rows, linears,
};

use super::counts::Size;
use super::learned::{Learned, learned};
use super::weights::{Held, Weights, weights};

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

/// The run whose memory is estimated.
pub struct Model<'a> {
    /// Shape of the base model.
    pub shape: &'a ModelConfig,
    /// Shapes of the tensors that are trained.
    pub adapter: &'a AdapterShape,
    /// The run's configuration, resolved.
    pub config: &'a RunConfig,
    /// Parameters of the base model.
    pub base: u64,
    /// Bytes of a value in the weight files.
    pub stored: u64,
    /// Quantization of the linears in the weight files.
    pub lies: QuantizationConfig,
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
/// largest, over the sizes, of `P kept + max(min(Q, rows) head + head_gradients, P around + dense_weight +
/// layer_gradients)`, and at least the embedding's gradients. `kept`, `around` and `head` are bytes per position,
/// `rows` the positions that the head takes at once.
#[must_use]
pub fn memory(model: &Model<'_>, sizes: &[Size]) -> Memory {
    let n = model.adapter.elements();
    let learned = model.learned();
    let again = model.config.activation_checkpointing == Checkpointing::On;
    let way = way(model, &learned, again, Place::Cpu);
    let held = held(model);
    let rows = head_rows(model.shape.vocab_size, false) as u64;
    let head = head_per_target(model.shape, value_bytes(model.config));
    let needs = |size: &Size| {
        let activations = size.computed * way.kept;
        let in_layer = size.computed * way.around + held.temporary + learned.layer_bytes;
        let in_head = size.targets.min(rows) * head + learned.head_bytes;
        (activations + in_head.max(in_layer), activations)
    };
    let (whole, activations) = sizes.iter().map(needs).max().unwrap_or((0, 0));
    // The embedding's gradients come last, when everything else is freed.
    let compute = whole.max(learned.embedding_bytes);
    let mut memory = Memory {
        runtime: RUNTIME,
        weights: held.made + held.converted,
        // Ids and targets of a token; an offset, two numbers of the plan and a place in the order.
        data: model.tokens * 5 + model.samples * 20,
        adapter: n * F32 * (3 + 3 + 3 + 1 + 1),
        integers: (n + super::wire::EXTRAS) * I64 * model.integer_vectors,
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

impl Model<'_> {
    /// What the trained tensors add to a worker's memory.
    pub(super) fn learned(&self) -> Learned<'_> {
        learned(self.adapter, self.config, self.shape.layers)
    }
}

/// Bytes of the base model's weights as the configuration wants them held.
pub(super) fn held(model: &Model<'_>) -> Weights {
    weights(&Held {
        shape: model.shape,
        parameters: model.base,
        stored: model.stored,
        lies: model.lies,
        asked: model.config.quantization,
        width: value_bytes(model.config),
    })
}

/// Bytes per position that a micro-batch needs in forward and backward.
pub(super) struct Way {
    /// Bytes that stay from the forward pass until the backward pass uses them.
    pub kept: u64,
    /// Further bytes while one layer's backward pass runs.
    pub around: u64,
}

/// Where a worker computes. On the CPU norms and gates keep their inputs and no intermediate values
/// (`worker/cshim/{norm,gate}.cpp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Cpu,
    Gpu,
}

/// Bytes per position with all activations kept; with `again` (checkpointing) instead `layers H E` for every layer's
/// input, and one layer's share of the graph while it runs backward.
pub(super) fn way(model: &Model<'_>, learned: &Learned<'_>, again: bool, place: Place) -> Way {
    let kept = kept_per_position(model, learned, place);
    let around = layer_per_position(model);
    if !again {
        return Way { kept, around };
    }
    let layers = model.shape.layers.max(1) as u64;
    let input = model.shape.hidden_size as u64 * value_bytes(model.config);
    Way {
        kept: layers * input,
        around: around + kept.div_ceil(layers),
    }
}

/// Bytes of a value in compute: 4 for fp32, 2 for bf16 and fp16.
pub(super) fn value_bytes(config: &RunConfig) -> u64 {
    match config.precision {
        Precision::F32 => 4,
        Precision::Bf16 | Precision::Fp16 => 2,
    }
}

/// Bytes per position that the graph keeps from the forward pass.
///
/// A layer that a gradient passes through keeps: the inputs of its two norms, on a GPU in f32; the normed values where
/// q, k, v or gate, up are adapted; q, k, v, the attention's output and a number per head; gate and up of the MLP, on a
/// GPU the gate's silu too; their product where down is adapted; and each adapter's own values ([`Learned`]). Linears
/// share their input, unless each keeps a dropped one of its own (DoRA).
fn kept_per_position(model: &Model<'_>, learned: &Learned<'_>, place: Place) -> u64 {
    let (shape, width) = (model.shape, value_bytes(model.config));
    let (in_norm, of_gate) = match place {
        Place::Cpu => (width, 1),
        Place::Gpu => (F32, 2),
    };
    let [hidden, inner, heads] =
        [shape.hidden_size, shape.intermediate_size, shape.heads].map(|n| n as u64);
    let queries = heads * shape.head_dim as u64;
    let keys = (shape.key_value_heads * shape.head_dim) as u64;
    let all = linears(shape);
    let mut of_layers = vec![Vec::new(); shape.layers];
    for linear in &all {
        if let (Some(kept), Some(of_layer)) = (
            learned.kept.get(linear.name.as_str()),
            of_layers.get_mut(linear.layer),
        ) {
            of_layer.push((linear, kept.input));
        }
    }
    let shared = if drops_in_dora(model.config) {
        0
    } else {
        width
    };
    let mut kept: u64 = learned.kept.values().map(|kept| kept.bytes).sum();
    // Whether a gradient reaches the layer's input.
    let mut flows = learned.embedding_bytes > 0;
    for (layer, kind) in shape.layer_kinds.iter().enumerate() {
        let adapted = of_layers.get(layer).map_or(&[][..], Vec::as_slice);
        let is_of = |linear: &LinearSpec, any: &[Projection]| {
            any.iter().any(|p| linear.name.ends_with(p.path()))
        };
        let adapts = |any: &[Projection]| adapted.iter().any(|(linear, _)| is_of(linear, any));
        let keeps = |any: &[Projection]| {
            let keeps = |&(linear, input): &(&LinearSpec, bool)| input && is_of(linear, any);
            adapted.iter().any(keeps)
        };
        let in_attention = [Query, Key, Value, QueryKeyValue];
        let qkv = adapts(&in_attention);
        kept += if flows { hidden * in_norm } else { 0 };
        kept += u64::from(keeps(&in_attention)) * hidden * shared;
        // A trained norm or bias lets gradients flow from within the layer on.
        let other = learned.layers.get(layer).is_some_and(|learns| *learns) && adapted.is_empty();
        let attention = flows || qkv || other;
        if attention {
            kept += (2 * queries + 2 * keys) * width + heads * F32;
            kept += of_scores(model);
            kept += u64::from(shape.norms.query_key) * (queries + keys) * in_norm;
        } else if keeps(&[Output]) {
            kept += queries * shared;
        }
        flows = attention || adapts(&[Output]);
        // Norms behind attention and MLP keep their input, as those before do.
        let around = u64::from(shape.norms.around);
        kept += u64::from(flows) * (1 + around) * hidden * in_norm;
        if let Some(experts) = shape.experts.filter(|_| kind.experts) {
            kept += u64::from(flows) * of_experts(&experts, hidden, width, of_gate);
            continue;
        }
        let both = adapts(&[GateUp]);
        let (gate, up) = (both || adapts(&[Gate]), both || adapts(&[Up]));
        let down = adapts(&[Down]);
        kept += u64::from(keeps(&[GateUp, Gate, Up])) * hidden * shared;
        let (gate_learns, up_learns) = (flows || gate, flows || up);
        // The activation's gradient needs gate and up, that of up needs the activation.
        let of_mlp = of_gate * u64::from(gate_learns) + u64::from(up_learns);
        kept += of_mlp * inner * width;
        kept += u64::from(keeps(&[Down])) * inner * shared;
        flows = gate_learns || up_learns || down;
        kept += u64::from(flows) * around * hidden * in_norm;
    }
    kept
}

/// Whether each adapted linear drops and keeps an input of its own: DoRA with dropout.
pub(super) fn drops_in_dora(config: &RunConfig) -> bool {
    config.adapter.use_dora && config.lora_dropout > 0.0
}

/// Bytes per position of attention scores, which only a soft cap keeps: `8 heads L` for a sample of the longest length
/// L, the outputs of tanh and softmax, softmax's in f32 too where compute is not.
fn of_scores(model: &Model<'_>) -> u64 {
    let capped = u64::from(model.shape.attention_soft_cap.is_some());
    capped * model.shape.heads as u64 * model.longest * 2 * F32
}

/// Bytes per position of `k` experts of a token out of `c`: `k ((of_gate + 1) I E + H E + 4 + 16) + 4 c`: each one's
/// gate (and its activation), up, output, weight and two places in the order of experts; the router's probabilities.
fn of_experts(experts: &Experts, hidden: u64, width: u64, of_gate: u64) -> u64 {
    let inner = experts.intermediate_size as u64;
    let each = (of_gate + 1) * inner * width + hidden * width + F32 + 2 * I64;
    experts.per_token as u64 * each + experts.count as u64 * F32
}

/// Bytes per predicting position in the loss's backward pass: `8 V` for the logits and their gradient in f32; `2 E V`
/// more for both in a compute type that is not f32, or in f32 with a soft cap `4 V` more for the logits before it.
fn head_per_target(shape: &ModelConfig, width: u64) -> u64 {
    let more = match shape.logit_soft_cap {
        _ if width < F32 => 2 * width,
        Some(_) => F32,
        None => 0,
    };
    (2 * F32 + more) * shape.vocab_size as u64
}

/// Bytes per position in the last layer's backward pass: `2 H E` for the gradients of the layer's output and input, and
/// the largest of three: `3 I E` for those of silu, up and their product, with an adapted linear's `4 (out + 2 in)`
/// where its input and gradients are widened to f32; `I (E + 12)` where dropped inputs of down are made again in f32;
/// an expert layer's `k (3 I + 2 H) E`.
fn layer_per_position(model: &Model<'_>) -> u64 {
    let (shape, width) = (model.shape, value_bytes(model.config));
    let (hidden, inner) = (shape.hidden_size as u64, shape.intermediate_size as u64);
    let adapted = &model.adapter.adapted;
    let down = adapted.iter().any(|l| l.short_name() == "down_proj");
    let plain = 3 * inner * width;
    let sparse = shape.experts.map_or(0, |experts| {
        let inner = experts.intermediate_size as u64;
        experts.per_token as u64 * (3 * inner + 2 * hidden) * width
    });
    let dropped = if down && model.config.lora_dropout > 0.0 {
        inner * (width + 3 * F32)
    } else {
        0
    };
    let wide = |l: &LinearSpec| (l.out_features + 2 * l.in_features) as u64 * F32;
    let widened = adapted.iter().map(wide).max().unwrap_or(0);
    let widened = if width < F32 { widened } else { 0 };
    2 * hidden * width + (plain + widened).max(dropped).max(sparse)
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
