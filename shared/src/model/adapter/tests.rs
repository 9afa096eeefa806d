//! Which tensors a description gives on a small base model.

use serde_json::json;

use super::super::linears;
use super::*;
use crate::config::{BiasMode, TargetModules, testing};
use crate::numerics::ParamGroup;

fn model(extra: serde_json::Value) -> ModelConfig {
    let mut config = json!({"model_type": "llama", "vocab_size": 64, "hidden_size": 32,
        "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    ModelConfig::from_json(&config).unwrap()
}

fn plain() -> ModelConfig {
    model(json!({}))
}

fn config(lines: &str) -> crate::config::RunConfig {
    testing::config(lines).unwrap()
}

fn shape(lines: &str, model: &ModelConfig) -> Result<AdapterShape> {
    AdapterShape::new(&(&config(lines)).into(), model)
}

fn keys(lines: &str, model: &ModelConfig) -> Vec<String> {
    let shape = shape(lines, model).unwrap();
    let short = |key: &str| key.trim_start_matches(PREFIX).replace("model.layers.", "");
    shape
        .tensors
        .iter()
        .map(|t| format!("{} {:?}", short(&t.key), t.shape))
        .collect()
}

fn names(list: &[&str]) -> TargetModules {
    TargetModules::Names(list.iter().map(|&s| s.to_owned()).collect())
}

#[test]
fn names_are_suffixes_after_a_dot_in_model_order() {
    let specs = linears(&plain());
    let found = match_targets(&names(&["v_proj", "q_proj"]), &specs).unwrap();
    let found: Vec<_> = found.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        found,
        [
            "model.layers.0.self_attn.q_proj",
            "model.layers.0.self_attn.v_proj",
            "model.layers.1.self_attn.q_proj",
            "model.layers.1.self_attn.v_proj",
        ]
    );
    let count = |targets: &TargetModules| match_targets(targets, &specs).unwrap().len();
    assert_eq!(count(&names(&["layers.1.mlp.up_proj"])), 1);
    assert_eq!(count(&TargetModules::AllLinear), 14);
    assert_eq!(count(&TargetModules::Attention), 8);
    assert_eq!(count(&TargetModules::Mlp), 6);
    assert_eq!(
        count(&TargetModules::Regex(r".*\.1\..*(q|up)_proj".into())),
        2
    );
}

#[test]
fn what_matches_nothing_shows_what_exists() {
    for targets in [
        names(&["q_proj", "c_attn"]),
        names(&["proj"]),
        names(&[]),
        TargetModules::Regex("q_proj".into()),
    ] {
        let error = match_targets(&targets, &linears(&plain())).unwrap_err();
        assert_eq!(error.code, Code::NoTargetModule);
        assert!(
            error
                .why
                .concat()
                .contains("q_proj, k_proj, v_proj, o_proj, gate_proj")
        );
    }
    for lines in [
        "rank_pattern: ['k_proj=4']\n",
        "alpha_pattern: ['nothing=4']\n",
        "layers_to_transform: [2]\n",
        "modules_to_save: [nothing]\n",
        "target_modules: [lm_head]\nlayers_to_transform: [0]\n",
        "target_modules: [embed_tokens]\nuse_dora: true\n",
    ] {
        let error = shape(lines, &plain()).unwrap_err();
        assert_eq!(error.code, Code::NoTargetModule, "{lines}");
    }
}

#[test]
fn a_rank_larger_than_the_smallest_matrix_is_refused() {
    assert!(
        shape("lora_rank: 16\n", &plain()).is_ok(),
        "v_proj is 16 x 32"
    );
    let error = shape("lora_rank: 17\n", &plain()).unwrap_err();
    assert_eq!(error.code, Code::RankTooLarge);
    assert!(error.fix.concat().contains("16 or less"), "{error:?}");
    assert!(shape("lora_rank: 17\nrank_pattern: ['v_proj=3']\n", &plain()).is_ok());
}

#[test]
fn a_module_is_adapted_or_trained_whole() {
    let lines = "target_modules: [lm_head]\nmodules_to_save: [lm_head]\n";
    assert_eq!(
        shape(lines, &plain()).unwrap_err().code,
        Code::Contradiction
    );
}

#[test]
fn ranks_alphas_and_layers_follow_their_patterns() {
    let lines = "lora_rank: 8\nlayers_to_transform: [1]\nrank_pattern: ['v_proj=2']\nalpha_pattern: ['1.self_attn.q_proj=4']\n";
    assert_eq!(
        keys(lines, &plain()),
        [
            "1.self_attn.q_proj.lora_A.weight [8, 32]",
            "1.self_attn.q_proj.lora_B.weight [32, 8]",
            "1.self_attn.v_proj.lora_A.weight [2, 32]",
            "1.self_attn.v_proj.lora_B.weight [16, 2]",
        ]
    );
    let spec = AdapterSpec::from(&config(lines));
    assert_eq!(spec.scaling_of("model.layers.1.self_attn.q_proj"), 0.5);
    assert_eq!(spec.scaling_of("model.layers.1.self_attn.v_proj"), 8.0);
    assert_eq!(spec.rank_of("model.layers.1.self_attn.xv_proj"), 8);
}

#[test]
fn every_kind_has_pefts_keys() {
    let dora = "use_dora: true\nlora_rank: 2\ntarget_modules: [k_proj]\nlayers_to_transform: [0]\n";
    assert_eq!(
        keys(dora, &plain()),
        [
            "0.self_attn.k_proj.lora_A.weight [2, 32]",
            "0.self_attn.k_proj.lora_B.weight [16, 2]",
            "0.self_attn.k_proj.lora_magnitude_vector [16]",
        ]
    );
    let ia3 = "adapter_type: ia3\nlayers_to_transform: [1]\n";
    assert_eq!(
        keys(ia3, &plain()),
        [
            "1.self_attn.k_proj.ia3_l [16, 1]",
            "1.self_attn.v_proj.ia3_l [16, 1]",
            "1.mlp.down_proj.ia3_l [1, 48]",
        ]
    );
    let ends =
        "lora_rank: 2\ntarget_modules: [embed_tokens, lm_head]\nmodules_to_save: [model.norm]\n";
    assert_eq!(
        keys(ends, &plain()),
        [
            "model.embed_tokens.lora_embedding_A [2, 64]",
            "model.embed_tokens.lora_embedding_B [32, 2]",
            "lm_head.lora_A.weight [2, 32]",
            "lm_head.lora_B.weight [64, 2]",
            "model.norm.weight [32]",
        ]
    );
}

#[test]
fn biases_stand_under_pefts_keys() {
    let biased = model(json!({"attention_bias": true, "num_hidden_layers": 1}));
    let lines = "lora_rank: 2\ntarget_modules: [v_proj]\n";
    let of = |bias: &str| {
        let all = keys(&format!("{lines}bias: {bias}\n"), &biased);
        all.into_iter()
            .filter(|key| key.contains("bias"))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("none"), [""; 0]);
    assert_eq!(of("lora_only"), ["0.self_attn.v_proj.base_layer.bias [16]"]);
    assert_eq!(
        of("all"),
        [
            "0.self_attn.q_proj.bias [32]",
            "0.self_attn.k_proj.bias [16]",
            "0.self_attn.v_proj.base_layer.bias [16]",
            "0.self_attn.o_proj.bias [32]",
        ]
    );
    assert_eq!(config(lines).adapter.bias, BiasMode::None);
}

#[test]
fn a_tied_head_trained_whole_is_one_of_its_own() {
    let tied = model(json!({"tie_word_embeddings": true}));
    let all = keys(
        "lora_rank: 2\nmodules_to_save: [lm_head, embed_tokens]\n",
        &tied,
    );
    assert_eq!(all.first().unwrap(), "model.embed_tokens.weight [64, 32]");
    assert_eq!(all.last().unwrap(), "lm_head.weight [64, 32]");
}

#[test]
fn only_what_learns_otherwise_makes_groups() {
    let of = |lines: &str, model: &ModelConfig| {
        let config = config(lines);
        groups(
            &config,
            &AdapterShape::new(&(&config).into(), model).unwrap().tensors,
        )
    };
    assert_eq!(of("", &plain()), []);
    assert_eq!(of("use_dora: true\n", &plain()), []);
    let group = |end, lr_factor, decays| ParamGroup {
        end,
        lr_factor,
        decays,
    };
    let plus = "lora_rank: 2\ntarget_modules: [q_proj, embed_tokens]\nlayers_to_transform: null\nloraplus_lr_ratio: 16\nlearning_rate: 1.0e-4\n";
    let found = of(plus, &model(json!({"num_hidden_layers": 1})));
    assert_eq!(
        found,
        [
            group(192, 1e-6 / 1e-4, true),
            group(256, 1.0, true),
            group(320, 16.0, true)
        ]
    );
    let norm = of(
        "lora_rank: 2\ntarget_modules: [q_proj]\nmodules_to_save: [model.norm]\n",
        &plain(),
    );
    assert_eq!(norm, [group(256, 1.0, true), group(288, 1.0, false)]);
}
