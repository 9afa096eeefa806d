//! Properties of the plan, over random configurations.

use proptest::prelude::*;

use super::*;
use crate::config::{
    DeviceClassPolicy, Dialogue, LrSchedulerType, Overflow, Precision, TargetModules, TaskType,
};

fn config() -> RunConfig {
    RunConfig {
        train_data_dir: "/d".into(),
        metadata_path: None,
        base_model: "/b".into(),
        task_type: TaskType::TextGeneration,
        output_dir: "/o".into(),
        lora_rank: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        target_modules: TargetModules::AllLinear,
        use_rslora: false,
        init_adapter: None,
        parent: None,
        parent_optimizer: true,
        batch_size: 2,
        gradient_accumulation_steps: 4,
        micro_batch_size: 1,
        epochs: 2,
        max_steps: None,
        learning_rate: 1e-3,
        lr_scheduler_type: LrSchedulerType::Linear,
        warmup_steps: 0,
        warmup_ratio: 0.0,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
        seed: 42,
        precision: Precision::F32,
        max_seq_length: 512,
        overflow: Overflow::Truncate,
        device: "cpu".into(),
        save_steps: 50,
        save_total_limit: None,
        logging_steps: 1,
        shuffle: true,
        train_on_inputs: false,
        loss_on: crate::config::LossOn::Response,
        resume_from_checkpoint: None,
        min_workers: 1,
        max_workers: None,
        failure_detection: 8.0,
        ride_through: 60.0,
        device_class: DeviceClassPolicy::Mixed,
        audit_rate: 0.0,
        dialogue: Dialogue::Turns,
        csv_columns: None,
        privacy: Default::default(),
        formats: Default::default(),
    }
}

fn plan(config: &RunConfig, samples: usize) -> Plan {
    let targets = (0..samples).map(|i| 1 + (i as u32 * 7) % 13).collect();
    let lengths = (0..samples).map(|i| 2 + (i as u32 * 11) % 17).collect();
    Plan::new(config, targets, lengths)
}

fn rows(step: &StepPlan) -> Vec<u32> {
    step.micro_batches
        .iter()
        .flat_map(|m| m.samples.clone())
        .collect()
}

#[test]
fn an_epoch_tail_is_short_and_the_next_epoch_starts_anew() {
    // 21 samples, batches of 2, accumulation 4: Trainer makes 11 batches and 3 steps per epoch.
    let plan = plan(&config(), 21);
    assert_eq!((plan.steps_per_epoch(), plan.total_steps()), (3, 6));
    let epochs: Vec<f64> = (1..=6).map(|s| plan.step(Step(s)).epoch).collect();
    assert_eq!(
        epochs,
        [
            4.0 / 11.0,
            8.0 / 11.0,
            1.0,
            1.0 + 4.0 / 11.0,
            1.0 + 8.0 / 11.0,
            2.0
        ]
    );
    assert_eq!(plan.step(Step(3)).samples, 5);
    assert_eq!(rows(&plan.step(Step(4))), permutation(43, 0, 21, true)[..8]);
}

#[test]
fn max_steps_repeats_epochs_and_shapes_the_schedule() {
    let config = RunConfig {
        max_steps: Some(7),
        epochs: 1,
        ..config()
    };
    let plan = plan(&config, 21);
    assert_eq!((plan.total_steps(), plan.epochs()), (7, 3));
    assert_eq!(plan.step(Step(7)).learning_rate, 1e-3 * (1.0 / 7.0));
    let config = RunConfig {
        max_steps: Some(2),
        ..config
    };
    assert_eq!(
        super::Plan::new(&config, vec![1; 21], vec![2; 21]).total_steps(),
        2
    );
}

#[test]
fn a_warmup_ratio_is_rounded_up_and_warmup_steps_win() {
    let ratio = RunConfig {
        warmup_ratio: 0.2,
        ..config()
    };
    let plan = plan(&ratio, 21);
    assert_eq!(plan.step(Step(1)).learning_rate, 0.0);
    assert_eq!(plan.step(Step(2)).learning_rate, 1e-3 * 0.5);
    let steps = RunConfig {
        warmup_steps: 3,
        ..ratio
    };
    let plan = super::Plan::new(&steps, vec![1; 21], vec![2; 21]);
    assert_eq!(plan.step(Step(2)).learning_rate, 1e-3 * (1.0 / 3.0));
}

#[test]
fn no_data_is_no_step() {
    let plan = plan(
        &RunConfig {
            max_steps: Some(5),
            ..config()
        },
        0,
    );
    assert_eq!((plan.total_steps(), plan.micro_batches_per_step()), (0, 0));
    assert!(plan.step(Step(1)).micro_batches.is_empty());
}

proptest! {
    #[test]
    fn every_epoch_holds_every_sample_once(
        samples in 1usize..90,
        batch_size in 1u32..6,
        accumulation in 1u32..5,
        micro in 1u32..6,
        epochs in 1u32..4,
        seed in any::<u64>(),
        shuffle in any::<bool>(),
    ) {
        let config = RunConfig {
            batch_size, gradient_accumulation_steps: accumulation,
            micro_batch_size: micro.min(batch_size), epochs, seed, shuffle, ..config()
        };
        let plan = plan(&config, samples);
        // Trainer's formula, by batches.
        let batches = samples.div_ceil(batch_size as usize);
        let per_epoch = batches.div_ceil(accumulation as usize) as u64;
        prop_assert_eq!(plan.steps_per_epoch(), per_epoch);
        prop_assert_eq!(plan.total_steps(), per_epoch * u64::from(epochs));
        prop_assert_eq!(plan.epochs(), u64::from(epochs));
        for epoch in 0..u64::from(epochs) {
            let mut seen = Vec::new();
            for index in 0..per_epoch {
                let step = plan.step(Step(epoch * per_epoch + index + 1));
                let in_step = rows(&step);
                prop_assert_eq!(in_step.len(), step.samples);
                prop_assert!(step.samples as u64 <= config.global_batch());
                prop_assert!(step.micro_batches.len() <= plan.micro_batches_per_step());
                let mut position = 0u32;
                for micro_batch in &step.micro_batches {
                    prop_assert!(!micro_batch.samples.is_empty());
                    prop_assert!(micro_batch.samples.len() <= config.micro_batch_size as usize);
                    prop_assert_eq!(micro_batch.first_position, position);
                    position += micro_batch.samples.len() as u32;
                    let longest = micro_batch.samples.iter().map(|&r| plan.lengths[r as usize]);
                    prop_assert_eq!(Some(micro_batch.padded_length), longest.max());
                }
                let tokens: u64 =
                    in_step.iter().map(|&r| u64::from(plan.target_tokens[r as usize])).sum();
                prop_assert_eq!(step.target_tokens, tokens);
                seen.extend(in_step);
            }
            prop_assert_eq!(plan.step(Step((epoch + 1) * per_epoch)).epoch, (epoch + 1) as f64);
            prop_assert_eq!(&seen, &permutation(seed, epoch, samples, shuffle));
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn steps_may_be_asked_for_in_any_order(samples in 1usize..40, asked in prop::collection::vec(1u64..60, 1..12)) {
        let one = plan(&config(), samples);
        for step in asked {
            prop_assert_eq!(one.step(Step(step)), plan(&config(), samples).step(Step(step)));
        }
    }
}
