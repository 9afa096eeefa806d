//! Properties of the plan, over random configurations.

use proptest::prelude::*;

use super::*;
use crate::config::testing;

fn config() -> RunConfig {
    let lines = "batch_size: 2\ngradient_accumulation_steps: 4\nepochs: 2\nlearning_rate: 1e-3\n";
    testing::config(lines).unwrap()
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

/// Position and row of every sample, in the order of the step.
fn in_order(step: &StepPlan) -> Vec<(u32, u32)> {
    let micro_batches = step.micro_batches.iter();
    let mut all: Vec<(u32, u32)> = micro_batches
        .flat_map(|m| m.positions.iter().copied().zip(m.samples.iter().copied()))
        .collect();
    all.sort_unstable();
    all
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
    // A skipped step is not counted: the next one repeats its rate.
    assert_eq!(plan.learning_rate(Step(2), 0), 1e-3 * 0.5);
    assert_eq!(plan.learning_rate(Step(2), 1), 0.0);
    assert_eq!(plan.learning_rate(Step(3), 1), 1e-3 * 0.5);
    let steps = RunConfig {
        warmup_steps: 3,
        ..ratio
    };
    let plan = super::Plan::new(&steps, vec![1; 21], vec![2; 21]);
    assert_eq!(plan.step(Step(2)).learning_rate, 1e-3 * (1.0 / 3.0));
}

#[test]
fn a_lone_micro_batch_is_its_own_sum() {
    let vectors = |micro_batch_size, audits| {
        let config = RunConfig {
            batch_size: 4,
            gradient_accumulation_steps: 1,
            micro_batch_size,
            ..config()
        };
        plan(&config, 20).integer_vectors(audits)
    };
    let found = [(4, false), (4, true), (2, false)].map(|(size, audits)| vectors(size, audits));
    assert_eq!(found, [2, 4, 4]);
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
                let positions = step.micro_batches.iter().flat_map(|m| m.positions.clone());
                prop_assert_eq!(positions.collect::<Vec<_>>(), (0..step.samples as u32).collect::<Vec<_>>());
                for micro_batch in &step.micro_batches {
                    prop_assert!(!micro_batch.samples.is_empty());
                    prop_assert!(micro_batch.samples.len() <= config.micro_batch_size as usize);
                    let longest = micro_batch.samples.iter().map(|&r| plan.lengths[r as usize]).max();
                    prop_assert!(micro_batch.cells.iter().all(|&cells| Some(cells) == longest));
                }
                let tokens: u64 =
                    in_step.iter().map(|&r| u64::from(plan.loss_units[r as usize])).sum();
                prop_assert_eq!(step.loss_units, tokens);
                seen.extend(in_step);
            }
            prop_assert_eq!(plan.step(Step((epoch + 1) * per_epoch)).epoch, (epoch + 1) as f64);
            prop_assert_eq!(&seen, &permutation(seed, epoch, samples, shuffle));
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn packing_changes_which_micro_batch_a_sample_is_in_and_nothing_else(
        samples in 1usize..90,
        batch_size in 1u32..9,
        accumulation in 1u32..5,
        micro in 1u32..9,
        group_by_length in any::<bool>(),
    ) {
        let config = RunConfig {
            batch_size, gradient_accumulation_steps: accumulation,
            micro_batch_size: micro.min(batch_size), group_by_length, ..config()
        };
        let padded = plan(&config, samples);
        let packed = plan(&RunConfig { packing: true, ..config.clone() }, samples);
        prop_assert_eq!(packed.total_steps(), padded.total_steps());
        prop_assert_eq!(packed.micro_batches_per_step(), padded.micro_batches_per_step());
        for step in (1..=padded.total_steps()).map(Step) {
            let (one, other) = (padded.step(step), packed.step(step));
            prop_assert_eq!(in_order(&one), in_order(&other));
            prop_assert_eq!(one.micro_batches.len(), other.micro_batches.len());
            let longest = in_order(&one).iter().map(|&(_, row)| padded.lengths[row as usize]).max();
            let most = u64::from(config.micro_batch_size) * u64::from(longest.unwrap());
            for micro_batch in &other.micro_batches {
                prop_assert!(micro_batch.computed_tokens() <= most);
                let own = micro_batch.samples.iter().map(|&row| padded.lengths[row as usize]);
                prop_assert_eq!(&micro_batch.cells, &own.collect::<Vec<_>>());
            }
            let numbers = |step: &StepPlan| (step.loss_units, step.learning_rate, step.epoch, step.samples);
            prop_assert_eq!(numbers(&one), numbers(&other));
        }
    }

    #[test]
    fn groups_by_length_hold_every_sample_once_and_the_longest_first(
        samples in 1usize..200, batch_size in 1u32..9, seed in any::<u64>(),
    ) {
        let config = RunConfig { batch_size, seed, group_by_length: true, ..config() };
        let grouped = plan(&config, samples);
        let per_epoch = grouped.steps_per_epoch();
        for epoch in 0..2 {
            let steps = (1..=per_epoch).map(|index| grouped.step(Step(epoch * per_epoch + index)));
            let mut seen: Vec<u32> = steps.flat_map(|step| rows(&step)).collect();
            let longest = grouped.lengths.iter().max().unwrap();
            prop_assert_eq!(&grouped.lengths[seen[0] as usize], longest);
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..samples as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_in_the_run_is_larger_than_the_largest(
        samples in 0usize..60, micro in 1u32..5, packing in any::<bool>(), shuffle in any::<bool>(),
    ) {
        let config = RunConfig {
            batch_size: 4, micro_batch_size: micro.min(4), packing, shuffle, ..config()
        };
        let plan = plan(&config, samples);
        let largest = plan.largest();
        prop_assert_eq!(largest.is_empty(), samples == 0);
        prop_assert!(largest.len() <= 2);
        let loss_units = |m: &MicroBatchPlan| m.samples.iter().map(|&r| plan.loss_units(r)).sum::<u64>();
        let all = || (1..=plan.total_steps()).flat_map(|s| plan.step(Step(s)).micro_batches);
        for one in &largest {
            let there = &plan.step(one.step).micro_batches[one.micro_batch.0 as usize];
            prop_assert_eq!(there, &one.planned);
            prop_assert_eq!(loss_units(&one.planned), one.loss_units);
        }
        let most = |size: &dyn Fn(&MicroBatchPlan) -> u64| all().map(|m| size(&m)).max();
        let named = |size: &dyn Fn(&MicroBatchPlan) -> u64| largest.iter().map(|l| size(&l.planned)).max();
        prop_assert_eq!(named(&MicroBatchPlan::computed_tokens), most(&MicroBatchPlan::computed_tokens));
        prop_assert_eq!(named(&loss_units), most(&loss_units));
    }

    #[test]
    fn steps_may_be_asked_for_in_any_order(samples in 1usize..40, asked in prop::collection::vec(1u64..60, 1..12)) {
        let one = plan(&config(), samples);
        for step in asked {
            prop_assert_eq!(one.step(Step(step)), plan(&config(), samples).step(Step(step)));
        }
    }
}
