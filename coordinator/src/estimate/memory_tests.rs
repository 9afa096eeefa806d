//! What each part of a worker's memory is, counted by hand.

use serde_json::json;
use shared::config::{AdapterKind, Quantization, TargetModules};

use super::*;
use crate::estimate::tests::config;

const SIZE: Size = Size {
    computed: 20,
    targets: 7,
};

fn of(targets: &TargetModules, change: impl Fn(&mut RunConfig), stored: u64) -> Memory {
    of_model("llama", targets, change, stored)
}

fn of_untied(targets: &TargetModules, change: impl Fn(&mut RunConfig)) -> Memory {
    let mut shape = shape("llama");
    shape.tie_word_embeddings = false;
    of_shape(&shape, targets, change, 4)
}

fn of_model(
    model_type: &str,
    targets: &TargetModules,
    change: impl Fn(&mut RunConfig),
    stored: u64,
) -> Memory {
    of_shape(&shape(model_type), targets, change, stored)
}

fn shape(model_type: &str) -> ModelConfig {
    let shape = ModelConfig::from_json(&json!({
        "model_type": model_type, "vocab_size": 100, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "tie_word_embeddings": true, "head_dim": 8,
        "num_local_experts": 5, "num_experts_per_tok": 2,
    }));
    shape.unwrap()
}

fn of_shape(
    shape: &ModelConfig,
    targets: &TargetModules,
    change: impl Fn(&mut RunConfig),
    stored: u64,
) -> Memory {
    let mut config = config();
    config.lora_rank = 3;
    config.target_modules = targets.clone();
    change(&mut config);
    let inputs = MemoryInputs {
        adapter: &AdapterShape::new(&(&config).into(), shape).unwrap(),
        shape,
        config: &config,
        base: 20_000,
        stored_value_bytes: stored,
        stored_quantization: QuantizationConfig::default(),
        samples: 4,
        tokens: 30,
        longest: 10,
        integer_vectors: 4,
    };
    memory(&inputs, &[SIZE])
}

fn names(list: &[&str]) -> TargetModules {
    TargetModules::Names(list.iter().map(|&name| name.to_owned()).collect())
}

#[test]
fn every_part_follows_its_formula() {
    let found = of(&TargetModules::AllLinear, |_| (), 4);
    // Two layers: norms' inputs (not the first's) and outputs, attention, MLP with its product.
    let layer = 4 * (2 * 32 + 2 * 32 + 2 * 32 + 2 * 16 + 4 + 3 * 48 + 7 * 3);
    assert_eq!(found.activations, 20 * (2 * layer - 4 * 32));
    // 8 V Q is 5600, a layer's gradients are more: of positions, and of pairs of rank 3.
    let of_layer = 3 * (2 * 64 + 2 * 48 + 3 * 80);
    assert_eq!(found.transient, 20 * 4 * (3 * 48 + 2 * 32) + 4 * of_layer);
    let n = 2 * of_layer;
    assert_eq!((found.adapter, found.integers), (44 * n, 32 * (n + 4)));
    assert_eq!((found.weights, found.mapped), (0, 80_000));
    assert_eq!(found.data, 30 * 5 + 4 * 20);
    let sum = found.runtime + found.data + found.adapter + found.integers;
    assert_eq!(found.peak, sum + found.activations + found.transient);
}

#[test]
fn fused_linears_keep_the_values_of_their_parts() {
    let found = of_model("phi3", &TargetModules::AllLinear, |_| (), 4);
    // As Llama's, but for the ranks of four linears in place of seven, and queries and keys before their positions.
    let layer = 4 * (2 * 32 + 2 * 32 + 2 * 32 + 2 * 16 + 4 + 3 * 48 + 4 * 3 + 32 + 16);
    assert_eq!(found.activations, 20 * (2 * layer - 4 * 32));
}

#[test]
fn experts_norms_behind_and_capped_scores_are_counted() {
    let q = names(&["q_proj"]);
    let attention = 2 * 32 + 2 * 16 + 4;
    let found = of_model("mixtral", &q, |_| (), 4);
    let experts = 2 * (2 * 48 + 32 + 1 + 3 * 2 + 1) + 1 + 5;
    let layer = 4 * (2 * 32 + 32 + attention + experts + 3);
    assert_eq!(found.activations, 20 * (2 * layer - 4 * 32));
    let found = of_model("gemma2", &q, |_| (), 4);
    // Four heads, ten positions, two tensors.
    let layer = 4 * (4 * 32 + 32 + attention + 4 * 10 * 2 + 2 * 48 + 3);
    assert_eq!(found.activations, 20 * (2 * layer - 4 * 32));
}

#[test]
fn computed_again_a_layer_keeps_its_input_and_a_large_vocabulary_costs_megabytes() {
    let again = |config: &mut RunConfig| config.activation_checkpointing = Checkpointing::On;
    let kept = of(&TargetModules::AllLinear, |_| (), 4);
    let found = of(&TargetModules::AllLinear, again, 4);
    assert_eq!(found.activations, 20 * 2 * 32 * 4);
    let one = kept.activations.div_ceil(2 * 20);
    assert_eq!(found.transient, kept.transient + 20 * one);
}

#[test]
fn nothing_is_kept_before_the_first_adapted_linear() {
    let last_only = of(&names(&["layers.1.mlp.down_proj"]), |_| (), 4);
    assert_eq!(last_only.activations, 20 * 4 * (48 + 3));
    let first_too = of(&names(&["layers.0.self_attn.q_proj"]), |_| (), 4);
    let first = 32 + 2 * 32 + 2 * 16 + 4 + 3 + 32 + 2 * 48;
    let second = 32 + 2 * 32 + 2 * 16 + 4 + 32 + 2 * 48;
    assert_eq!(first_too.activations, 20 * 4 * (first + second));
}

#[test]
fn dropout_bf16_and_converted_weights_show() {
    let drop = |config: &mut RunConfig| config.lora_dropout = 0.1;
    let targets = names(&["q_proj"]);
    let plain = of(&targets, |_| (), 4);
    let dropped = of(&targets, drop, 4);
    assert_eq!(dropped.activations - plain.activations, 20 * 2 * 32);
    let half = of(&targets, |config| config.precision = Precision::Bf16, 2);
    assert_eq!((half.weights, half.mapped), (0, 40_000));
    assert!(half.activations < plain.activations);
    assert_eq!(of(&targets, |_| (), 2).weights, 80_000);
}

#[test]
fn a_quantized_weight_is_made_dense_beside_a_layer_s_gradients() {
    let plain = of(&TargetModules::AllLinear, |_| (), 4);
    let quantized = |form| {
        let change = |config: &mut RunConfig| config.quantization.form = form;
        of(&TargetModules::AllLinear, change, 4)
    };
    let found = quantized(Quantization::Nf4);
    assert_eq!(found.activations, plain.activations);
    assert_eq!(found.transient, plain.transient + 4 * 32 * 48);
    assert_eq!(
        found.mapped, 80_000,
        "the files are read once, and may be dropped"
    );
    // q and o are 32 x 32, k and v 16 x 32, gate, up and down 32 x 48: blocks of 64.
    let of_layer = [1024, 512, 512, 1024, 1536, 1536, 1536];
    let bytes = |elements: u64| elements / 2 + elements / 64 + 4 + 1024;
    assert_eq!(found.weights, 2 * of_layer.map(bytes).iter().sum::<u64>());
    let found = quantized(Quantization::Int8);
    let rows = 32 + 16 + 16 + 32 + 48 + 48 + 32;
    assert_eq!(found.weights, 2 * (of_layer.iter().sum::<u64>() + 4 * rows));
    let converted = of(
        &TargetModules::AllLinear,
        |config| config.quantization.form = Quantization::Int8,
        2,
    );
    let rest = 20_000 - 2 * of_layer.iter().sum::<u64>();
    assert_eq!(converted.weights, found.weights + 4 * rest);
}

#[test]
fn each_kind_of_adapter_keeps_its_own() {
    let q = names(&["q_proj"]);
    let lora = of(&q, |_| (), 4).activations;
    let kept = |change: &dyn Fn(&mut RunConfig)| of(&q, change, 4).activations;
    // Two layers; 20 positions of 32 values are stretched, or scaled, in place of three ranks.
    let dora = kept(&|config| config.adapter.use_dora = true);
    assert_eq!(dora, lora + 2 * 20 * 4 * 32);
    let vectors = kept(&|config| config.adapter_type = AdapterKind::Ia3);
    // Scaled outputs need no inputs.
    assert_eq!(vectors, lora - 2 * 20 * 4 * 3);
    let dropped = kept(&|config| (config.adapter.use_dora, config.lora_dropout) = (true, 0.1));
    assert_eq!(dropped, dora + 2 * 20 * 32);
    let own = kept(&|config| config.adapter.rank_pattern = vec![("q_proj".into(), 5)]);
    assert_eq!(own, lora + 2 * 20 * 4 * 2);
}

#[test]
fn a_head_and_an_embedding_that_learn_need_room_for_their_gradients() {
    let q = names(&["q_proj"]);
    let whole = |module: &str, precision| {
        let change = |config: &mut RunConfig| {
            config.adapter.modules_to_save = vec![module.into()];
            config.precision = precision;
        };
        of_untied(&q, change)
    };
    let logits = 7 * 2 * 4 * 100;
    let found = whole("lm_head", Precision::F32);
    assert_eq!(found.transient, logits + 2 * 4 * 32 * 100);
    let found = whole("lm_head", Precision::Bf16);
    let narrow = 7 * 2 * 2 * 100;
    assert_eq!(
        found.transient,
        logits + narrow + (2 * 4 + 2 * 2) * 32 * 100
    );
    let plain = of_untied(&q, |_| ());
    let found = whole("model.embed_tokens", Precision::F32);
    // The first layer keeps its norm's input too.
    assert_eq!(found.activations, plain.activations + 20 * 4 * 32);
}

#[test]
fn a_cap_on_logits_keeps_those_before_it() {
    let of = |vocab_size, cap| {
        let mut shape = shape("llama");
        (shape.vocab_size, shape.logit_soft_cap) = (vocab_size, cap);
        of_shape(&shape, &names(&["q_proj"]), |_| (), 4).transient
    };
    // So many words that the head needs more than a layer.
    assert_eq!(of(10_000, None), 7 * 8 * 10_000);
    assert_eq!(of(10_000, Some(30.0)), 7 * 12 * 10_000);
}
