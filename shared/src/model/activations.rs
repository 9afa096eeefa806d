//! What training keeps in memory of each decoder layer, in bytes per position of a micro-batch.
//!
//! In: the base model's shape, the adapter's tensors, how values are held. Out: the bytes that each layer keeps from its
//! forward pass until its backward pass, and those that come on top while it runs. Letters: H hidden, I intermediate,
//! V vocabulary, R rank, E bytes of a value in compute (4 for fp32, 2 for bf16 and fp16), L length of the longest sample.
//! Keeps: every term is a tensor that can be named; `worker/tests/activations.rs` holds what is computed here against
//! what a worker measures before step 1.

use std::collections::HashMap;

use super::Projection::{Down, Gate, GateUp, Key, Output, Query, QueryKeyValue, Up, Value};
use super::{
    AdapterShape, AdapterTensor, Experts, LinearSpec, ModelConfig, Part, Projection, Role, linears,
};

const F32: u64 = 4;
const I64: u64 = 8;

/// How a worker holds the values of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivationSettings {
    /// Bytes of a value in compute, E.
    pub value_bytes: u64,
    /// Whether the layers run on a GPU: norms keep their inputs in f32 there, and the MLP the activation of its gate.
    pub on_gpu: bool,
    /// Whether LoRA's inputs are dropped out.
    pub dropout: bool,
    /// Whether the adapter is DoRA.
    pub dora: bool,
    /// Tokens of the longest sample, L.
    pub longest: u64,
}

impl ActivationSettings {
    /// Bytes of a value of a norm's input.
    fn norm_bytes(self) -> u64 {
        if self.on_gpu { F32 } else { self.value_bytes }
    }

    /// Values that the gate of an MLP keeps for each of its outputs.
    fn gate_values(self) -> u64 {
        if self.on_gpu { 2 } else { 1 }
    }

    /// Whether each adapted linear keeps a dropped input of its own: DoRA with dropout.
    fn own_inputs(self) -> bool {
        self.dora && self.dropout
    }

    /// Bytes of a value of an input that adapted linears share.
    fn shared_bytes(self) -> u64 {
        if self.own_inputs() {
            0
        } else {
            self.value_bytes
        }
    }
}

/// Bytes per position that are kept from the forward pass until the backward pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptActivations {
    /// Bytes by layer.
    pub layers: Vec<u64>,
    /// Bytes of an adapted output head.
    pub head: u64,
}

impl KeptActivations {
    /// Bytes of all layers and the head.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.layers.iter().sum::<u64>() + self.head
    }
}

/// What the adapter of one linear keeps.
#[derive(Clone, Copy, Debug, Default)]
struct AdapterKeeps {
    /// Bytes per position, without the linear's input.
    bytes: u64,
    /// Whether the linear's input is kept too; linears that read the same input share it.
    input: bool,
}

/// The adapted linears of one layer, and whether any other tensor of it is trained.
#[derive(Clone, Debug, Default)]
struct AdaptedLayer {
    linears: Vec<(LinearSpec, AdapterKeeps)>,
    learns: bool,
}

impl AdaptedLayer {
    fn is_of(linear: &LinearSpec, any: &[Projection]) -> bool {
        any.iter().any(|p| linear.name.ends_with(p.path()))
    }

    /// Whether any of these linears is adapted.
    fn adapts(&self, any: &[Projection]) -> bool {
        self.linears
            .iter()
            .any(|(linear, _)| Self::is_of(linear, any))
    }

    /// Whether the adapter of any of these linears keeps its input.
    fn keeps(&self, any: &[Projection]) -> bool {
        let keeps =
            |(linear, keeps): &(LinearSpec, AdapterKeeps)| keeps.input && Self::is_of(linear, any);
        self.linears.iter().any(keeps)
    }
}

/// Bytes per position that the layers keep from the forward pass.
///
/// A layer that a gradient passes through keeps: the inputs of its two norms; the normed values where q, k, v or gate,
/// up are adapted; q, k, v, the attention's output and a number per head; where q, k and v come of one linear its output; gate and up of the MLP; their product where
/// down is adapted; and each adapter's own values. Linears share their input, unless each keeps a dropped one of its own
/// (DoRA).
#[must_use]
pub fn kept_activations(
    shape: &ModelConfig,
    adapter: &AdapterShape,
    settings: ActivationSettings,
) -> KeptActivations {
    let (adapted, head) = adapted_layers(shape, adapter, settings);
    let embedding = |tensor: &AdapterTensor| tensor.part == Part::Embedding;
    // Whether a gradient reaches the layer's input.
    let mut flows = adapter.tensors.iter().any(embedding);
    let layers = adapted.iter().enumerate().map(|(layer, adapted)| {
        let own: u64 = adapted.linears.iter().map(|(_, keeps)| keeps.bytes).sum();
        own + attention(shape, adapted, settings, &mut flows)
            + mlp(shape, layer, adapted, settings, &mut flows)
    });
    KeptActivations {
        layers: layers.collect(),
        head,
    }
}

/// The adapted linears by layer, and the bytes that an adapted head keeps.
fn adapted_layers(
    shape: &ModelConfig,
    adapter: &AdapterShape,
    settings: ActivationSettings,
) -> (Vec<AdaptedLayer>, u64) {
    let mut kept: HashMap<&str, AdapterKeeps> = HashMap::new();
    let mut layers = vec![AdaptedLayer::default(); shape.layers];
    for tensor in &adapter.tensors {
        if let Part::Layer(layer) = tensor.part
            && let Some(layer) = layers.get_mut(layer)
        {
            layer.learns = true;
        }
        if let Some(bytes) = adapter_keeps(tensor, settings) {
            let keeps = kept.entry(tensor.module.as_str()).or_default();
            keeps.bytes += bytes;
            keeps.input |= tensor.role != Role::ScaledOutput;
        }
    }
    for linear in linears(shape) {
        if let Some(keeps) = kept.remove(linear.name.as_str())
            && let Some(layer) = layers.get_mut(linear.layer)
        {
            layer.linears.push((linear, keeps));
        }
    }
    (layers, kept.values().map(|keeps| keeps.bytes).sum())
}

/// Bytes per position that are kept for one tensor; `None` for a tensor that no linear uses.
///
/// `lora_A` (R x in): `4 R`, with dropout `in` more for its mask, and under DoRA `E in` for the dropped input itself.
/// DoRA's magnitude and IA3's output vector (out): `E out`, for the values that they scale. Every other tensor over a
/// linear: 0.
fn adapter_keeps(tensor: &AdapterTensor, settings: ActivationSettings) -> Option<u64> {
    let side = |side: usize| tensor.shape.get(side).map_or(0, |&n| n as u64);
    let width = settings.value_bytes;
    let dropped = u64::from(settings.dropout) + u64::from(settings.own_inputs()) * width;
    match tensor.role {
        Role::LoraA => Some(side(0) * F32 + dropped * side(1)),
        Role::Magnitude | Role::ScaledOutput => Some(side(0) * width),
        Role::LoraB | Role::ScaledInput => Some(0),
        Role::Whole if tensor.shape.len() == 2 => Some(0),
        Role::Whole | Role::Bias | Role::EmbeddingA | Role::EmbeddingB => None,
    }
}

/// Of a layer's first norm and its attention, without what adapters keep.
fn attention(
    shape: &ModelConfig,
    adapted: &AdaptedLayer,
    settings: ActivationSettings,
    flows: &mut bool,
) -> u64 {
    let (width, norm) = (settings.value_bytes, settings.norm_bytes());
    let [hidden, heads] = [shape.hidden_size, shape.heads].map(|n| n as u64);
    let queries = heads * shape.head_dim as u64;
    let keys = (shape.key_value_heads * shape.head_dim) as u64;
    let inputs = [Query, Key, Value, QueryKeyValue];
    let mut kept = if *flows { hidden * norm } else { 0 };
    kept += u64::from(adapted.keeps(&inputs)) * hidden * settings.shared_bytes();
    // A trained norm or bias lets gradients flow from within the layer on.
    let other = adapted.learns && adapted.linears.is_empty();
    let attention = *flows || adapted.adapts(&inputs) || other;
    if attention {
        kept += (2 * queries + 2 * keys) * width + heads * F32;
        kept += scores(shape, settings.longest);
        kept += u64::from(shape.norms.query_key) * (queries + keys) * norm;
        // The values of a fused linear are a part of its output, and keep the whole of it.
        kept += u64::from(shape.fused_projections) * (queries + keys) * width;
    } else if adapted.keeps(&[Output]) {
        kept += queries * settings.shared_bytes();
    }
    *flows = attention || adapted.adapts(&[Output]);
    kept
}

/// Bytes of attention scores, which only a soft cap keeps: `8 heads L`, the outputs of tanh and softmax, in f32.
fn scores(shape: &ModelConfig, longest: u64) -> u64 {
    let capped = u64::from(shape.attention_soft_cap.is_some());
    capped * shape.heads as u64 * longest * 2 * F32
}

/// Of a layer's second norm, its MLP or experts, and norms behind both, without what adapters keep.
fn mlp(
    shape: &ModelConfig,
    layer: usize,
    adapted: &AdaptedLayer,
    settings: ActivationSettings,
    flows: &mut bool,
) -> u64 {
    let (width, norm) = (settings.value_bytes, settings.norm_bytes());
    let [hidden, inner] = [shape.hidden_size, shape.intermediate_size].map(|n| n as u64);
    // Norms behind attention and MLP keep their input, as those before do.
    let around = u64::from(shape.norms.around);
    let mut kept = u64::from(*flows) * (1 + around) * hidden * norm;
    let sparse = shape
        .layer_kinds
        .get(layer)
        .is_some_and(|kind| kind.experts);
    if let Some(of_experts) = shape.experts.filter(|_| sparse) {
        return kept + u64::from(*flows) * experts(&of_experts, hidden, settings);
    }
    let both = adapted.adapts(&[GateUp]);
    let gate = *flows || both || adapted.adapts(&[Gate]);
    let up = *flows || both || adapted.adapts(&[Up]);
    kept += u64::from(adapted.keeps(&[GateUp, Gate, Up])) * hidden * settings.shared_bytes();
    // The activation's gradient needs gate and up, that of up needs the activation.
    kept += (settings.gate_values() * u64::from(gate) + u64::from(up)) * inner * width;
    kept += u64::from(adapted.keeps(&[Down])) * inner * settings.shared_bytes();
    *flows = gate || up || adapted.adapts(&[Down]);
    kept + u64::from(*flows) * around * hidden * norm
}

/// Bytes of `k` experts of a token out of `c`: `k ((gate values + 1) I E + H E + 4 + 24) + 4 c`, and `4 (k + 1)` more
/// where the weights are normed: each one's gate (and its activation), up, output, weight, index and two places in the
/// order of experts; the router's probabilities; the weights before the norm and their sum.
fn experts(experts: &Experts, hidden: u64, settings: ActivationSettings) -> u64 {
    let (inner, width) = (experts.intermediate_size as u64, settings.value_bytes);
    let (chosen, normed) = (experts.per_token as u64, u64::from(experts.normed));
    let each = (settings.gate_values() + 1) * inner * width + hidden * width + F32 + 3 * I64;
    chosen * each + experts.count as u64 * F32 + normed * (chosen + 1) * F32
}

/// Bytes per position in the last layer's backward pass: `2 H E` for the gradients of the layer's output and input, and
/// the largest of three: `3 I E` for those of silu, up and their product, with an adapted linear's `4 (out + 2 in)`
/// where its input and gradients are widened to f32; `I (E + 12)` where dropped inputs of down are made again in f32;
/// an expert layer's `k (3 I + 2 H) E`.
#[must_use]
pub fn backward_bytes(
    shape: &ModelConfig,
    adapter: &AdapterShape,
    settings: ActivationSettings,
) -> u64 {
    let width = settings.value_bytes;
    let (hidden, inner) = (shape.hidden_size as u64, shape.intermediate_size as u64);
    let adapted = &adapter.adapted;
    let down = adapted.iter().any(|l| l.short_name() == "down_proj");
    let plain = 3 * inner * width;
    let sparse = shape.experts.map_or(0, |experts| {
        let inner = experts.intermediate_size as u64;
        experts.per_token as u64 * (3 * inner + 2 * hidden) * width
    });
    let dropped = if down && settings.dropout {
        inner * (width + 3 * F32)
    } else {
        0
    };
    let wide = |l: &LinearSpec| (l.out_features + 2 * l.in_features) as u64 * F32;
    let widened = adapted.iter().map(wide).max().unwrap_or(0);
    let widened = if width < F32 { widened } else { 0 };
    2 * hidden * width + (plain + widened).max(dropped).max(sparse)
}

/// Bytes per predicting position in the loss's backward pass on the CPU: `8 V` for the logits and their gradient in
/// f32; `2 E V` more for both in a compute type that is not f32, or in f32 with a soft cap `4 V` more for the logits
/// before it.
#[must_use]
pub fn logits_bytes(shape: &ModelConfig, value_bytes: u64) -> u64 {
    let more = match shape.logit_soft_cap {
        _ if value_bytes < F32 => 2 * value_bytes,
        Some(_) => F32,
        None => 0,
    };
    (2 * F32 + more) * shape.vocab_size as u64
}
