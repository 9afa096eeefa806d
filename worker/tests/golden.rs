//! Golden curves: our whole step against what transformers' Trainer and PEFT computed.
//!
//! The numbers lie in tests/golden, made by make_golden.py; weights come from an integer hash on
//! both sides. Limits are those an independent correct loop meets with room; the last test plants
//! an error of 1e-3 in one stage after the other and sees each turn the comparison red.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "golden/adapters.rs"]
mod adapters;
#[path = "golden/case.rs"]
mod case;
#[path = "golden/compare.rs"]
mod compare;
#[path = "golden/families.rs"]
mod families;
#[path = "golden/quantized.rs"]
mod quantized;
#[path = "golden/scaled.rs"]
mod scaled;
#[path = "golden/training.rs"]
mod training;
#[path = "golden/weights.rs"]
mod weights;

use case::{Case, golden_folder};
use compare::{adapter_digest, compare, distance, largest_difference, limits};
use shared::config::Quantization;
use training::{HONEST, Meddling, start, train};
use worker::train::Trainer;

macro_rules! cases {
    ($($name:ident),*) => {
        const CASES: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn the_curve_is_the_reference_s() {
                super::curve(stringify!($name));
            }
        })*
    };
}

cases!(
    gqa_qv,
    llama3_tied_all_linear,
    accumulation_uneven_tail,
    warmup_cosine_decay_clip,
    response_only_sequential,
    init_adapter_rslora,
    linear_rope_biases_max_steps
);

/// First adapter, logits, every step, last adapter, logits again, greedy text.
fn curve(name: &str) {
    let case = Case::load(name);
    let limit = limits(&case).logits;
    let (mut trainer, initial) = start(&case);
    let keys: Vec<_> = trainer
        .layout()
        .tensors
        .iter()
        .map(|t| t.key.as_str())
        .collect();
    let expected: Vec<_> = case
        .golden
        .adapter_keys
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, expected, "{name}: PEFT's keys in PEFT's order");
    match &case.golden.initial_adapter {
        // A decomposition: byte for byte on the reference's processor, nearly so on others.
        Some(reference) => {
            let far = distance(&initial, reference);
            assert!(far < 1e-5, "{name}: the first adapter is {far:e} away");
        }
        None => assert_eq!(
            adapter_digest(&initial),
            case.golden.initial_adapter_sha256,
            "{name}: the first adapter, byte for byte"
        ),
    }
    let first = logits_difference(&mut trainer, &case, &case.golden.first_logits);
    assert!(first < limit, "{name}: first logits differ by {first:e}");

    let mut run = train(&case, &HONEST);
    let found = compare(&case, &run).unwrap_or_else(|why| panic!("{name}: {why}"));
    let last = logits_difference(&mut run.trainer, &case, &case.golden.final_logits);
    let golden = &case.golden;
    println!(
        "| {} | {name} | {} | {} | logits {first:.1e} {last:.1e}, {found} |",
        golden.model["model_type"].as_str().unwrap_or_default(),
        golden.peft_class,
        golden.precision,
    );
    assert!(last < limit, "{name}: last logits differ by {last:e}");
    if case.golden.precision == "f32" && case.golden.quantization != Quantization::Int8 {
        assert_eq!(
            greedy(&mut run.trainer, &case),
            case.golden.greedy.continuation,
            "{name}: text"
        );
        let prompt = narrow(&case.golden.greedy.prompt);
        let text = run.trainer.answer(&prompt, 24, &[]).unwrap();
        assert_eq!(
            text,
            narrow(&case.golden.greedy.continuation),
            "{name}: text with what was read kept"
        );
    }
}

fn narrow(ids: &[i64]) -> Vec<u32> {
    ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()
}

/// Trainer pads; the same samples packed in larger micro-batches give its curve all the same.
#[test]
fn packed_the_curve_is_the_reference_s_too() {
    for (name, size) in [
        ("gqa_qv", 2),
        ("llama3_tied_all_linear", 3),
        ("accumulation_uneven_tail", 2),
        ("response_only_sequential", 2),
        ("linear_rope_biases_max_steps", 2),
    ] {
        let mut case = Case::load(name);
        case.config.packing = true;
        case.config.micro_batch_size = size;
        let run = train(&case, &HONEST);
        let found = compare(&case, &run).unwrap_or_else(|why| panic!("{name}: {why}"));
        println!("{name}, packed: {found}");
    }
}

fn logits_difference(
    trainer: &mut Trainer,
    case: &Case,
    expected: &std::collections::BTreeMap<usize, Vec<f32>>,
) -> f32 {
    let ids: Vec<i64> = case.golden.rows[0]
        .ids
        .iter()
        .map(|&id| i64::from(id))
        .collect();
    let logits = trainer.logits(&ids).unwrap();
    let vocabulary = logits.len() / ids.len();
    expected
        .iter()
        .map(|(place, values)| largest_difference(&logits[place * vocabulary..], values))
        .fold(0.0, f32::max)
}

fn greedy(trainer: &mut Trainer, case: &Case) -> Vec<i64> {
    let mut ids = case.golden.greedy.prompt.clone();
    for _ in 0..case.golden.greedy.continuation.len() {
        let logits = trainer.logits(&ids).unwrap();
        let vocabulary = logits.len() / ids.len();
        let last = &logits[logits.len() - vocabulary..];
        let best = last
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .unwrap();
        ids.push(i64::try_from(best.0).unwrap());
    }
    ids.split_off(case.golden.greedy.prompt.len())
}

#[test]
fn the_reference_versions_are_stored() {
    for name in CASES {
        let file = golden_folder().join(format!("{name}.json"));
        let text = std::fs::read_to_string(file).unwrap();
        for version in [
            "\"torch\":\"2.11.0",
            "\"transformers\":\"5.23.0",
            "\"peft\":\"0.21.2",
        ] {
            assert!(text.contains(version), "{name} was not made with {version}");
        }
    }
}

#[test]
fn an_error_of_a_thousandth_in_any_stage_turns_it_red() {
    let scale = |values: &mut [f32]| values.iter_mut().for_each(|v| *v *= 1.001);
    let planted = [
        (
            "gradient",
            Meddling {
                gradient: scale,
                ..HONEST
            },
        ),
        (
            "losses",
            Meddling {
                losses: scale,
                ..HONEST
            },
        ),
        (
            "learning rate",
            Meddling {
                learning_rate: 1.001,
                ..HONEST
            },
        ),
    ];
    for (stage, meddling) in planted {
        let case = Case::load("gqa_qv");
        let run = train(&case, &meddling);
        let seen = compare(&case, &run).map(|found| found.to_string());
        println!("{stage}: {seen:?}");
        assert!(seen.is_err(), "an error in the {stage} went unseen");
    }
    type Change = fn(&mut Case);
    let changes: [(&str, Change); 6] = [
        ("scaling", |case| case.config.lora_alpha *= 1.001),
        ("rope", |case| {
            case.golden.model["rope_parameters"]["rope_theta"] = 10_100.into()
        }),
        ("norm", |case| {
            case.golden.model["rms_norm_eps"] = 1e-3.into()
        }),
        ("clip", |case| case.config.max_grad_norm *= 1.001),
        ("schedule", |case| case.config.learning_rate *= 1.001),
        ("decay", |case| case.config.weight_decay *= 1.001),
    ];
    for (stage, change) in changes {
        let mut case = Case::load("warmup_cosine_decay_clip");
        change(&mut case);
        case.rewrite_config();
        let run = train(&case, &HONEST);
        let seen = compare(&case, &run).map(|found| found.to_string());
        println!("{stage}: {seen:?}");
        assert!(seen.is_err(), "an error in the {stage} went unseen");
    }
}

/// Every case once more without this program's kernels, in a process of its own: all of what a GPU computes but CUDA's
/// kernels.
#[test]
fn libtorch_s_operators_alone_stay_within_the_same_limits() {
    let tests = std::env::current_exe().unwrap();
    let output = std::process::Command::new(tests)
        .args(["--skip", "libtorch_s_operators_alone"])
        .env("GOLDEN_DEVICE", "operators")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let passed = said.matches(" ... ok").count();
    assert!(passed > CASES.len(), "{passed} tests\n{said}");
}
