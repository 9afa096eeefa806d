//! config.json: the shape of a decoder, in the spellings of old and new transformers.
//!
//! In: a Hugging Face folder. Out: [`ModelConfig`], every number present and consistent.
//! What this program would compute wrongly is refused here, never ignored.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};

/// Names under `architectures` that can be trained.
pub const SUPPORTED_ARCHITECTURES: &[&str] = &["LlamaForCausalLM"];

/// Shape of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward part.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_value_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Added to the variance under the root.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// The output head is the embedding.
    pub tie_word_embeddings: bool,
    /// q, k, v and o have a bias.
    pub attention_bias: bool,
    /// gate, up and down have a bias.
    pub mlp_bias: bool,
    /// Longest row the base model was made for.
    pub max_position_embeddings: usize,
    /// End-of-text ids of config.json.
    pub eos_token_ids: Vec<u32>,
}

/// Rotary positions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the wavelengths.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
}

/// How rotary wavelengths are stretched.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All by one factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Long ones by a factor, short ones not, smooth between.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Wavelengths above `original / low` are stretched whole.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are not.
        high_freq_factor: f64,
        /// Context length of the first training.
        original_max_position_embeddings: f64,
    },
}

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
        })?;
        Self::from_json(&value).map_err(|e| e.in_file(&file))
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
        keys.check_architecture()?;
        keys.check_refused()?;
        let hidden_size = keys.size("hidden_size")?;
        let heads = keys.size("num_attention_heads")?;
        let key_value_heads = keys.size_or("num_key_value_heads", heads)?;
        if heads % key_value_heads != 0 {
            return Err(bad(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {key_value_heads}"
            )));
        }
        if !keys.has("head_dim") && hidden_size % heads != 0 {
            return Err(bad(format!(
                "hidden_size {hidden_size} is not a multiple of num_attention_heads {heads}"
            )));
        }
        let head_dim = keys.size_or("head_dim", hidden_size / heads)?;
        if head_dim % 2 != 0 {
            return Err(bad(format!(
                "head_dim {head_dim} is odd, rotary positions need pairs"
            )));
        }
        let max_position_embeddings = keys.size_or("max_position_embeddings", 2048)?;
        Ok(Self {
            vocab_size: keys.size("vocab_size")?,
            hidden_size,
            intermediate_size: keys.size("intermediate_size")?,
            layers: keys.size("num_hidden_layers")?,
            heads,
            key_value_heads,
            head_dim,
            rms_norm_eps: keys.number_or("rms_norm_eps", 1e-6)?,
            rope: keys.rope(max_position_embeddings)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings")?,
            attention_bias: keys.flag("attention_bias")?,
            mlp_bias: keys.flag("mlp_bias")?,
            max_position_embeddings,
            eos_token_ids: keys.ids("eos_token_id")?,
        })
    }
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::BadModelConfig, what)
}

/// The keys of one JSON object, `null` meaning absent.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn size(&self, key: &str) -> Result<usize> {
        let value = self
            .get(key)
            .ok_or_else(|| bad(format!("config.json has no `{key}`")))?;
        let number = value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0);
        number.ok_or_else(|| {
            bad(format!(
                "`{key}` is {value}, a whole number above 0 is needed"
            ))
        })
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.has(key) {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| bad(format!("`{key}` is {value}, a number above 0 is needed")))
    }

    fn number(&self, key: &str) -> Result<f64> {
        if !self.has(key) {
            return Err(bad(format!("rope scaling has no `{key}`")));
        }
        self.number_or(key, 0.0)
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(bad(format!("`{key}` is {other}, true or false is needed"))),
        }
    }

    fn ids(&self, key: &str) -> Result<Vec<u32>> {
        let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        let found = match self.get(key) {
            None => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(value) => one(value).map(|id| vec![id]),
        };
        found.ok_or_else(|| bad(format!("`{key}` is neither a token id nor a list of them")))
    }

    fn check_architecture(&self) -> Result<()> {
        let named: Vec<&str> = match self.get("architectures") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let model_type = self.get("model_type").and_then(Value::as_str);
        let supported = if named.is_empty() {
            model_type == Some("llama")
        } else {
            named
                .iter()
                .any(|name| SUPPORTED_ARCHITECTURES.contains(name))
        };
        if supported {
            return Ok(());
        }
        let found = if named.is_empty() {
            model_type.map_or_else(|| "nothing".to_owned(), |t| format!("model_type {t}"))
        } else {
            named.join(", ")
        };
        Err(Error::new(
            Code::UnsupportedArchitecture,
            format!("the base model's architecture is not supported: {found}"),
        )
        .why(format!(
            "supported: {} (Llama 2 and 3.x)",
            SUPPORTED_ARCHITECTURES.join(", ")
        ))
        .fix("choose a base model of a supported architecture"))
    }

    /// Settings that would change the arithmetic and are not built.
    fn check_refused(&self) -> Result<()> {
        let activation = self
            .get("hidden_act")
            .and_then(Value::as_str)
            .unwrap_or("silu");
        if activation != "silu" && activation != "swish" {
            return Err(bad(format!(
                "hidden_act `{activation}` is not supported, only silu is"
            )));
        }
        if self.has("quantization_config") {
            return Err(bad("the base model is quantized, which is not supported")
                .fix("use the model's 16-bit or 32-bit weights"));
        }
        for (key, neutral) in [("attention_dropout", 0.0), ("partial_rotary_factor", 1.0)] {
            let value = self.get(key).and_then(Value::as_f64);
            if let Some(value) = value.filter(|v| (v - neutral).abs() > 0.0) {
                return Err(bad(format!(
                    "`{key}` {value} is not supported, only {neutral} is"
                )));
            }
        }
        Ok(())
    }

    /// `rope_parameters`, or `rope_theta` with `rope_scaling`.
    fn rope(&self, max_position_embeddings: usize) -> Result<Rope> {
        let empty = Map::new();
        let object = |key: &str| match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(bad(format!("`{key}` is {other}, an object is needed"))),
        };
        let parameters = object("rope_parameters")?;
        let scaling = Keys(match parameters {
            Some(map) => map,
            None => object("rope_scaling")?.unwrap_or(&empty),
        });
        let theta = if scaling.has("rope_theta") {
            scaling.number("rope_theta")?
        } else {
            self.number_or("rope_theta", 10_000.0)?
        };
        if let Some(part) = scaling.get("partial_rotary_factor").and_then(Value::as_f64)
            && (part - 1.0).abs() > 0.0
        {
            return Err(bad(format!(
                "partial_rotary_factor {part} is not supported, only 1 is"
            )));
        }
        let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
        let kind = kind.and_then(Value::as_str).unwrap_or("default");
        let scaling = match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear {
                factor: scaling.number("factor")?,
            },
            "llama3" => RopeScaling::Llama3 {
                factor: scaling.number("factor")?,
                low_freq_factor: scaling.number("low_freq_factor")?,
                high_freq_factor: scaling.number("high_freq_factor")?,
                original_max_position_embeddings: scaling.number_or(
                    "original_max_position_embeddings",
                    f64::from(u32::try_from(max_position_embeddings).unwrap_or(u32::MAX)),
                )?,
            },
            other => {
                return Err(bad(format!("rope scaling `{other}` is not supported"))
                    .why("supported: default, linear, llama3"));
            }
        };
        Ok(Rope { theta, scaling })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        assert_eq!(
            config.rope,
            Rope {
                theta: 10_000.0,
                scaling: RopeScaling::Default
            }
        );
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
        assert!(matches!(old.rope.scaling, RopeScaling::Llama3 { factor, .. } if factor == 8.0));
    }

    #[test]
    fn another_architecture_lists_the_supported_ones() {
        let error = with("architectures", json!(["GPT2LMHeadModel"])).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedArchitecture);
        assert!(error.what.contains("GPT2LMHeadModel"), "{error:?}");
        assert!(error.why.concat().contains("LlamaForCausalLM"), "{error:?}");
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused() {
        for (key, value) in [
            ("hidden_act", json!("gelu")),
            ("attention_dropout", json!(0.1)),
            ("quantization_config", json!({})),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 2.0})),
            ("num_key_value_heads", json!(3)),
            ("hidden_size", json!("32")),
            ("head_dim", json!(7)),
        ] {
            let error = with(key, value).unwrap_err();
            assert_eq!(error.code, Code::BadModelConfig, "{key}: {error:?}");
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
