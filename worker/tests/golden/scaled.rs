//! fp16 against a plain loop with torch's GradScaler: the same steps skipped, the same scales, the same
//! learning rates, losses within the promise. The state is that of the product's own replica.

use serde::Deserialize;
use shared::dataset::Sample;
use shared::ids::{MicroBatchId, Step};
use shared::numerics::{self, AdapterState, LossScale};
use shared::objective::{NextToken, Objective};
use shared::plan::{Plan, StepPlan};
use shared::wire::message::{Applied, Task};
use worker::train::{EXTRAS, Extra, MicroBatch, Replica, StepRule, Trainer, collate};

use super::case::{Case, golden_folder};
use super::compare::adapter_digest;
use super::training::start;

/// Promised of the loss.
const ROOM: f64 = 2e-2;

/// What such a case has beyond the others.
#[derive(Deserialize)]
struct Scaled {
    initial_loss_scale: u64,
    log_history: Vec<Logged>,
}

#[derive(Deserialize)]
struct Logged {
    step: u64,
    loss: f64,
    grad_norm: f64,
    learning_rate: f64,
    loss_scale: u64,
    skipped: bool,
}

fn scaled(name: &str) -> Scaled {
    let file = golden_folder().join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The integers of a micro-batch and its losses, summed.
fn computed(trainer: &mut Trainer, batch: &MicroBatch, parts: u32) -> (Vec<i64>, f64) {
    let count = trainer.layout().len();
    let (mut gradient, mut losses) = (vec![0f32; count], Vec::new());
    trainer
        .micro_batch(batch, &mut gradient, &mut losses)
        .unwrap();
    let mut integers = vec![0i64; count + EXTRAS];
    let (values, extras) = integers.split_at_mut(count);
    let overflow = numerics::quantize_into(&gradient, parts, values);
    let (loss, lost) = numerics::quantize_losses(&losses);
    extras[Extra::Loss as usize] = loss;
    extras[Extra::LossUnits as usize] = i64::try_from(losses.len()).unwrap();
    extras[Extra::Overflows as usize] = i64::from(overflow.0 || lost);
    extras[Extra::MicroBatches as usize] = 1;
    (integers, losses.iter().copied().map(f64::from).sum())
}

/// One step on the replica; what it applied and the mean loss.
fn stepped(
    trainer: &mut Trainer,
    replica: &mut Replica,
    plan: &Plan,
    planned: &StepPlan,
    samples: &[Sample<'_>],
    case: &Case,
) -> (Applied, f64, f64) {
    let parts = u32::try_from(planned.micro_batches.len()).unwrap();
    let mut sum = 0.0;
    for (index, micro_batch) in (0u32..).zip(&planned.micro_batches) {
        let rows = micro_batch.samples.iter().map(|&r| samples[r as usize]);
        let rows: Vec<_> = rows.collect();
        let batch = collate(&rows, micro_batch, planned.step.0, planned.loss_units).unwrap();
        let batch = MicroBatch {
            loss_scale: replica.state().loss_factor(),
            ..batch
        };
        let (integers, loss) = computed(trainer, &batch, parts);
        let id = MicroBatchId(index);
        replica.keep(planned.step, Task::Train, id, integers);
        replica.credit(Task::Train, &[id]).unwrap();
        sum += loss;
    }
    let rate = plan.learning_rate(planned.step, replica.state().unscheduled());
    let rule = StepRule {
        step: planned.step,
        micro_batches: parts,
        loss_units: planned.loss_units,
        learning_rate: rate,
        max_grad_norm: case.config.max_grad_norm,
        weight_decay: case.config.weight_decay,
    };
    let total = replica.sum(Task::Train, 1).to_vec();
    let applied = replica.apply(&rule, total, 1).unwrap();
    replica.commit(planned.step).unwrap();
    trainer.set_adapter(&replica.state().params).unwrap();
    (applied, sum / planned.loss_units as f64, rate)
}

fn curve(name: &str) {
    let (mut case, golden) = (Case::load(name), scaled(name));
    case.config.stability.initial_loss_scale = golden.initial_loss_scale;
    let samples = case.samples();
    let lengths = samples.iter().map(|s| u32::try_from(s.ids.len()).unwrap());
    let targets = samples
        .iter()
        .map(|sample| NextToken.units(sample))
        .collect();
    let plan = Plan::new(&case.config, targets, lengths.collect());
    let (mut trainer, initial) = start(&case);
    assert_eq!(
        adapter_digest(&initial),
        case.golden.initial_adapter_sha256,
        "{name}: the first adapter, byte for byte"
    );
    let mut replica = Replica::new(initial.len());
    replica.adopt(AdapterState {
        loss_scale: case.config.first_loss_scale().map(LossScale::new),
        ..AdapterState::new(initial)
    });
    let (mut worst, mut worst_norm, mut skipped) = (0f64, 0f64, Vec::new());
    assert_eq!(plan.total_steps(), golden.log_history.len() as u64);
    for theirs in &golden.log_history {
        let step = theirs.step;
        let planned = plan.step(Step(step));
        let (applied, loss, rate) =
            stepped(&mut trainer, &mut replica, &plan, &planned, &samples, &case);
        let scale = applied.loss_scale.map(|scale| scale.scale);
        assert_eq!(scale, Some(theirs.loss_scale), "{name}, step {step}");
        assert_eq!(applied.skipped, theirs.skipped, "{name}, step {step}");
        let off = (rate - theirs.learning_rate).abs();
        assert!(off <= 1e-12 * rate, "{name}, step {step}: {rate}");
        worst = worst.max((loss - theirs.loss).abs());
        if applied.skipped {
            skipped.push(step);
        } else {
            let norm = (applied.grad_norm - theirs.grad_norm).abs() / theirs.grad_norm;
            worst_norm = worst_norm.max(norm);
        }
    }
    println!(
        "{name}: {} steps, skipped {skipped:?} as torch does, worst loss {worst:.1e}, grad norm \
         {worst_norm:.1e}",
        golden.log_history.len()
    );
    assert!(worst < ROOM, "{name}: a loss differs by {worst:e}");
}

#[test]
fn a_run_whose_gradients_fit_is_the_reference_s() {
    curve("fp16/fits");
}

#[test]
fn overflows_skip_the_reference_s_steps() {
    curve("fp16/overflows");
    curve("fp16/tied_all_linear");
}
