//! The model families: what each says differently from Llama, and nothing else.
//!
//! Out: one [`Family`] per name under `architectures`. Keeps: the numbers are those of transformers'
//! configuration classes, the parts those of its model code.

use super::family::{Bias, Defaults, ExpertKeys, Family, Windows};
use super::{Activation, Norms};

const LLAMA: Family = Family {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    about: "Llama 2 and 3.x",
    keys: &["hidden_act", "attention_bias", "mlp_bias"],
    defaults: Defaults {
        key_value_heads: None,
        head_dim: None,
        rms_norm_eps: 1e-6,
        rope_theta: 10_000.0,
        max_position_embeddings: 2048,
        tied: false,
        window: None,
        activation: Activation::Silu,
        attention_soft_cap: None,
        logit_soft_cap: None,
    },
    activation_key: "hidden_act",
    norms: Norms {
        plus_one: false,
        around: false,
        query_key: false,
    },
    embedding_scaled: false,
    query_scalar: None,
    attention_soft_cap: false,
    logit_soft_cap: false,
    qkv_bias: Bias::Key("attention_bias"),
    output_bias: Bias::Key("attention_bias"),
    mlp_bias: Bias::Key("mlp_bias"),
    fused: false,
    partial_rotary: false,
    windows: Windows::Never,
    local_rope: false,
    unturned_every: None,
    experts: None,
};

const MISTRAL: Family = Family {
    architecture: "MistralForCausalLM",
    model_type: "mistral",
    about: "Mistral",
    keys: &["hidden_act", "sliding_window"],
    defaults: Defaults {
        key_value_heads: Some(8),
        max_position_embeddings: 131_072,
        window: Some(4096),
        ..LLAMA.defaults
    },
    qkv_bias: Bias::Never,
    output_bias: Bias::Never,
    mlp_bias: Bias::Never,
    windows: Windows::All,
    ..LLAMA
};

const QWEN2: Family = Family {
    architecture: "Qwen2ForCausalLM",
    model_type: "qwen2",
    about: "Qwen2 and 2.5",
    keys: &[
        "hidden_act",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "layer_types",
    ],
    defaults: Defaults {
        key_value_heads: Some(32),
        max_position_embeddings: 32_768,
        window: Some(4096),
        ..LLAMA.defaults
    },
    qkv_bias: Bias::Always,
    output_bias: Bias::Never,
    mlp_bias: Bias::Never,
    windows: Windows::SwitchedFrom,
    ..LLAMA
};

const QWEN3: Family = Family {
    architecture: "Qwen3ForCausalLM",
    model_type: "qwen3",
    about: "Qwen3",
    keys: &[
        "hidden_act",
        "attention_bias",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "layer_types",
    ],
    defaults: Defaults {
        head_dim: Some(128),
        ..QWEN2.defaults
    },
    norms: Norms {
        query_key: true,
        ..LLAMA.norms
    },
    qkv_bias: Bias::Key("attention_bias"),
    output_bias: Bias::Key("attention_bias"),
    ..QWEN2
};

const GEMMA2: Family = Family {
    architecture: "Gemma2ForCausalLM",
    model_type: "gemma2",
    about: "Gemma 2",
    keys: &[
        "hidden_activation",
        "hidden_act",
        "attention_bias",
        "query_pre_attn_scalar",
        "sliding_window",
        "layer_types",
        "attn_logit_softcapping",
        "final_logit_softcapping",
    ],
    defaults: Defaults {
        key_value_heads: Some(4),
        head_dim: Some(256),
        max_position_embeddings: 8192,
        tied: true,
        window: Some(4096),
        activation: Activation::GeluTanh,
        attention_soft_cap: Some(50.0),
        logit_soft_cap: Some(30.0),
        ..LLAMA.defaults
    },
    activation_key: "hidden_activation",
    norms: Norms {
        plus_one: true,
        around: true,
        query_key: false,
    },
    embedding_scaled: true,
    query_scalar: Some(256.0),
    attention_soft_cap: true,
    logit_soft_cap: true,
    mlp_bias: Bias::Never,
    windows: Windows::Alternating(None, 2),
    ..LLAMA
};

const GEMMA3: Family = Family {
    architecture: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    about: "Gemma 3, text",
    keys: &[
        "hidden_activation",
        "hidden_act",
        "attention_bias",
        "query_pre_attn_scalar",
        "sliding_window",
        "layer_types",
        "final_logit_softcapping",
        "rope_local_base_freq",
        "sliding_window_pattern",
        "_sliding_window_pattern",
    ],
    defaults: Defaults {
        rope_theta: 1_000_000.0,
        max_position_embeddings: 131_072,
        attention_soft_cap: None,
        logit_soft_cap: None,
        ..GEMMA2.defaults
    },
    norms: Norms {
        query_key: true,
        ..GEMMA2.norms
    },
    attention_soft_cap: false,
    windows: Windows::Alternating(Some("sliding_window_pattern"), 6),
    local_rope: true,
    ..GEMMA2
};

const PHI3: Family = Family {
    architecture: "Phi3ForCausalLM",
    model_type: "phi3",
    about: "Phi-3 and Phi-4",
    keys: &[
        "hidden_act",
        "sliding_window",
        "partial_rotary_factor",
        "resid_pdrop",
        "embd_pdrop",
    ],
    defaults: Defaults {
        rms_norm_eps: 1e-5,
        max_position_embeddings: 4096,
        ..LLAMA.defaults
    },
    qkv_bias: Bias::Never,
    output_bias: Bias::Never,
    mlp_bias: Bias::Never,
    fused: true,
    partial_rotary: true,
    windows: Windows::All,
    ..LLAMA
};

const MIXTRAL: Family = Family {
    architecture: "MixtralForCausalLM",
    model_type: "mixtral",
    about: "Mixtral",
    keys: &[
        "hidden_act",
        "sliding_window",
        "num_local_experts",
        "num_experts",
        "num_experts_per_tok",
        "router_jitter_noise",
        "output_router_logits",
    ],
    defaults: Defaults {
        rms_norm_eps: 1e-5,
        rope_theta: 1_000_000.0,
        window: None,
        ..MISTRAL.defaults
    },
    experts: Some(ExpertKeys {
        count: &["num_local_experts", "num_experts"],
        width: "intermediate_size",
        always_normed: true,
        wide_weights: true,
        module: "block_sparse_moe",
        parts: ["w1", "w3", "w2"],
    }),
    ..MISTRAL
};

const QWEN3_MOE: Family = Family {
    architecture: "Qwen3MoeForCausalLM",
    model_type: "qwen3_moe",
    about: "Qwen3 with experts",
    keys: &[
        "hidden_act",
        "attention_bias",
        "sliding_window",
        "use_sliding_window",
        "max_window_layers",
        "num_local_experts",
        "num_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "norm_topk_prob",
        "decoder_sparse_step",
        "mlp_only_layers",
        "output_router_logits",
    ],
    defaults: Defaults {
        key_value_heads: Some(4),
        head_dim: None,
        ..QWEN2.defaults
    },
    windows: Windows::SwitchedAll,
    experts: Some(ExpertKeys {
        count: &["num_experts", "num_local_experts"],
        width: "moe_intermediate_size",
        always_normed: false,
        wide_weights: false,
        module: "mlp",
        parts: ["gate_proj", "up_proj", "down_proj"],
    }),
    ..QWEN3
};

const SMOLLM3: Family = Family {
    architecture: "SmolLM3ForCausalLM",
    model_type: "smollm3",
    about: "SmolLM3",
    keys: &[
        "hidden_act",
        "attention_bias",
        "mlp_bias",
        "sliding_window",
        "use_sliding_window",
        "layer_types",
        "no_rope_layers",
        "no_rope_layer_interval",
    ],
    defaults: Defaults {
        key_value_heads: Some(4),
        rope_theta: 2_000_000.0,
        max_position_embeddings: 32_768,
        tied: true,
        ..LLAMA.defaults
    },
    windows: Windows::SwitchedUnturned,
    unturned_every: Some(4),
    ..LLAMA
};

/// All model families that can be trained.
pub(super) const FAMILIES: &[Family] = &[
    LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA2, GEMMA3, PHI3, MIXTRAL, QWEN3_MOE, SMOLLM3,
];

/// Names under `architectures` that can be trained.
pub const SUPPORTED_ARCHITECTURES: &[&str] = &[
    LLAMA.architecture,
    MISTRAL.architecture,
    QWEN2.architecture,
    QWEN3.architecture,
    GEMMA2.architecture,
    GEMMA3.architecture,
    PHI3.architecture,
    MIXTRAL.architecture,
    QWEN3_MOE.architecture,
    SMOLLM3.architecture,
];

#[cfg(test)]
mod tests {
    use super::super::nearest::COMMON_KEYS;
    use super::*;

    #[test]
    fn the_list_of_names_is_that_of_the_table() {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.architecture).collect();
        assert_eq!(names, SUPPORTED_ARCHITECTURES);
    }

    #[test]
    fn a_family_lists_the_keys_its_switches_read() {
        for family in FAMILIES {
            let has = |key: &str| COMMON_KEYS.contains(&key) || family.keys.contains(&key);
            assert!(has(family.activation_key), "{}", family.model_type);
            assert_eq!(has("sliding_window"), family.windows != Windows::Never);
            assert_eq!(has("query_pre_attn_scalar"), family.query_scalar.is_some());
            assert_eq!(has("partial_rotary_factor"), family.partial_rotary);
            assert_eq!(has("num_experts_per_tok"), family.experts.is_some());
            assert_eq!(has("no_rope_layers"), family.unturned_every.is_some());
            for bias in [family.qkv_bias, family.output_bias, family.mlp_bias] {
                assert!(match bias {
                    Bias::Never | Bias::Always => true,
                    Bias::Key(key) => has(key),
                });
            }
        }
    }
}
