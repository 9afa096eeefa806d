//! What a model family can say of itself: a [`Family`]. The table of them is in `families`.
//!
//! It says which keys of config.json a family has, what they default to, and which parts its layers are
//! made of; [`super::ModelConfig`] turns it and one config.json into the plain switches that a decoder
//! understands. Not here: arithmetic.

use super::{Activation, Norms};

/// What one architecture says of itself: its keys of config.json, their defaults, its parts.
#[derive(Debug)]
pub(super) struct Family {
    /// Name of the architecture under `architectures`.
    pub(super) architecture: &'static str,
    pub(super) model_type: &'static str,
    /// Name of the family that people know.
    pub(super) about: &'static str,
    /// Keys beyond [`super::nearest::COMMON_KEYS`] that are read.
    pub(super) keys: &'static [&'static str],
    pub(super) defaults: Defaults,
    /// The key that names the activation.
    pub(super) activation_key: &'static str,
    pub(super) norms: Norms,
    /// Embeddings are multiplied by the root of the hidden size.
    pub(super) embedding_scaled: bool,
    /// Scores are divided by the root of `query_pre_attn_scalar` (this default), not of the head's width.
    pub(super) query_scalar: Option<f64>,
    /// Attention scores have a soft cap.
    pub(super) attention_soft_cap: bool,
    /// Logits have a soft cap.
    pub(super) logit_soft_cap: bool,
    /// Bias of the query, key and value projections.
    pub(super) qkv_bias: Bias,
    /// Bias of the projection behind attention, `o_proj`.
    pub(super) output_bias: Bias,
    /// Bias of the gate, up and down projections.
    pub(super) mlp_bias: Bias,
    /// q, k, v are one linear, and gate and up.
    pub(super) fused: bool,
    /// `partial_rotary_factor` is read.
    pub(super) partial_rotary: bool,
    pub(super) windows: Windows,
    /// Layers with a window have rotary positions of their own.
    pub(super) local_rope: bool,
    /// Layers without rotary positions: those with a 0 in `no_rope_layers`, or every n-th, as
    /// `no_rope_layer_interval` says; its default.
    pub(super) unturned_every: Option<usize>,
    /// Layers have experts in place of one MLP.
    pub(super) experts: Option<ExpertKeys>,
}

/// What a key that is absent stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    /// `None`: as many as there are query heads.
    pub(super) key_value_heads: Option<usize>,
    /// `None`: hidden size over heads.
    pub(super) head_dim: Option<usize>,
    pub(super) rms_norm_eps: f64,
    pub(super) rope_theta: f64,
    pub(super) max_position_embeddings: usize,
    pub(super) tied: bool,
    pub(super) window: Option<usize>,
    pub(super) activation: Activation,
    pub(super) attention_soft_cap: Option<f64>,
    pub(super) logit_soft_cap: Option<f64>,
}

/// Whether linears have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    Never,
    Always,
    /// The value of this key of config.json says it.
    Key(&'static str),
}

/// Layers that look back no further than `sliding_window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    Never,
    /// All, where the key is set.
    All,
    /// All, where `use_sliding_window` is set too.
    SwitchedAll,
    /// Where `use_sliding_window` is set: those of `layer_types`, or from `max_window_layers` on.
    SwitchedFrom,
    /// Where `use_sliding_window` is set: those of `layer_types`, or those without rotary positions.
    SwitchedUnturned,
    /// The layers that `layer_types` names, or all but every n-th; the key that may say n, and its default.
    Alternating(Option<&'static str>, usize),
}

/// Experts of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExpertKeys {
    /// How many there are: the first of these keys that is set.
    pub(super) count: &'static [&'static str],
    /// Key of config.json with the width of one expert's feed-forward part.
    pub(super) width: &'static str,
    /// Whether the chosen weights are made to add up to one: always, or as `norm_topk_prob` says.
    pub(super) always_normed: bool,
    /// The chosen weights stay f32; otherwise they take the type of compute.
    pub(super) wide_weights: bool,
    /// Module of router and experts, and names of gate, up and down of an expert in it.
    pub(super) module: &'static str,
    pub(super) parts: [&'static str; 3],
}
