//! The trainer as the rest of the worker sees it: equal bits, padding that changes nothing, dropout
//! that depends on a sample's place only, a base model that is never written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "golden/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "golden/training.rs"]
#[allow(dead_code)]
mod training;
#[path = "golden/weights.rs"]
mod weights;

use std::sync::{Mutex, PoisonError};

use case::{Case, Row};
use shared::config::{AdapterKind, BiasMode, Precision, RunConfig, TargetModules};
use shared::model::{ModelConfig, base_digest, expected_tensors, head_rows};
use shared::plan::MicroBatchPlan;
use training::{HONEST, train};
use worker::device::{Device, DeviceRequest, open};
use worker::progress::Counters;
use worker::train::{MicroBatch, Trainer, collate};

/// A case of the goldens with a base model large enough for several threads.
fn wide() -> Case {
    let mut case = Case::load("gqa_qv");
    let model = &mut case.golden.model;
    for (key, value) in [
        ("hidden_size", 192),
        ("intermediate_size", 320),
        ("head_dim", 48),
    ] {
        model[key] = value.into();
    }
    case.rewrite_config();
    let shape = ModelConfig::load(&case.base()).unwrap();
    let tensors = expected_tensors(&shape);
    weights::write_safetensors(&case.base().join("model.safetensors"), &tensors);
    case
}

/// Rows padded to `length`, from this position in the step on.
fn batch(case: &Case, rows: &[usize], length: u32, first_position: u32) -> MicroBatch {
    planned(case, rows, first_position, |_| length)
}

/// Rows packed behind each other.
fn packed(case: &Case, rows: &[usize], first_position: u32) -> MicroBatch {
    planned(case, rows, first_position, |length| length)
}

fn planned(
    case: &Case,
    rows: &[usize],
    first_position: u32,
    cells: impl Fn(u32) -> u32,
) -> MicroBatch {
    let samples = case.samples();
    let chosen: Vec<_> = rows.iter().map(|&row| samples[row]).collect();
    let lengths = chosen.iter().map(|s| u32::try_from(s.ids.len()).unwrap());
    let planned = MicroBatchPlan {
        samples: rows.iter().map(|&r| u32::try_from(r).unwrap()).collect(),
        positions: (first_position..).take(rows.len()).collect(),
        cells: lengths.clone().map(cells).collect(),
        tokens: lengths.map(u64::from).sum(),
    };
    collate(&chosen, &planned, 3, 50).unwrap()
}

/// The number of threads is the process's: one computation at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Gradient and losses of one micro-batch with an adapter whose B is not zero.
fn compute(case: &Case, batch: &MicroBatch, threads: usize) -> (Vec<f32>, Vec<f32>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open(DeviceRequest::Cpu, threads).unwrap();
    let mut trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
    let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
    trainer.set_adapter(&adapter).unwrap();
    let (mut gradient, mut losses) = (vec![f32::NAN; adapter.len()], vec![f32::NAN]);
    trainer
        .micro_batch(batch, &mut gradient, &mut losses)
        .unwrap();
    (gradient, losses)
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn equal_bits_for_one_two_and_four_threads_in_both_precisions_with_dropout() {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut case = wide();
        case.config.precision = precision;
        case.config.lora_dropout = 0.1;
        let batch = batch(&case, &[0, 1, 2, 3, 4, 5, 6, 7], 20, 0);
        let one = compute(&case, &batch, 1);
        assert!(one.0.iter().all(|v| v.is_finite()) && one.0.iter().any(|v| *v != 0.0));
        for threads in [1, 2, 4] {
            let other = compute(&case, &batch, threads);
            assert!(one == other, "{precision:?} with {threads} threads");
        }
    }
}

#[test]
fn padding_and_company_change_nothing_but_the_last_bits() {
    let mut case = wide();
    case.config.lora_dropout = 0.3;
    let together = compute(&case, &batch(&case, &[2, 0], 20, 4), 1);
    let apart = [batch(&case, &[2], 10, 4), batch(&case, &[0], 24, 5)];
    let [one, other] = apart.map(|batch| compute(&case, &batch, 1));
    let losses = [one.1, other.1].concat();
    assert!(largest(&together.1, &losses) < 1e-4, "losses");
    let sum: Vec<f32> = one.0.iter().zip(&other.0).map(|(a, b)| a + b).collect();
    let scale = together.0.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest(&together.0, &sum) < 1e-4 * scale, "gradients");
}

/// Of 400,000 words 20 positions are one part: a batch has several, a row alone has one.
#[test]
fn a_head_in_several_parts_has_the_losses_and_gradients_of_one() {
    let mut case = Case::load("gqa_qv");
    case.golden.model["vocab_size"] = 400_000.into();
    case.rewrite_config();
    let shape = ModelConfig::load(&case.base()).unwrap();
    let file = case.base().join("model.safetensors");
    weights::write_safetensors(&file, &expected_tensors(&shape));
    let names = ["lm_head", "v_proj"];
    case.config.target_modules = TargetModules::Names(names.map(Into::into).into());
    case.config.lora_dropout = 0.3;
    let rows = head_rows(shape.vocab_size, false);
    let all = [0, 1, 2, 3, 4, 5, 6, 7];
    let together = compute(&case, &batch(&case, &all, 24, 0), 1);
    assert!(together.1.len() > 2 * rows, "{} targets", together.1.len());
    let (mut losses, mut sum) = (Vec::new(), vec![0f32; together.0.len()]);
    for (position, row) in (0..).zip(all) {
        let alone = compute(&case, &batch(&case, &[row], 24, position), 1);
        assert!(alone.1.len() <= rows, "{} targets", alone.1.len());
        losses.extend(alone.1);
        sum.iter_mut().zip(&alone.0).for_each(|(s, g)| *s += g);
    }
    assert!(largest(&together.1, &losses) < 1e-4, "losses");
    let scale = together.0.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(
        scale > 0.0 && largest(&together.0, &sum) < 1e-4 * scale,
        "gradients"
    );
}

#[test]
fn packed_samples_do_not_see_each_other() {
    let mut case = wide();
    case.config.lora_dropout = 0.3;
    for precision in [Precision::F32, Precision::Bf16] {
        case.config.precision = precision;
        let together = compute(&case, &packed(&case, &[2, 0, 5, 3], 4), 1);
        let apart = [(2, 4), (0, 5), (5, 6), (3, 7)]
            .map(|(row, position)| compute(&case, &packed(&case, &[row], position), 1));
        let losses: Vec<f32> = apart
            .iter()
            .flat_map(|(_, losses)| losses.clone())
            .collect();
        let room = if precision == Precision::F32 {
            1e-4
        } else {
            0.1
        };
        let differ = largest(&together.1, &losses);
        assert!(differ < room, "{precision:?}: losses differ by {differ}");
        if precision == Precision::F32 {
            let mut sum = vec![0f32; together.0.len()];
            for (gradient, _) in &apart {
                sum.iter_mut().zip(gradient).for_each(|(s, g)| *s += g);
            }
            let scale = together.0.iter().fold(0f32, |m, v| m.max(v.abs()));
            assert!(largest(&together.0, &sum) < 1e-4 * scale, "gradients");
        }
    }
}

/// 100 rows of 3 to 96 tokens, 32 in a step: twelve steps, three of them short.
fn uneven() -> Case {
    let mut case = wide();
    let row = |row: u32| {
        let length = 3 + row * row * 7 % 94;
        let ids = (0..length).map(|token| 24 + (row * 31 + token * token * 5) % 24);
        let answer = length / 3;
        Row {
            ids: ids.collect(),
            learned: (0..length).map(|token| u8::from(token >= answer)).collect(),
        }
    };
    case.golden.rows = (0..100).map(row).collect();
    case.config.batch_size = 32;
    case.config.micro_batch_size = 4;
    case.config.epochs = 3;
    case
}

#[test]
fn packed_every_step_has_the_loss_it_has_unpacked() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (dropout, group_by_length) in [(0.0, false), (0.2, false), (0.2, true)] {
        let mut case = uneven();
        case.config.lora_dropout = dropout;
        case.config.group_by_length = group_by_length;
        let padded = train(&case, &HONEST);
        case.config.packing = true;
        let packed = train(&case, &HONEST);
        assert_eq!((padded.steps.len(), packed.steps.len()), (12, 12));
        let mut most = 0f64;
        for (one, other) in padded.steps.iter().zip(&packed.steps) {
            assert_eq!(
                (one.step, one.epoch, one.learning_rate),
                (other.step, other.epoch, other.learning_rate)
            );
            most = most.max((one.loss / other.loss - 1.0).abs());
        }
        println!("dropout {dropout}, grouped {group_by_length}: losses differ by {most:.1e}");
        assert!(most < 1e-5, "dropout {dropout}: {most:e}");
        let (first, last) = (&padded.steps[0], &padded.steps[11]);
        assert!(last.loss < first.loss, "{} {}", first.loss, last.loss);
    }
}

#[test]
fn dropout_depends_on_the_place_in_the_step_and_on_the_step() {
    let mut case = wide();
    case.config.lora_dropout = 0.3;
    let losses = |first: u32, step: u64| {
        let mut batch = batch(&case, &[0], 20, first);
        batch.step = step;
        compute(&case, &batch, 1).1
    };
    assert_eq!(losses(0, 3), losses(0, 3));
    assert_ne!(losses(0, 3), losses(1, 3), "another place in the step");
    assert_ne!(losses(0, 3), losses(0, 4), "another step");
}

#[test]
fn bf16_weights_give_nearly_the_losses_of_f32() {
    let mut case = wide();
    let batch = batch(&case, &[0, 1, 2, 3], 20, 0);
    let wide = compute(&case, &batch, 1).1;
    case.config.precision = Precision::Bf16;
    let narrow = compute(&case, &batch, 1).1;
    assert_eq!(wide.len(), narrow.len());
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    assert!(
        (mean(&wide) - mean(&narrow)).abs() < 0.05,
        "{} {}",
        mean(&wide),
        mean(&narrow)
    );
    assert_ne!(wide, narrow);
}

/// The largest micro-batch of a run is computed before step 1, on an adapter of zeros.
#[test]
fn what_was_computed_before_changes_no_bit() {
    let mut case = uneven();
    case.config.lora_dropout = 0.2;
    let (large, small) = (
        packed(&case, &(0..60).collect::<Vec<_>>(), 0),
        packed(&case, &[1, 2, 3], 7),
    );
    let fresh = compute(&case, &small, 1);
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open(DeviceRequest::Cpu, 1).unwrap();
    let mut trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
    let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
    let (mut gradient, mut losses) = (vec![0f32; adapter.len()], Vec::new());
    trainer
        .micro_batch(&large, &mut gradient, &mut losses)
        .unwrap();
    assert!(losses.len() > 1000 && losses.iter().all(|loss| loss.is_finite()));
    trainer.set_adapter(&adapter).unwrap();
    trainer
        .micro_batch(&small, &mut gradient, &mut losses)
        .unwrap();
    assert_eq!((gradient, losses), fresh);
}

#[test]
fn a_micro_batch_without_a_target_gives_zeros() {
    let case = wide();
    let mut batch = batch(&case, &[0], 20, 0);
    batch.labels.fill(worker::train::IGNORED);
    let (gradient, losses) = compute(&case, &batch, 1);
    assert!(gradient.iter().all(|v| *v == 0.0));
    assert!(losses.is_empty());
}

#[test]
fn training_never_writes_the_base_model() {
    let case = wide();
    let before = base_digest(&case.base()).unwrap();
    let batch = batch(&case, &[0, 1], 20, 0);
    for _ in 0..3 {
        compute(&case, &batch, 1);
    }
    assert_eq!(base_digest(&case.base()).unwrap(), before);
}

#[test]
fn a_vector_of_another_length_is_refused() {
    let case = wide();
    let mut trainer = Trainer::load(&case.config, &case.base(), Device::Cpu).unwrap();
    let length = trainer.layout().len();
    assert!(trainer.set_adapter(&vec![0.0; length - 1]).is_err());
    let mut short = vec![0.0; length - 1];
    let batch = batch(&case, &[0], 20, 0);
    assert!(
        trainer
            .micro_batch(&batch, &mut short, &mut Vec::new())
            .is_err()
    );
}

/// With and without the activations kept, one after the other on one trainer.
#[test]
fn activations_computed_again_give_the_same_bits() {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut case = wide();
        case.config.precision = precision;
        case.config.lora_dropout = 0.2;
        let batches = [
            batch(&case, &[0, 1, 2], 24, 0),
            packed(&case, &[3, 0, 5], 3),
        ];
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let device = open(DeviceRequest::Cpu, 2).unwrap();
        let mut trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
        let adapter = weights::weight("lora_any", trainer.layout().len(), 1.0);
        trainer.set_adapter(&adapter).unwrap();
        for batch in &batches {
            let mut computed = |again: bool| {
                trainer.recompute_activations(again);
                let (mut gradient, mut losses) = (vec![f32::NAN; adapter.len()], Vec::new());
                trainer
                    .micro_batch(batch, &mut gradient, &mut losses)
                    .unwrap();
                (gradient, losses)
            };
            let (kept, again) = (computed(false), computed(true));
            assert!(kept.0.iter().all(|v| v.is_finite()) && kept.0.iter().any(|v| *v != 0.0));
            assert!(kept == again, "{precision:?}");
        }
    }
}

/// Makes a configuration one of another kind of adapter.
type Change = fn(&mut RunConfig);

/// Sums over rows, such as those of magnitudes, scales, norms and biases, are cut by no thread.
#[test]
fn every_kind_of_adapter_gives_equal_bits_for_one_two_and_four_threads() {
    let kinds: [(&str, Change); 5] = [
        ("dora", |config| config.adapter.use_dora = true),
        ("dora with dropout", |config| {
            config.adapter.use_dora = true;
            config.lora_dropout = 0.2;
        }),
        ("ia3", |config| config.adapter_type = AdapterKind::Ia3),
        ("whole modules and biases", |config| {
            config.adapter.modules_to_save =
                ["embed_tokens", "norm", "o_proj"].map(Into::into).into();
            config.adapter.bias = BiasMode::All;
        }),
        ("embedding and head with dropout", |config| {
            let names = ["embed_tokens", "lm_head", "v_proj"];
            config.target_modules = TargetModules::Names(names.map(Into::into).into());
            config.lora_dropout = 0.2;
        }),
    ];
    for (name, change) in kinds {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut case = wide();
            case.golden.model["attention_bias"] = true.into();
            case.rewrite_config();
            let shape = ModelConfig::load(&case.base()).unwrap();
            let file = case.base().join("model.safetensors");
            weights::write_safetensors(&file, &expected_tensors(&shape));
            case.config.precision = precision;
            change(&mut case.config);
            let batch = batch(&case, &[0, 1, 2, 3, 4, 5, 6, 7], 20, 0);
            let one = compute(&case, &batch, 1);
            assert!(one.0.iter().all(|v| v.is_finite()) && one.0.iter().any(|v| *v != 0.0));
            for threads in [2, 4] {
                let other = compute(&case, &batch, threads);
                assert!(one == other, "{name}, {precision:?}, {threads} threads");
            }
        }
    }
}

/// A long micro-batch is not a device that hangs: each layer forward and backward shows, on a way that computes
/// activations again twice, and so does each tensor that is loaded and each token that is written.
#[test]
fn what_the_device_does_is_counted_layer_by_layer() {
    let case = wide();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open(DeviceRequest::Cpu, 1).unwrap();
    let progress = Counters::default();
    let counted = |before: u64| progress.read().device - before;
    let base = case.base();
    let mut trainer = Trainer::load_counted(&case.config, &base, device, &progress).unwrap();
    let shape = ModelConfig::load(&base).unwrap();
    assert!(counted(0) >= expected_tensors(&shape).len() as u64);
    let layers = shape.layers as u64;
    let batch = batch(&case, &[0, 1], 20, 0);
    let (mut gradient, mut losses) = (vec![0f32; trainer.layout().len()], Vec::new());
    for (again, ways) in [(false, 2), (true, 3)] {
        trainer.recompute_activations(again);
        let before = progress.read().device;
        trainer
            .micro_batch(&batch, &mut gradient, &mut losses)
            .unwrap();
        // One more for the output head, whose rows are few here.
        assert_eq!(counted(before), ways * layers + 1, "again: {again}");
    }
    let before = progress.read().device;
    trainer.evaluate(&batch).unwrap();
    assert_eq!(counted(before), layers + 1);
    let before = progress.read().device;
    let written = trainer.answer(&[5, 6, 7], 4, &[]).unwrap().len() as u64;
    assert_eq!(counted(before), written * (layers + 1));
}
