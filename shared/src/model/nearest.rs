//! Which family a config.json belongs to, or which one it is nearest to and what differs.
//!
//! In: the keys of config.json. Out: the [`Family`], or [`Code::UnsupportedArchitecture`] that names the
//! supported architecture with the fewest keys that would be computed otherwise, and those keys, and one whose name is
//! alike.

use std::cmp::Reverse;

use serde_json::Value;

use super::families::{FAMILIES, SUPPORTED_ARCHITECTURES};
use super::family::Family;
use super::keys::Keys;
use crate::error::{Code, Error, Result};

/// Keys that every family reads.
pub(super) const COMMON_KEYS: &[&str] = &[
    "architectures",
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "max_position_embeddings",
    "tie_word_embeddings",
    "eos_token_id",
    "attention_dropout",
    "original_max_position_embeddings",
];

/// Keys that decide nothing here.
const NEUTRAL_KEYS: &[&str] = &[
    "bos_token_id",
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "torch_dtype",
    "dtype",
    "use_cache",
    "initializer_range",
    "transformers_version",
    "auto_map",
    "pretraining_tp",
    "_name_or_path",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "cache_implementation",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "is_encoder_decoder",
    "tokenizer_class",
    "id2label",
    "label2id",
    "problem_type",
    "chunk_size_feed_forward",
    "router_aux_loss_coef",
    "task_specific_params",
];

/// Keys without which nothing can be computed.
const NEEDED: &[&str] = &[
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
];

/// Most unread keys that are named; a model of another kind has dozens.
const NAMED: usize = 12;

/// Letters that the names of a model and a family begin with alike, at least, for the family to be its kin.
const ALIKE: usize = 2;

/// Most differences that a kin may have beyond the nearest family's to be named beside it.
const MARGIN: usize = 2;

/// The family of a config.json.
///
/// # Errors
/// [`Code::UnsupportedArchitecture`].
pub(super) fn family(keys: Keys<'_>) -> Result<&'static Family> {
    let named: Vec<&str> = match keys.get("architectures") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let model_type = keys.text("model_type");
    let found = FAMILIES.iter().find(|family| {
        if named.is_empty() {
            model_type == Some(family.model_type)
        } else {
            named.contains(&family.architecture)
        }
    });
    found.ok_or_else(|| unsupported(keys, &named, model_type))
}

fn unsupported(keys: Keys<'_>, named: &[&str], model_type: Option<&str>) -> Error {
    let found = if named.is_empty() {
        model_type.map_or_else(|| "nothing".to_owned(), |t| format!("model_type {t}"))
    } else {
        named.join(", ")
    };
    let error = Error::new(
        Code::UnsupportedArchitecture,
        format!("the base model's architecture is not supported: {found}"),
    );
    let name = model_type.or(named.first().copied()).unwrap_or_default();
    let alike = |family: &Family| {
        let pairs = name.bytes().zip(family.model_type.bytes());
        let alike = pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        // Fewer letters are chance.
        if alike < ALIKE { 0 } else { alike }
    };
    let mut candidates: Vec<(Differences, &Family)> = FAMILIES
        .iter()
        .map(|family| (Differences::of(keys, family), family))
        .collect();
    candidates.sort_by_key(|(differences, family)| (differences.count(), Reverse(alike(family))));
    let least = candidates.first().map_or(0, |(least, _)| least.count());
    // A key that one family alone reads may hide the one that the name means.
    let meant = candidates
        .iter()
        .skip(1)
        .filter(|(differences, family)| alike(family) > 0 && differences.count() <= least + MARGIN);
    let meant = meant.min_by_key(|(_, family)| Reverse(alike(family)));
    let near = candidates.iter().take(1).chain(meant);
    let error =
        near.zip(["nearest", "then"])
            .fold(error, |error, ((differences, family), rank)| {
                error.why(format!(
                    "{rank}: {} ({}); {}",
                    family.architecture,
                    family.about,
                    differences.text()
                ))
            });
    error
        .why(format!("supported: {}", SUPPORTED_ARCHITECTURES.join(", ")))
        .fix("choose a base model of a supported architecture")
        .fix("or add the family: docs/internals/adding-a-family.md")
}

/// What in a config.json a family would not compute as meant.
struct Differences {
    /// Keys that config.json sets and the family does not read.
    unread: Vec<String>,
    /// Keys that the family needs and config.json does not have.
    missing: Vec<&'static str>,
}

impl Differences {
    fn of(keys: Keys<'_>, family: &Family) -> Self {
        let known = |key: &str| {
            COMMON_KEYS.contains(&key) || NEUTRAL_KEYS.contains(&key) || family.keys.contains(&key)
        };
        let unread = keys
            .0
            .iter()
            .filter(|(key, value)| !known(key) && decides(value))
            .map(|(key, _)| key.clone());
        let missing = NEEDED.iter().copied().filter(|key| !keys.has(key));
        Self {
            unread: unread.collect(),
            missing: missing.collect(),
        }
    }

    fn count(&self) -> usize {
        self.unread.len() + self.missing.len()
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if !self.unread.is_empty() {
            let more = self.unread.len().saturating_sub(NAMED);
            let named = self.unread.iter().take(NAMED).map(|key| format!("`{key}`"));
            let named = named.collect::<Vec<_>>().join(", ");
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            parts.push(format!("it would leave out what {named}{more} decide"));
        }
        if !self.missing.is_empty() {
            let missing = self.missing.iter().map(|key| format!("`{key}`"));
            let missing = missing.collect::<Vec<_>>().join(", ");
            parts.push(format!("it needs {missing}"));
        }
        if parts.is_empty() {
            return "config.json names no difference, so it is in the model's code".to_owned();
        }
        parts.join("; ")
    }
}

/// Whether a value of a key nobody knows may change what is computed.
fn decides(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::error::Code;
    use crate::model::ModelConfig;

    fn why(config: &Value) -> String {
        let error = ModelConfig::from_json(config).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedArchitecture);
        error.why.join("\n")
    }

    #[test]
    fn another_architecture_names_the_nearest_and_the_keys_that_differ() {
        let text = why(
            &json!({"architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe",
            "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "rms_norm_eps": 1e-6, "num_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 4, "shared_expert_intermediate_size": 16, "norm_topk_prob": false,
            "decoder_sparse_step": 1, "torch_dtype": "bfloat16", "qkv_bias": true}),
        );
        assert!(text.contains("nearest: Qwen3MoeForCausalLM"), "{text}");
        assert!(
            text.contains("`shared_expert_intermediate_size`, `qkv_bias` decide"),
            "{text}"
        );
        assert!(
            text.contains("supported: LlamaForCausalLM, Mistral"),
            "{text}"
        );
    }

    #[test]
    fn a_key_that_one_family_alone_reads_does_not_hide_the_other() {
        let text = why(
            &json!({"architectures": ["MinistralForCausalLM"], "model_type": "ministral",
            "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "rms_norm_eps": 1e-6, "sliding_window": 4,
            "layer_types": ["sliding_attention"]}),
        );
        assert!(text.contains("nearest: Qwen2ForCausalLM"), "{text}");
        assert!(text.contains("then: MistralForCausalLM"), "{text}");
        assert!(
            text.contains("leave out what `layer_types` decide"),
            "{text}"
        );
        assert_eq!(text.matches("then: ").count(), 1);
    }

    #[test]
    fn one_letter_in_common_is_chance() {
        let text = why(
            &json!({"model_type": "seed_oss", "vocab_size": 8, "hidden_size": 8,
            "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "rms_norm_eps": 1e-6}),
        );
        assert!(text.contains("nearest: LlamaForCausalLM"), "{text}");
        assert!(!text.contains("then: "), "{text}");
    }

    #[test]
    fn keys_that_are_needed_and_absent_are_named_too() {
        let text = why(&json!({"model_type": "gpt2", "n_embd": 8, "n_head": 2, "vocab_size": 8}));
        assert!(text.contains("`n_embd`, `n_head`"), "{text}");
        assert!(text.contains("it needs `hidden_size`"), "{text}");
    }

    #[test]
    fn a_difference_that_no_key_names_is_said_to_be_in_the_code() {
        let text = why(
            &json!({"model_type": "mistral4", "vocab_size": 8, "hidden_size": 8,
            "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "rms_norm_eps": 1e-6}),
        );
        assert!(text.contains("nearest: MistralForCausalLM"), "{text}");
        assert!(text.contains("in the model's code"), "{text}");
    }
}
