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
#[path = "golden/weights.rs"]
mod weights;

use std::sync::{Mutex, PoisonError};

use case::Case;
use shared::config::Precision;
use shared::model::{ModelConfig, base_digest, expected_tensors};
use worker::device::{Device, DeviceRequest, open};
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

fn batch(case: &Case, rows: &[usize], length: usize, first_position: u32) -> MicroBatch {
    let samples = case.samples();
    let rows: Vec<_> = rows.iter().map(|&row| samples[row]).collect();
    collate(&rows, length, 3, first_position, 50).unwrap()
}

/// The number of threads is the process's: one computation at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Gradient and losses of one micro-batch with an adapter whose B is not zero.
fn compute(case: &Case, batch: &MicroBatch, threads: usize) -> (Vec<f32>, Vec<f32>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open(DeviceRequest::Cpu, threads).unwrap();
    let mut trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
    let adapter = weights::weight("lora_any", trainer.layout().len());
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
