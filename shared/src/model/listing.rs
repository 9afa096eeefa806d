//! Which linears a decoder has.
//!
//! Order is that of transformers' modules, layer by layer: q k v o gate up down, or, where they are
//! fused, o qkv gate_up down. The canonical order of adapter parameters and PEFT's order of random
//! draws both follow it. Router and experts are no linears to PEFT and are not among them.

use super::ModelConfig;

/// One linear of the decoder; the output head is not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinearSpec {
    /// Module path, such as `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// Index of the layer, from 0.
    pub layer: usize,
    /// Inputs of the linear: columns of its weight.
    pub in_features: usize,
    /// Outputs of the linear: rows of its weight.
    pub out_features: usize,
}

impl LinearSpec {
    /// The last part of the module path, such as `q_proj`.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

/// What a linear of a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// Hidden states to queries, `q_proj`.
    Query,
    /// Hidden states to keys, `k_proj`.
    Key,
    /// Hidden states to values, `v_proj`.
    Value,
    /// Queries, keys and values from one linear, their outputs in this order behind each other.
    QueryKeyValue,
    /// Heads of attention to the residual stream, `o_proj`.
    Output,
    /// Hidden states to what the activation is applied to, `gate_proj`.
    Gate,
    /// Hidden states to what the activated gate is multiplied with, `up_proj`.
    Up,
    /// Gate and up from one linear, their outputs in this order behind each other.
    GateUp,
    /// Inner values of the MLP to the residual stream, `down_proj`.
    Down,
}

impl Projection {
    /// Path of the linear within its layer, as transformers names it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::QueryKeyValue => "self_attn.qkv_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::GateUp => "mlp.gate_up_proj",
            Self::Down => "mlp.down_proj",
        }
    }
}

impl ModelConfig {
    /// The linears of a layer in model order.
    #[must_use]
    pub fn projections(&self, layer: usize) -> &'static [Projection] {
        use Projection::{Down, Gate, GateUp, Key, Output, Query, QueryKeyValue, Up, Value};
        let sparse = self.layer_kinds.get(layer).is_some_and(|kind| kind.experts);
        match (self.fused_projections, sparse) {
            (false, false) => &[Query, Key, Value, Output, Gate, Up, Down],
            (false, true) => &[Query, Key, Value, Output],
            (true, false) => &[Output, QueryKeyValue, GateUp, Down],
            (true, true) => &[Output, QueryKeyValue],
        }
    }

    /// Inputs and outputs of a linear.
    #[must_use]
    pub fn features(&self, projection: Projection) -> (usize, usize) {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let queries = self.heads * self.head_dim;
        let keys = self.key_value_heads * self.head_dim;
        match projection {
            Projection::Query => (hidden, queries),
            Projection::Key | Projection::Value => (hidden, keys),
            Projection::QueryKeyValue => (hidden, queries + 2 * keys),
            Projection::Output => (queries, hidden),
            Projection::Gate | Projection::Up => (hidden, inner),
            Projection::GateUp => (hidden, 2 * inner),
            Projection::Down => (inner, hidden),
        }
    }
}

/// Every linear of the decoder but the output head, in model order.
#[must_use]
pub fn linears(config: &ModelConfig) -> Vec<LinearSpec> {
    let layer = |layer: usize| {
        config.projections(layer).iter().map(move |&projection| {
            let (in_features, out_features) = config.features(projection);
            LinearSpec {
                name: format!("model.layers.{layer}.{}", projection.path()),
                layer,
                in_features,
                out_features,
            }
        })
    };
    (0..config.layers).flat_map(layer).collect()
}
