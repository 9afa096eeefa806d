//! A run against its golden case, with the limits.

use std::fmt;

use sha2::{Digest, Sha256};
use shared::config::Quantization;

use super::case::Case;
use super::training::Run;

/// What a run may differ by.
pub struct Limits {
    pub first_loss: f64,
    pub loss: f64,
    /// Relative.
    pub grad_norm: f64,
    /// Of the size of the adapter's update.
    pub adapter: f64,
    pub logits: f32,
}

// About ten times what this loop shows; a planted error of 1e-3 is far outside.
const F32: Limits = Limits {
    first_loss: 1e-5,
    loss: 2e-5,
    grad_norm: 1e-5,
    adapter: 1e-4,
    logits: 1e-4,
};

/// Both sides round, at places that need not be the same: the loss is what is promised, the others
/// are there to be seen.
const HALF: Limits = Limits {
    first_loss: 2e-2,
    loss: 2e-2,
    grad_norm: f64::INFINITY,
    adapter: f64::INFINITY,
    logits: f32::INFINITY,
};

/// While it trains on a CPU, bitsandbytes multiplies inputs as they are; where nothing learns, as in the
/// logits that are compared, in eight bits. Ours stay as they are.
const INT8: Limits = Limits { logits: 0.1, ..F32 };

/// The limits of a case, by its type of compute.
pub fn limits(case: &Case) -> &'static Limits {
    if case.golden.quantization == Quantization::Int8 {
        return &INT8;
    }
    if case.golden.precision == "f32" {
        &F32
    } else {
        &HALF
    }
}

/// The largest differences found.
pub struct Differences {
    first_loss: f64,
    loss: f64,
    grad_norm: f64,
    adapter: f64,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "loss {:.1e} then {:.1e}, grad norm {:.1e}, adapter {:.1e}",
            self.first_loss, self.loss, self.grad_norm, self.adapter
        )
    }
}

/// Compares every step and the last adapter.
pub fn compare(case: &Case, run: &Run) -> Result<Differences, String> {
    let golden = &case.golden;
    let limits = limits(case);
    if run.steps.len() as u64 != golden.total_steps {
        return Err(format!(
            "{} steps, expected {}",
            run.steps.len(),
            golden.total_steps
        ));
    }
    let mut found = Differences {
        first_loss: 0.0,
        loss: 0.0,
        grad_norm: 0.0,
        adapter: 0.0,
    };
    for (ours, theirs) in run.steps.iter().zip(&golden.log_history) {
        let step = theirs.step;
        if ours.step != step || (ours.epoch - theirs.epoch).abs() > 1e-12 {
            return Err(format!(
                "step {step}: epoch {} against {}",
                ours.epoch, theirs.epoch
            ));
        }
        let rate = (ours.learning_rate - theirs.learning_rate).abs();
        if rate > 1e-12 * theirs.learning_rate.abs() {
            return Err(format!(
                "step {step}: learning rate {} against {}",
                ours.learning_rate, theirs.learning_rate
            ));
        }
        let loss = (ours.loss - theirs.loss).abs();
        if step == 1 {
            found.first_loss = loss;
        }
        found.loss = found.loss.max(loss);
        let norm = (ours.grad_norm - theirs.grad_norm).abs() / theirs.grad_norm;
        found.grad_norm = found.grad_norm.max(norm);
        if loss
            > if step == 1 {
                limits.first_loss
            } else {
                limits.loss
            }
        {
            return Err(format!(
                "step {step}: loss {} against {}",
                ours.loss, theirs.loss
            ));
        }
        if norm > limits.grad_norm {
            return Err(format!(
                "step {step}: grad norm {} against {}",
                ours.grad_norm, theirs.grad_norm
            ));
        }
    }
    let expected = decode(&golden.final_adapter);
    if expected.len() != run.state.params.len() {
        return Err("the last adapter has another length".into());
    }
    found.adapter = match &golden.initial_adapter {
        None => norm(run.state.params.iter().zip(&expected)),
        // Of the updates: the first adapters' own difference has its own bound.
        Some(first) => {
            let first = decode(first);
            let updates = |last: &[f32], first: &[f32]| -> Vec<f32> {
                last.iter().zip(first).map(|(a, b)| a - b).collect()
            };
            let ours = updates(&run.state.params, &run.initial);
            norm(ours.iter().zip(&updates(&expected, &first)))
        }
    } / golden.update_norm;
    let update = norm(run.state.params.iter().zip(&run.initial));
    if found.adapter > limits.adapter {
        return Err(format!(
            "the last adapter differs by {:e} of its update",
            found.adapter
        ));
    }
    if (update - golden.update_norm).abs() > limits.adapter * golden.update_norm {
        return Err(format!(
            "the update's size is {update} against {}",
            golden.update_norm
        ));
    }
    Ok(found)
}

/// How far a first adapter is from the reference's, of its own size.
pub fn distance(ours: &[f32], reference: &str) -> f64 {
    let reference = decode(reference);
    assert_eq!(ours.len(), reference.len());
    let size = norm(reference.iter().zip(&vec![0.0; reference.len()]));
    norm(ours.iter().zip(&reference)) / size
}

/// The L2 norm of a difference.
fn norm<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    pairs
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum::<f64>()
        .sqrt()
}

/// The largest difference between expected values and the first of the found.
pub fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// sha256 over the little-endian bytes of an adapter.
pub fn adapter_digest(values: &[f32]) -> String {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Little-endian f32 values in base64.
fn decode(text: &str) -> Vec<f32> {
    let bytes = base64(text);
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

/// The bytes of a text in base64.
pub fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len());
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group.iter().fold(0, |bits, &c| bits << 6 | digit(c)) << (6 * (4 - group.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
