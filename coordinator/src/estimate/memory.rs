//! Peak memory of one worker on the CPU, by part.
//!
//! In: shape of the base model, the adapted linears, the configuration, the sizes of the micro-batches.
//! Out: [`Memory`]: anonymous bytes beyond those of a worker that waits for a coordinator. Letters: P
//! positions of a micro-batch, padding included; Q positions that predict; n elements of the adapter;
//! E bytes of a value in compute (4, or 2 for bf16); H hidden, I intermediate, V vocabulary, R rank.
//! Keeps: every term is an allocation of the worker that can be named; only [`RUNTIME`] is measured.
//! What malloc keeps of freed memory comes on top: some percent, because a worker's tensors use again
//! what earlier ones freed (`worker/cshim/allocator.cpp`).
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

/// What libtorch, its kernels and the threads take at first use, measured.
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
    /// The adapter: committed state, shadow copy, and a state that is kept until it is on storage, each
    /// with two moments, the values on the device and the gradient; all f32.
    pub adapter: u64,
    /// The sum and the total, and what else is summed up beside them, as i64.
    pub integers: u64,
    /// What the decoder keeps of the largest micro-batch for the backward pass.
    pub activations: u64,
    /// The larger of logits with their gradients and those of a head that learns, and of a layer's
    /// gradients with a quantized weight made dense.
    pub transient: u64,
    /// All of it.
    pub peak: u64,
    /// Weight files that are mapped: not anonymous, shared by all workers of a machine.
    pub mapped: u64,
}

/// What is asked about.
pub struct Model<'a> {
    /// Shape of the base model.
    pub shape: &'a ModelConfig,
    /// What learns.
    pub adapter: &'a AdapterShape,
    /// The configuration.
    pub config: &'a RunConfig,
    /// Parameters of the base model.
    pub base: u64,
    /// Bytes of a value in the weight files.
    pub stored: u64,
    /// How the weight files hold the linears.
    pub lies: QuantizationConfig,
    /// Samples and tokens of the prepared data.
    pub samples: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Tokens of the longest.
    pub longest: u64,
    /// Vectors of integers that a worker holds.
    pub integer_vectors: u64,
}

/// The peak over micro-batches of these sizes.
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
    // The embedding's gradients come when nothing else is left.
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
    /// What learns, as the worker's memory sees it.
    pub(super) fn learned(&self) -> Learned<'_> {
        learned(self.adapter, self.config, self.shape.layers)
    }
}

/// The base model's weights as the configuration wants them held.
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

/// Bytes per position on the way forward and back.
pub(super) struct Way {
    /// Kept until the way back comes there.
    pub kept: u64,
    /// Beside that while a layer goes back.
    pub around: u64,
}

/// Where a worker computes. On the CPU norms and gates keep what comes in and nothing between
/// (`worker/cshim/{norm,gate}.cpp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Cpu,
    Gpu,
}

/// With activations kept, or computed `again`: then every layer keeps its input, and one its graph.
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

/// Bytes of a value in compute.
pub(super) fn value_bytes(config: &RunConfig) -> u64 {
    match config.precision {
        Precision::F32 => 4,
        Precision::Bf16 | Precision::Fp16 => 2,
    }
}

/// Bytes per position that the graph keeps from the forward pass.
///
/// A layer keeps, as soon as something before it learns: the two inputs of the norms, on a GPU in f32; the
/// normed values where q, k, v or gate, up are adapted; q, k, v, the mixed values and a number per
/// head of attention; gate and up of the MLP, on a GPU the gate's silu too; their product where down is adapted; and what
/// lies over each linear keeps its own ([`Learned`]). Linears share what comes in, unless each keeps
/// its own with inputs dropped (DoRA).
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
    // Whether a gradient reaches the values that come in.
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
        // A norm or a bias that learns lets gradients flow from somewhere in the layer on.
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
        // Norms behind attention and MLP keep what comes in, as those before do.
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
        // Gate for its activation, that for up's gradient, up for the activation's.
        let of_mlp = of_gate * u64::from(gate_learns) + u64::from(up_learns);
        kept += of_mlp * inner * width;
        kept += u64::from(keeps(&[Down])) * inner * shared;
        flows = gate_learns || up_learns || down;
        kept += u64::from(flows) * around * hidden * in_norm;
    }
    kept
}

/// Whether each adapted linear treats its inputs for itself.
pub(super) fn drops_in_dora(config: &RunConfig) -> bool {
    config.adapter.use_dora && config.lora_dropout > 0.0
}

/// Scores with a soft cap are kept as such: what tanh and softmax gave, the latter in f32 too where
/// compute is not, in a sample as long as the longest.
fn of_scores(model: &Model<'_>) -> u64 {
    let capped = u64::from(model.shape.attention_soft_cap.is_some());
    capped * model.shape.heads as u64 * model.longest * 2 * F32
}

/// Experts of a token: gate (and its activation) and up of each, what each gave and its weight, the router's
/// probabilities, and two places in the order of experts.
fn of_experts(experts: &Experts, hidden: u64, width: u64, of_gate: u64) -> u64 {
    let inner = experts.intermediate_size as u64;
    let each = (of_gate + 1) * inner * width + hidden * width + F32 + 2 * I64;
    experts.per_token as u64 * each + experts.count as u64 * F32
}

/// Bytes per predicting position while the loss goes back: the logits and their gradient in f32, and both
/// in the type of compute where that is another; with a cap in f32, also the logits before it.
fn head_per_target(shape: &ModelConfig, width: u64) -> u64 {
    let more = match shape.logit_soft_cap {
        _ if width < F32 => 2 * width,
        Some(_) => F32,
        None => 0,
    };
    (2 * F32 + more) * shape.vocab_size as u64
}

/// Bytes per position while the last layer goes back: the gradients of silu, up and their product, and
/// of the layer's output before and after. Dropped inputs are made again in f32; where compute is not in f32,
/// an adapted linear's inputs and both gradients are widened to it.
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
