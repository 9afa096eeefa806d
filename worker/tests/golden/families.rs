//! The model families against transformers: each case in f32 and bf16, packed, and with every switch
//! of config.json that it is about turned: the comparison must see each.

use serde_json::{Value, json};

use super::case::Case;
use super::compare::compare;
use super::training::{HONEST, train};

macro_rules! families {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn f32_is_the_reference_s() {
                crate::curve(concat!("families/", stringify!($name)));
            }

            #[test]
            fn bf16_is_near_the_reference_s() {
                crate::curve(concat!("families/", stringify!($name), "_bf16"));
            }
        }
    )*};
}

families!(
    llama_old_layout,
    llama_dynamic,
    mistral_window,
    qwen2_window_off,
    qwen2_window_on,
    qwen3,
    gemma2,
    gemma3,
    gemma3_old_layout,
    phi3_longrope,
    phi3_window,
    mixtral,
    mixtral_one_tensor,
    qwen3_moe,
    qwen3_moe_unnormed,
    smollm3,
    smollm3_lists,
);

/// The same samples behind each other in one row: windows, rotary positions and experts do not mix them.
#[test]
fn packed_the_families_are_the_reference_s_too() {
    for name in [
        "mistral_window",
        "qwen2_window_on",
        "gemma2",
        "gemma3",
        "phi3_window",
        "mixtral",
        "smollm3",
    ] {
        let mut case = Case::load(&format!("families/{name}"));
        case.config.packing = true;
        case.config.micro_batch_size = 2;
        let run = train(&case, &HONEST);
        let found = compare(&case, &run).unwrap_or_else(|why| panic!("{name}: {why}"));
        println!("{name}, packed: {found}");
    }
}

#[test]
fn a_switch_that_is_turned_turns_the_comparison_red() {
    let full = json!(["full_attention", "sliding_attention"]);
    let full_second = json!(["sliding_attention", "full_attention"]);
    let changes: &[(&str, &str, Value)] = &[
        ("qwen2_window_off", "/use_sliding_window", json!(true)),
        ("qwen2_window_off", "/rope_parameters/factor", json!(2.0)),
        (
            "qwen2_window_off",
            "/rope_parameters/original_max_position_embeddings",
            json!(64),
        ),
        ("qwen2_window_on", "/use_sliding_window", json!(false)),
        ("mistral_window", "/sliding_window", Value::Null),
        ("mistral_window", "/sliding_window", json!(7)),
        ("llama_dynamic", "/rope_parameters/factor", json!(3.0)),
        ("llama_dynamic", "/max_position_embeddings", json!(64)),
        ("llama_old_layout", "/rope_scaling/factor", json!(8.0)),
        ("llama_old_layout", "/rope_theta", json!(10_000.0)),
        ("gemma2", "/attn_logit_softcapping", Value::Null),
        ("gemma2", "/final_logit_softcapping", Value::Null),
        ("gemma2", "/query_pre_attn_scalar", json!(12)),
        ("gemma2", "/layer_types", full.clone()),
        ("gemma2", "/hidden_activation", json!("silu")),
        ("gemma3", "/layer_types", full),
        (
            "gemma3",
            "/rope_parameters/full_attention/factor",
            json!(4.0),
        ),
        (
            "gemma3",
            "/rope_parameters/sliding_attention/rope_theta",
            json!(1e6),
        ),
        ("gemma3_old_layout", "/rope_local_base_freq", json!(1e6)),
        ("gemma3_old_layout", "/sliding_window_pattern", json!(3)),
        (
            "phi3_longrope",
            "/original_max_position_embeddings",
            json!(64),
        ),
        (
            "phi3_longrope",
            "/rope_parameters/long_factor/2",
            json!(5.0),
        ),
        (
            "phi3_longrope",
            "/rope_parameters/short_factor/2",
            json!(1.0),
        ),
        ("phi3_window", "/sliding_window", Value::Null),
        ("mixtral", "/num_experts_per_tok", json!(1)),
        ("qwen3_moe", "/norm_topk_prob", json!(false)),
        ("qwen3_moe_unnormed", "/norm_topk_prob", json!(true)),
        ("smollm3", "/no_rope_layer_interval", json!(3)),
        ("smollm3", "/use_sliding_window", json!(false)),
        ("smollm3", "/sliding_window", json!(7)),
        ("smollm3_lists", "/no_rope_layers", json!([1, 1])),
        ("smollm3_lists", "/no_rope_layers", json!([0, 0])),
        ("smollm3_lists", "/layer_types", full_second),
        ("smollm3_lists", "/attention_bias", json!(false)),
        ("smollm3_lists", "/mlp_bias", json!(false)),
    ];
    let mut unseen = Vec::new();
    for (name, key, value) in changes {
        let mut case = Case::load(&format!("families/{name}"));
        let place = case.golden.model.pointer_mut(key);
        *place.unwrap_or_else(|| panic!("{name} has no {key}")) = value.clone();
        case.rewrite_config();
        let run = train(&case, &HONEST);
        let seen = compare(&case, &run).map(|found| found.to_string());
        println!("{name}, {key} {value}: {seen:?}");
        if seen.is_ok() {
            unseen.push(format!("{name}: {key} {value}"));
        }
    }
    assert!(unseen.is_empty(), "went unseen: {unseen:#?}");
}
