//! How long a step takes on one worker: forward and backward, integers, optimizer.
//!
//! `step_speed BASE ROWS LENGTH STEPS THREADS [bf16] [nf4|int8] [again]` prints one JSON object; `again`
//! computes activations again on the way back. The rows are an
//! integer recipe that tests/bench/peft_step.py has too, so that both sides compute the same losses.

#![recursion_limit = "256"]

mod common;

use std::path::PathBuf;
use std::time::Instant;

use common::config;
use shared::config::Quantization;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::numerics::{self, AdamW, AdapterState, Update};
use worker::device::{self, DeviceRequest};
use worker::train::{MicroBatch, Segment, Trainer};

const VOCABULARY: u64 = 8000;

fn main() -> Result<()> {
    device::reexec_with_environment()?;
    let started = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, rows, length, steps, threads, rest @ ..] = arguments.as_slice() else {
        return Err(Error::new(
            Code::Usage,
            "step_speed BASE ROWS LENGTH STEPS THREADS [bf16] [nf4|int8] [again]",
        ));
    };
    let number = |text: &String| {
        text.parse::<usize>()
            .map_err(|e| Error::new(Code::Usage, format!("{text}: {e}")))
    };
    let (rows, length, steps) = (number(rows)?, number(length)?, number(steps)?);
    let device = device::open(DeviceRequest::Cpu, number(threads)?)?;
    let base = PathBuf::from(base);
    let precision = if rest.iter().any(|word| word == "bf16") {
        "bf16"
    } else {
        "f32"
    };
    let mut config = config(&base, precision)?;
    let has = |word: &str| rest.iter().any(|given| given == word);
    config.quantization.form = match (has("nf4"), has("int8")) {
        (true, _) => Quantization::Nf4,
        (_, true) => Quantization::Int8,
        _ => Quantization::None,
    };
    let mut trainer = Trainer::load(&config, &base, device)?;
    trainer.recompute_activations(has("again"));
    let mut state = AdapterState::new(trainer.initial_adapter()?);
    trainer.set_adapter(&state.params)?;
    let count = state.params.len();
    let (mut gradient, mut integers) = (vec![0f32; count], vec![0i64; count]);
    let (mut losses, mut curve) = (Vec::new(), Vec::new());
    let (mut times, mut compute, mut quantize, mut apply) = (vec![], vec![], vec![], vec![]);
    let mut first_step = 0.0;
    for step in 1..=steps {
        let batch = batch(rows, length, step as u64);
        let start = Instant::now();
        trainer.micro_batch(&batch, &mut gradient, &mut losses)?;
        let computed = start.elapsed().as_secs_f64();
        let _ = numerics::quantize_into(&gradient, 1, &mut integers);
        let (loss, _) = numerics::quantize_losses(&losses);
        let _ = numerics::fingerprint(&integers, 0);
        let quantized = start.elapsed().as_secs_f64();
        let norm = numerics::grad_norm(&integers);
        let mut next = AdapterState::default();
        let update = Update {
            grad_norm: norm,
            max_grad_norm: 1.0,
            learning_rate: 1e-3,
            adamw: AdamW {
                weight_decay: 0.01,
                ..AdamW::default()
            },
            groups: &[],
        };
        numerics::apply(&state, &mut next, &integers, &update);
        state = next;
        trainer.set_adapter(&state.params)?;
        let whole = start.elapsed().as_secs_f64();
        curve.push(numerics::loss_value(loss, batch.step_loss_units));
        times.push(whole);
        compute.push(computed);
        quantize.push(quantized - computed);
        apply.push(whole - quantized);
        if step == 1 {
            first_step = started.elapsed().as_secs_f64();
        }
    }
    let report = serde_json::json!({
        "steps": times, "forward_backward": compute, "quantize": quantize, "apply": apply,
        "tokens": rows * length, "losses": curve, "first_step": first_step, "peak_mb": peak_mb(),
        "state_digest": numerics::state_digest(&AdapterState { step: Step(0), ..state }),
    });
    println!("{report}");
    Ok(())
}

/// Rows of an integer recipe: every token but the first is learned.
fn batch(rows: usize, length: usize, step: u64) -> MicroBatch {
    let token = |index: u64| {
        let x = (step * 1_000_003 + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((x >> 33) % VOCABULARY) as i64
    };
    let tokens: Vec<i64> = (0..(rows * length) as u64).map(token).collect();
    MicroBatch {
        segments: (0u32..)
            .zip(std::iter::repeat_n(length, rows))
            .map(|(position, length)| Segment { position, length })
            .collect(),
        labels: tokens.clone(),
        tokens,
        step,
        step_loss_units: (rows * (length - 1)) as u64,
        loss_scale: 1.0,
    }
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
