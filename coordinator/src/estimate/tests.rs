//! Each formula of the estimate, against numbers counted by hand.

use serde_json::json;
use shared::config::{RunConfig, TargetModules};
use shared::model::{AdapterShape, ModelConfig};
use shared::plan::Plan;

use super::*;

/// A resolved configuration with the usual defaults.
pub(crate) fn config() -> RunConfig {
    RunConfig {
        base_model: "/no/such/model".into(),
        ..shared::config::testing::config("").unwrap()
    }
}

/// About the shape of Llama-2-7B, which the wire's published numbers are for.
pub(crate) fn seven_b() -> ModelConfig {
    ModelConfig::from_json(&json!({
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096,
        "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
        "tie_word_embeddings": false,
    }))
    .unwrap()
}

fn estimate(config: &RunConfig, shape: &ModelConfig, workers: u64, rate: Option<f64>) -> Estimate {
    let adapter = AdapterShape::new(&config.into(), shape).unwrap();
    let samples = Samples {
        lengths: (0..200).map(|row| 100 + row % 150).collect(),
        target_tokens: (0..200).map(|row| 40 + row % 60).collect(),
    };
    let plan = Plan::new(
        config,
        samples.target_tokens.clone(),
        samples.lengths.clone(),
    );
    Estimate::new(&Subject {
        file: "run.yaml".into(),
        config,
        shape,
        adapter: &adapter,
        stored_value_bytes: 2,
        stored_quantization: shared::config::QuantizationConfig::default(),
        plan: &plan,
        samples: &samples,
        workers,
        open_files: None,
        rate,
        earlier: Err("there is no earlier run in output_dir".into()),
    })
}

#[test]
fn parameters_of_a_known_model_are_the_published_ones() {
    let mut config = config();
    config.lora_rank = 16;
    config.target_modules = TargetModules::Names(vec!["q_proj".into(), "v_proj".into()]);
    let found = estimate(&config, &seven_b(), 2, None);
    assert_eq!(found.parameters.base, 6_738_415_616);
    assert_eq!(found.parameters.trainable, 8_388_608);
    assert_eq!(found.parameters.adapted_linears, 64);
    assert_eq!(found.wire.sent_per_worker, 8 * (8_388_608 + 4));
    config.target_modules = TargetModules::AllLinear;
    let found = estimate(&config, &seven_b(), 1, None);
    assert_eq!(found.parameters.trainable, 39_976_960);
    assert_eq!(found.wire.sent_by_all, 0);
}

/// QLoRA of a 7B model fits a card of 8 GiB, and LoRA one of 16 GiB.
#[test]
fn seven_billion_parameters_in_four_bits_fit_eight_gib() {
    let mut config = config();
    (config.lora_rank, config.precision) = (16, shared::config::Precision::Bf16);
    config.target_modules = TargetModules::AllLinear;
    let shape = seven_b();
    let adapter = AdapterShape::new(&(&config).into(), &shape).unwrap();
    let card = |form, rows: u64| {
        let mut config = config.clone();
        config.quantization.form = form;
        let inputs = MemoryInputs {
            shape: &shape,
            adapter: &adapter,
            config: &config,
            base: 6_738_415_616,
            stored_value_bytes: 2,
            stored_quantization: QuantizationConfig::default(),
            samples: 1000,
            tokens: 512_000,
            longest: 512,
            integer_vectors: 2,
        };
        let size = Size {
            computed: rows * 512,
            targets: rows * 511,
        };
        gpu::gpu(&inputs, &[size])
    };
    // 6.48e9 elements of linears: half a byte and 1/64 each, less than a thousandth for the rest.
    let linears = 6_476_005_376_u64;
    let codes = linears / 2 + linears / 64;
    let ends = 2 * (2 * 32_000 * 4096 + 65 * 4096);
    let found = card(shared::config::Quantization::Nf4, 1);
    let weights = codes + ends..codes + ends + codes / 1000;
    assert!(weights.contains(&found.weights), "{found:?}");
    assert!(found.peak < 8 << 30, "{found:?}");
    let four = card(shared::config::Quantization::Nf4, 4);
    assert!(four.peak_checkpointed < 8 << 30, "{four:?}");
    let dense = card(shared::config::Quantization::None, 4);
    assert!(dense.peak > 16 << 30, "{dense:?}");
    assert!(dense.peak_checkpointed < 16 << 30, "{dense:?}");
    println!("NF4 {found:?}\nNF4, 4 rows {four:?}\nbf16, 4 rows {dense:?}");
}

#[test]
fn checkpoints_are_counted_as_they_are_kept() {
    let mut config = config();
    config.max_steps = Some(25);
    config.save_steps = 10;
    assert_eq!(estimate(&config, &seven_b(), 1, None).disk.checkpoints, 3);
    config.save_total_limit = Some(2);
    assert_eq!(estimate(&config, &seven_b(), 1, None).disk.checkpoints, 2);
}

#[test]
fn the_page_says_what_is_known_and_what_is_not() {
    let mut config = config();
    config.learning_rate = 4e-3;
    let known = estimate(&config, &seven_b(), 3, Some(1500.0));
    insta::assert_snapshot!(known.to_string());
    let unknown = estimate(&config, &seven_b(), 1, None).to_string();
    assert!(
        unknown.contains("not known: there is no earlier run"),
        "{unknown}"
    );
}

#[test]
fn advice_has_evidence_and_is_silent_where_there_is_nothing_to_say() {
    let mut config = config();
    (config.lora_rank, config.learning_rate) = (16, 1.5e-4);
    config.target_modules = TargetModules::AllLinear;
    (config.epochs, config.micro_batch_size) = (15, 1);
    let abouts = |config: &RunConfig, workers| {
        let advice = estimate(config, &seven_b(), workers, None).advice;
        assert!(advice.iter().all(|a| !a.evidence.is_empty()));
        advice.iter().map(|a| a.about).collect::<Vec<_>>()
    };
    assert_eq!(abouts(&config, 1), ["lora_rank"]);
    (config.lora_rank, config.learning_rate, config.epochs) = (64, 1e-3, 1);
    config.target_modules = TargetModules::Names(vec!["q_proj".into()]);
    let all = [
        "lora_rank",
        "learning_rate",
        "epochs",
        "target_modules",
        "use_rslora",
        "--workers",
    ];
    assert_eq!(abouts(&config, 90), all);
    config.adapter_type = shared::config::AdapterKind::Ia3;
    assert_eq!(abouts(&config, 1), ["epochs"]);
    config.learning_rate = 1e-4;
    assert_eq!(abouts(&config, 1), ["learning_rate", "epochs"]);
}

#[test]
fn json_is_one_object_of_its_own_event() {
    let json = estimate(&config(), &seven_b(), 2, None).to_json();
    assert_eq!(json["event"], "plan");
    assert_eq!(json["counts"]["samples"], 200);
    assert_eq!(json["time"]["seconds"], serde_json::Value::Null);
    assert!(!json.to_string().contains('\n'));
}
