//! What a decoder layer keeps for its backward pass, as `shared::model` says it, against what a worker measures before
//! step 1.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "golden/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "golden/weights.rs"]
mod weights;

use case::Case;
use shared::config::{Precision, RunConfig, TargetModules};
use shared::model::{ActivationSettings, AdapterShape, ModelConfig, kept_activations};
use shared::plan::MicroBatchPlan;
use worker::device::{DeviceRequest, open};
use worker::train::{Trainer, collate};

/// Length that every row is padded to.
const LENGTH: u32 = 20;
/// Rows of the micro-batch.
const ROWS: u32 = 6;
/// Largest difference of the two, relative to what was measured: allocations are rounded up to 64 bytes.
const DIFFERENCE: f64 = 0.02;

/// A family of decoders, and what of it is adapted how.
type Change = fn(&mut RunConfig);

fn all_linears(config: &mut RunConfig) {
    config.target_modules = TargetModules::AllLinear;
}

/// (base model of a golden, name of the change, the change).
const CASES: &[(&str, &str, Change)] = &[
    ("gqa_qv", "q and v", |_| ()),
    ("gqa_qv", "all linears", all_linears),
    ("gqa_qv", "with dropout", |config| {
        all_linears(config);
        config.lora_dropout = 0.1;
    }),
    ("gqa_qv", "DoRA", |config| {
        all_linears(config);
        config.adapter.use_dora = true;
    }),
    ("gqa_qv", "DoRA with dropout", |config| {
        all_linears(config);
        config.adapter.use_dora = true;
        config.lora_dropout = 0.1;
    }),
    ("gqa_qv", "in bf16", |config| {
        all_linears(config);
        config.precision = Precision::Bf16;
    }),
    ("families/qwen3", "q and k normed", all_linears),
    ("families/phi3_window", "fused linears", all_linears),
    (
        "families/gemma2",
        "norms around, capped scores",
        all_linears,
    ),
    ("families/mixtral", "experts", |_| ()),
];

/// Bytes that one layer keeps: (by the formula, as the worker measured them).
fn of(case: &Case) -> (u64, u64) {
    let shape = ModelConfig::load(&case.base()).unwrap();
    let adapter = AdapterShape::new(&(&case.config).into(), &shape).unwrap();
    let settings = ActivationSettings {
        value_bytes: match case.config.precision {
            Precision::F32 => 4,
            Precision::Bf16 | Precision::Fp16 => 2,
        },
        on_gpu: false,
        dropout: case.config.lora_dropout > 0.0,
        dora: case.config.adapter.use_dora,
        longest: u64::from(LENGTH),
    };
    // A layer that a gradient flows into: not the first one.
    let per_position = kept_activations(&shape, &adapter, settings).layers[1];
    let device = open(DeviceRequest::Cpu, 1).unwrap();
    let trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
    let samples = case.samples();
    let chosen: Vec<_> = samples.iter().take(ROWS as usize).copied().collect();
    let planned = MicroBatchPlan {
        samples: (0..ROWS).collect(),
        positions: (0..ROWS).collect(),
        cells: vec![LENGTH; ROWS as usize],
        tokens: chosen.iter().map(|sample| sample.ids.len() as u64).sum(),
    };
    let batch = collate(&chosen, &planned, 3, 50).unwrap();
    let measured = trainer.keeps(&batch).unwrap() / shape.layers as u64;
    (per_position * u64::from(ROWS * LENGTH), measured)
}

/// One test, because what is measured is the process's.
#[test]
fn a_layer_keeps_what_the_formula_says() {
    let mut wrong = Vec::new();
    for (base, name, change) in CASES {
        let mut case = Case::load(base);
        change(&mut case.config);
        let (computed, measured) = of(&case);
        let difference = (computed as f64 - measured as f64) / measured as f64;
        println!("{base} {name}: {computed} computed, {measured} measured, {difference:+.4}");
        if difference.abs() >= DIFFERENCE {
            wrong.push(format!("{base} {name}: {difference:+.4}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
