//! The walk of a step with the product's own parts, on one worker: plan, collate, forward and
//! backward, integers, sum, clip, optimizer.

use shared::ids::Step;
use shared::model::groups;
use shared::numerics::{self, AdamW, AdapterState, Update};
use shared::objective::{NextToken, Objective};
use shared::plan::Plan;
use worker::device::{DeviceRequest, only_operators, open};
use worker::train::{Trainer, collate};

use super::case::Case;

/// What one step gave.
pub struct Trained {
    pub step: u64,
    pub epoch: f64,
    pub loss: f64,
    pub grad_norm: f64,
    pub learning_rate: f64,
}

/// A whole run.
pub struct Run {
    pub trainer: Trainer,
    pub initial: Vec<f32>,
    pub state: AdapterState,
    pub steps: Vec<Trained>,
}

/// Something between the stages that a test may change.
pub struct Meddling {
    pub gradient: fn(&mut [f32]),
    pub losses: fn(&mut [f32]),
    pub learning_rate: f64,
}

/// Changes nothing.
pub const HONEST: Meddling = Meddling {
    gradient: |_| {},
    losses: |_| {},
    learning_rate: 1.0,
};

/// The CPU, unless `GOLDEN_DEVICE` names another; `operators` is the CPU that computes as a GPU does.
fn device() -> DeviceRequest {
    match std::env::var("GOLDEN_DEVICE").as_deref() {
        Err(_) => DeviceRequest::Cpu,
        Ok("operators") => {
            only_operators();
            DeviceRequest::Cpu
        }
        Ok(name) => name.parse().unwrap(),
    }
}

/// A trainer with the first adapter set.
pub fn start(case: &Case) -> (Trainer, Vec<f32>) {
    let device = open(device(), 1).unwrap();
    let mut trainer = Trainer::load(&case.config, &case.base(), device).unwrap();
    let initial = trainer.initial_adapter().unwrap();
    trainer.set_adapter(&initial).unwrap();
    (trainer, initial)
}

/// Trains a case to its end.
pub fn train(case: &Case, meddling: &Meddling) -> Run {
    let samples = case.samples();
    let lengths = samples
        .iter()
        .map(|s| u32::try_from(s.ids.len()).unwrap())
        .collect();
    let targets = samples
        .iter()
        .map(|sample| NextToken.units(sample))
        .collect();
    let plan = Plan::new(&case.config, targets, lengths);
    let (mut trainer, initial) = start(case);
    let mut state = AdapterState::new(initial.clone());
    let adamw = AdamW {
        weight_decay: case.config.weight_decay,
        ..AdamW::default()
    };
    let count = initial.len();
    let groups = groups(&case.config, &trainer.layout().tensors);
    let (mut gradient, mut integers) = (vec![0f32; count], vec![0i64; count]);
    let mut losses = Vec::new();
    let mut steps = Vec::new();
    for step in 1..=plan.total_steps() {
        let planned = plan.step(Step(step));
        let mut total = vec![0i64; count];
        let mut loss = 0i64;
        for micro_batch in &planned.micro_batches {
            let rows: Vec<_> = micro_batch
                .samples
                .iter()
                .map(|&r| samples[r as usize])
                .collect();
            let batch = collate(&rows, micro_batch, step, planned.loss_units).unwrap();
            trainer
                .micro_batch(&batch, &mut gradient, &mut losses)
                .unwrap();
            (meddling.gradient)(&mut gradient);
            (meddling.losses)(&mut losses);
            let parts = u32::try_from(planned.micro_batches.len()).unwrap();
            assert!(!numerics::quantize_into(&gradient, parts, &mut integers).0);
            numerics::accumulate(&mut total, &integers);
            let (sum, overflow) = numerics::quantize_losses(&losses);
            assert!(!overflow);
            loss = numerics::add_losses(loss, sum).unwrap();
        }
        let grad_norm = numerics::grad_norm(&total);
        let rate = planned.learning_rate * meddling.learning_rate;
        let mut next = AdapterState::default();
        let update = Update {
            grad_norm,
            max_grad_norm: case.config.max_grad_norm,
            learning_rate: rate,
            adamw,
            groups: &groups,
        };
        numerics::apply(&state, &mut next, &total, &update);
        state = next;
        trainer.set_adapter(&state.params).unwrap();
        steps.push(Trained {
            step,
            epoch: planned.epoch,
            loss: numerics::loss_value(loss, planned.loss_units),
            grad_norm,
            learning_rate: planned.learning_rate,
        });
    }
    Run {
        trainer,
        initial,
        state,
        steps,
    }
}
