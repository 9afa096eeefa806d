//! config.json as switches: the shape of a decoder, in the spellings of old and new transformers.
//!
//! In: a Hugging Face folder. Out: [`ModelConfig`], every number present and consistent, every choice
//! a plain switch. What this program would compute wrongly is refused here, never ignored. What one
//! family says differently from another is in `families`.

use std::path::Path;

use serde_json::Value;

use super::family::{Bias, Family};
use super::keys::{Keys, bad};
use super::rope::{Rope, ropes};
use super::{Projection, nearest};
use crate::error::{Code, Error, Result};

/// Shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Name of the architecture under `architectures`.
    pub architecture: &'static str,
    /// Rows of the embedding: ids run from 0 to one less.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward part, where it has no experts.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Number of query heads of a layer.
    pub heads: usize,
    /// Number of key and value heads of a layer; each serves `heads / key_value_heads` query heads.
    pub key_value_heads: usize,
    /// Width of one attention head.
    pub head_dim: usize,
    /// Added to the mean square under the root of a norm.
    pub rms_norm_eps: f64,
    /// How norms are computed and where they stand.
    pub norms: Norms,
    /// Activation that the gate passes through.
    pub activation: Activation,
    /// Factor on the embeddings before the first layer, the root of `hidden_size`; `None` leaves them as they are.
    pub embedding_scale: Option<f64>,
    /// Multiplies products of queries and keys.
    pub query_scale: f64,
    /// Attention scores are `cap * tanh(score / cap)`.
    pub attention_soft_cap: Option<f64>,
    /// Logits are `cap * tanh(logit / cap)`.
    pub logit_soft_cap: Option<f64>,
    /// Linears that have a bias.
    pub biases: Biases,
    /// q, k, v are one linear, and gate and up.
    pub fused_projections: bool,
    /// What differs from layer to layer.
    pub layer_kinds: Vec<LayerKind>,
    /// Rotary positions; a layer says which are its own.
    pub ropes: Vec<Rope>,
    /// Experts of the layers that have them.
    pub experts: Option<Experts>,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Longest row the base model was made for.
    pub max_position_embeddings: usize,
    /// End-of-text ids of config.json.
    pub eos_token_ids: Vec<u32>,
}

/// Root mean square norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norms {
    /// Computed with 1 + weight, in f32 to the end.
    pub plus_one: bool,
    /// Attention and MLP have a norm before and one behind.
    pub around: bool,
    /// Queries and keys are normed head by head.
    pub query_key: bool,
}

impl Norms {
    /// Names of a layer's norms over the residual stream, in the order they are computed.
    #[must_use]
    pub fn of_layer(self) -> &'static [&'static str] {
        if self.around {
            &[
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ]
        } else {
            &["input_layernorm", "post_attention_layernorm"]
        }
    }
}

/// Activation of the feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x times its logistic function.
    Silu,
    /// The Gaussian error unit in its form with tanh.
    GeluTanh,
}

/// The linears of a layer that have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// The projections of queries, keys and values have a bias.
    pub qkv: bool,
    /// The projection behind attention, `o_proj`, has a bias.
    pub output: bool,
    /// The gate, up and down projections have a bias.
    pub mlp: bool,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// Most positions that a token sees, itself included; `None` is all before it.
    pub window: Option<usize>,
    /// Index of the layer's rotary positions in `ropes`; `None` for a layer without them.
    pub rope: Option<usize>,
    /// The layer has experts in place of one MLP.
    pub experts: bool,
}

/// Experts of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// Number of experts in a layer.
    pub count: usize,
    /// Number of experts that compute one token.
    pub per_token: usize,
    /// Width of one expert's feed-forward part.
    pub intermediate_size: usize,
    /// The weights of a token's experts are divided by their sum.
    pub normed: bool,
    /// These weights stay f32; otherwise they take the type of compute.
    pub wide_weights: bool,
    /// Module of router and experts in a layer.
    pub module: &'static str,
    /// Names of gate, up and down of an expert.
    pub parts: [&'static str; 3],
}

/// What to do about a file that came broken, or a model that is not built.
const REMEDY: &str =
    "take config.json anew from where the base model came from, or choose another base model";

impl ModelConfig {
    /// Reads `folder/config.json`.
    ///
    /// # Errors
    /// [`Code::BadModelConfig`] when it cannot be read or used, [`Code::UnsupportedArchitecture`]
    /// when it describes another kind of model.
    pub fn load(folder: &Path) -> Result<Self> {
        let file = folder.join("config.json");
        let bytes = std::fs::read(&file).map_err(|e| {
            Error::new(
                Code::BadModelConfig,
                "the base model has no readable config.json",
            )
            .in_file(&file)
            .why(e.to_string())
            .fix("base_model must be a folder in Hugging Face's form")
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| {
            Error::new(Code::BadModelConfig, "config.json is not JSON")
                .at_line(&file, u64::try_from(e.line()).unwrap_or(0))
                .why(e.to_string())
                .fix(REMEDY)
        })?;
        Self::from_json(&value).map_err(|e| {
            let error = e.in_file(&file);
            if error.fix.is_empty() {
                error.fix(REMEDY)
            } else {
                error
            }
        })
    }

    /// Reads the JSON value of a config.json.
    ///
    /// # Errors
    /// As [`ModelConfig::load`], without the place.
    pub fn from_json(value: &Value) -> Result<Self> {
        let Value::Object(object) = value else {
            return Err(bad("config.json is not an object"));
        };
        let keys = Keys(object);
        let family = nearest::family(keys)?;
        keys.check_refused()?;
        let defaults = &family.defaults;
        let hidden_size = keys.size("hidden_size")?;
        let heads = keys.size("num_attention_heads")?;
        let key_value_heads = keys.key_value_heads(family, heads)?;
        let head_dim = keys.head_dim(family, hidden_size, heads)?;
        let max_position_embeddings =
            keys.size_or("max_position_embeddings", defaults.max_position_embeddings)?;
        let layers = keys.size("num_hidden_layers")?;
        let cap = |key: &str, has: bool, default: Option<f64>| {
            if has {
                keys.optional(key, default)
            } else {
                Ok(None)
            }
        };
        Ok(Self {
            architecture: family.architecture,
            vocab_size: keys.size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.size("intermediate_size")?,
            layers,
            heads,
            key_value_heads,
            head_dim,
            rms_norm_eps: keys.number_or("rms_norm_eps", defaults.rms_norm_eps)?,
            norms: family.norms,
            activation: keys.activation(family)?,
            embedding_scale: family.embedding_scaled.then(|| root(hidden_size)),
            query_scale: match family.query_scalar {
                None => 1.0 / root(head_dim),
                Some(default) => 1.0 / keys.number_or("query_pre_attn_scalar", default)?.sqrt(),
            },
            attention_soft_cap: cap(
                "attn_logit_softcapping",
                family.attention_soft_cap,
                defaults.attention_soft_cap,
            )?,
            logit_soft_cap: cap(
                "final_logit_softcapping",
                family.logit_soft_cap,
                defaults.logit_soft_cap,
            )?,
            biases: Biases {
                qkv: keys.bias(family.qkv_bias)?,
                output: keys.bias(family.output_bias)?,
                mlp: keys.bias(family.mlp_bias)?,
            },
            fused_projections: family.fused,
            layer_kinds: keys.layer_kinds(family, layers)?,
            ropes: ropes(keys, family, head_dim, max_position_embeddings)?,
            experts: keys.experts(family)?,
            tie_word_embeddings: keys.flag_or("tie_word_embeddings", defaults.tied)?,
            max_position_embeddings,
            eos_token_ids: keys.ids("eos_token_id")?,
        })
    }

    /// Whether a linear has a bias.
    #[must_use]
    pub fn biased(&self, projection: Projection) -> bool {
        match projection {
            Projection::Query | Projection::Key | Projection::Value | Projection::QueryKeyValue => {
                self.biases.qkv
            }
            Projection::Output => self.biases.output,
            Projection::Gate | Projection::Up | Projection::GateUp | Projection::Down => {
                self.biases.mlp
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a model's width is small")]
fn root(width: usize) -> f64 {
    (width as f64).sqrt()
}

impl Keys<'_> {
    fn key_value_heads(self, family: &Family, heads: usize) -> Result<usize> {
        let key = "num_key_value_heads";
        let default = match family.defaults.key_value_heads {
            Some(count) if !self.is_null(key) => count,
            _ => heads,
        };
        let found = self.size_or(key, default)?;
        if !heads.is_multiple_of(found) {
            return Err(bad(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {found}"
            )));
        }
        Ok(found)
    }

    fn head_dim(self, family: &Family, hidden_size: usize, heads: usize) -> Result<usize> {
        let default = family
            .defaults
            .head_dim
            .filter(|_| !self.is_null("head_dim"));
        if !self.has("head_dim") && default.is_none() && !hidden_size.is_multiple_of(heads) {
            return Err(bad(format!(
                "hidden_size {hidden_size} is not a multiple of num_attention_heads {heads}"
            )));
        }
        let head_dim = self.size_or("head_dim", default.unwrap_or(hidden_size / heads))?;
        if !head_dim.is_multiple_of(2) {
            return Err(bad(format!(
                "head_dim {head_dim} is odd, rotary positions need pairs"
            )));
        }
        Ok(head_dim)
    }

    fn activation(self, family: &Family) -> Result<Activation> {
        match self.text(family.activation_key) {
            None => Ok(family.defaults.activation),
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => Err(bad(format!(
                "{} `{other}` is not supported, only silu and gelu_pytorch_tanh are",
                family.activation_key
            ))),
        }
    }

    fn bias(self, bias: Bias) -> Result<bool> {
        match bias {
            Bias::Never => Ok(false),
            Bias::Always => Ok(true),
            Bias::Key(key) => self.flag(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::RopeScaling;

    fn llama() -> Value {
        json!({"architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32,
            "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4})
    }

    fn with(key: &str, value: Value) -> Result<ModelConfig> {
        let mut config = llama();
        config[key] = value;
        ModelConfig::from_json(&config)
    }

    #[test]
    fn absent_keys_take_transformers_defaults() {
        let config = ModelConfig::from_json(&llama()).unwrap();
        assert_eq!((config.key_value_heads, config.head_dim), (4, 8));
        let plain = Rope {
            theta: 10_000.0,
            dims: 8,
            scaling: RopeScaling::Default,
        };
        assert_eq!(config.ropes, [plain]);
        assert!(!config.tie_word_embeddings);
    }

    #[test]
    fn old_and_new_spellings_of_rope_are_the_same() {
        let llama3 = |key: &str| {
            json!({key: "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192})
        };
        let mut old = llama();
        old["rope_theta"] = json!(500_000.0);
        old["rope_scaling"] = llama3("type");
        let mut new = llama();
        new["rope_parameters"] = llama3("rope_type");
        new["rope_parameters"]["rope_theta"] = json!(500_000.0);
        let (old, new) = (
            ModelConfig::from_json(&old).unwrap(),
            ModelConfig::from_json(&new),
        );
        assert_eq!(old, new.unwrap());
        assert!(
            matches!(old.ropes[0].scaling, RopeScaling::Llama3 { factor, .. } if factor == 8.0)
        );
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused() {
        for (key, value) in [
            ("hidden_act", json!("gelu")),
            ("attention_dropout", json!(0.1)),
            ("quantization_config", json!({})),
            ("rope_scaling", json!({"rope_type": "mrope", "factor": 2.0})),
            ("partial_rotary_factor", json!(0.5)),
            ("num_key_value_heads", json!(3)),
            ("hidden_size", json!("32")),
            ("head_dim", json!(7)),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code, Code::BadModelConfig, "{key}: {error:?}");
        }
    }

    #[test]
    fn a_file_that_is_refused_has_a_place_and_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        for text in ["{", "[]", "{\"model_type\": \"llama\", \"hidden_size\": 0}"] {
            std::fs::write(&file, text).unwrap();
            let error = ModelConfig::load(folder.path()).unwrap_err();
            assert!(error.place.is_some(), "{text}: {error:?}");
            assert_eq!(error.fix, [REMEDY], "{text}");
        }
    }

    #[test]
    fn one_eos_id_or_several() {
        assert_eq!(with("eos_token_id", json!(2)).unwrap().eos_token_ids, [2]);
        assert_eq!(
            with("eos_token_id", json!([2, 5])).unwrap().eos_token_ids,
            [2, 5]
        );
        assert!(with("eos_token_id", json!("</s>")).is_err());
    }
}
