//! The largest micro-batches of the run, computed once before the worker takes part.
//!
//! In: the plan, the dataset, the loaded trainer. Out: what each took, the first evidence of how long a micro-batch may
//! take here; whether activations are computed again, or that memory does not suffice, told before step 1 instead of in
//! the middle of the run.
//! Keeps: what is computed is thrown away; no state, no random stream and no byte of the adapter
//! changes. Not here: which micro-batches are the largest (see `shared::plan`).

use std::time::Instant;

use shared::config::{Checkpointing, Precision, RunConfig};
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::numerics::LossScale;
use shared::plan::{Largest, Plan};
use shared::wire::message::Rehearsal;

use super::collate::{MicroBatch, collated};
use super::forward_backward::Trainer;
use crate::device::{DevicePeak, available_memory};

/// Bytes of the states per parameter of the adapter, beside the device's memory: parameters and two moments, once
/// committed and once as a shadow.
const STATE_BYTES: usize = 2 * 3 * 4;
/// Bytes of one vector of integers per parameter of the adapter.
const INTEGER_BYTES: usize = 8;

/// Computes the largest micro-batches of the run, and forgets them; returns what each took, as it is computed from then
/// on.
///
/// # Errors
/// [`Code::OutOfMemory`] naming the micro-batch and what would make it smaller; libtorch's.
pub(super) fn rehearse(
    plan: &Plan,
    dataset: &PreparedDataset,
    config: &RunConfig,
    trainer: &mut Trainer,
    gradient: &mut [f32],
) -> Result<Vec<Rehearsal>> {
    let largest = plan.largest();
    let mut took = Vec::with_capacity(largest.len());
    let Some(first) = largest.first() else {
        return Ok(took);
    };
    let integers = plan.integer_vectors(config.audit_rate > 0.0);
    let state = room_for_the_state(gradient.len(), integers)
        .map_err(|e| too_large(e, first, Knobs::of(config)))?;
    let mut losses = Vec::new();
    let may_change = settle(config.activation_checkpointing, trainer);
    let loss_scale = config.first_loss_scale().map(LossScale::new);
    let loss_scale = loss_scale.map_or(1.0, |scale| scale.factor());
    for one in &largest {
        let targets = plan.step(one.step).loss_units;
        let batch = collated(dataset, &one.planned, one.step, targets, loss_scale)?;
        if may_change && trainer.is_on_cpu() {
            decide_on_cpu(trainer, &batch)?;
        }
        let mut started = Instant::now();
        let mut tried = trainer.micro_batch(&batch, gradient, &mut losses);
        let again = may_change && !trainer.recomputes_activations();
        if again && tried.as_ref().is_err_and(|e| e.code == Code::OutOfMemory) {
            tracing::warn!("activations do not fit beside the model: they are computed again");
            trainer.recompute_activations(true);
            started = Instant::now();
            tried = trainer.micro_batch(&batch, gradient, &mut losses);
        }
        tried.map_err(|e| too_large(e, one, Knobs::of(config)))?;
        took.push(Rehearsal {
            tokens: one.planned.computed_tokens(),
            compute_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        });
        tracing::info!("tried before step 1, and it fits: {}", described(one));
    }
    if let Some(DevicePeak { in_use, reserved }) = trainer.device_peak()? {
        let [in_use, reserved] = [in_use, reserved].map(|bytes| bytes >> 20);
        tracing::info!(
            "the GPU's memory: {in_use} MiB in use at most so far, {reserved} MiB taken from its driver \
             beside context and libraries"
        );
    }
    drop(std::hint::black_box(state));
    Ok(took)
}

/// Does what the configuration says; whether it is left to the machine.
fn settle(said: Checkpointing, trainer: &mut Trainer) -> bool {
    trainer.recompute_activations(said == Checkpointing::On);
    said == Checkpointing::Auto
}

/// Too much on the CPU is no error but the end of the process, so it is measured first: activations
/// that would take over half of what is left are computed again.
fn decide_on_cpu(trainer: &mut Trainer, batch: &MicroBatch) -> Result<()> {
    let Some(left) = available_memory().filter(|_| !trainer.recomputes_activations()) else {
        return Ok(());
    };
    let kept = trainer.keeps(batch)?;
    if kept > left / 2 {
        tracing::warn!(
            "activations would take {kept} bytes of the {left} that are left: they are computed again"
        );
        trainer.recompute_activations(true);
    }
    Ok(())
}

/// Memory that the state will need; written to, so that it is really there.
fn room_for_the_state(parameters: usize, integers: usize) -> Result<Vec<u8>> {
    let bytes = parameters.saturating_mul(STATE_BYTES + integers * INTEGER_BYTES);
    let mut room = Vec::new();
    room.try_reserve_exact(bytes).map_err(|e| {
        let what = format!("no {bytes} bytes for the state of {parameters} parameters");
        Error::new(Code::OutOfMemory, what).why(e.to_string())
    })?;
    room.resize(bytes, 1);
    Ok(room)
}

fn described(one: &Largest) -> String {
    let samples = one.planned.samples.len();
    format!(
        "micro-batch {} of step {} ({samples} sample(s), {} tokens with padding, {} of them predicted)",
        one.micro_batch,
        one.step,
        one.planned.computed_tokens(),
        one.loss_units,
    )
}

/// What decides how much memory a micro-batch takes.
#[derive(Clone, Copy)]
struct Knobs {
    size: u32,
    checkpointing: Checkpointing,
    precision: Precision,
}

impl Knobs {
    fn of(config: &RunConfig) -> Self {
        Self {
            size: config.micro_batch_size,
            checkpointing: config.activation_checkpointing,
            precision: config.precision,
        }
    }
}

/// Says which micro-batch it was, and what would make it smaller; other failures stay as they are.
fn too_large(error: Error, one: &Largest, knobs: Knobs) -> Error {
    if error.code != Code::OutOfMemory {
        return error;
    }
    let what = "the largest micro-batch of the run does not fit in memory";
    let mut told = Error::new(Code::OutOfMemory, what)
        .why(described(one))
        .why(error.what);
    told.why.extend(error.why);
    told = told.why("it was tried before step 1: nothing is trained yet on this worker");
    if knobs.checkpointing == Checkpointing::Off {
        told = told.fix("--set activation_checkpointing=on: slower, the same adapter");
    }
    if knobs.size > 1 {
        told = told.fix(format!(
            "--set micro_batch_size={}: fewer samples at a time, the same samples in a step",
            knobs.size / 2
        ));
    }
    let longest = one.planned.cells.iter().max().copied().unwrap_or(0);
    if longest >= 4 {
        told = told.fix(format!(
            "--set max_seq_length={}: `overflow` says what happens to longer rows",
            longest / 2
        ));
    }
    if knobs.precision == Precision::F32 {
        told = told.fix("--set bf16=true");
    }
    told
}

#[cfg(test)]
mod tests {
    use shared::ids::{MicroBatchId, Step};
    use shared::plan::MicroBatchPlan;

    use super::*;

    #[test]
    fn only_what_does_not_fit_is_told_anew() {
        let one = Largest {
            step: Step(7),
            micro_batch: MicroBatchId(2),
            loss_units: 900,
            planned: MicroBatchPlan {
                samples: vec![4, 5, 6, 7],
                positions: vec![8, 9, 10, 11],
                cells: vec![512; 4],
                tokens: 1300,
            },
        };
        let memory = Error::new(
            Code::OutOfMemory,
            "not enough memory: computing a micro-batch",
        )
        .why("you tried to allocate 1 bytes");
        let most = Knobs {
            size: 4,
            checkpointing: Checkpointing::Off,
            precision: Precision::F32,
        };
        insta::assert_snapshot!(shared::error::render(&too_large(memory.clone(), &one, most)), @r#"
        E0402 the largest micro-batch of the run does not fit in memory
          micro-batch 2 of step 7 (4 sample(s), 2048 tokens with padding, 900 of them predicted)
          not enough memory: computing a micro-batch
          you tried to allocate 1 bytes
          it was tried before step 1: nothing is trained yet on this worker
          fix: --set activation_checkpointing=on: slower, the same adapter
          fix: --set micro_batch_size=2: fewer samples at a time, the same samples in a step
          fix: --set max_seq_length=256: `overflow` says what happens to longer rows
          fix: --set bf16=true
        "#);
        let least = Knobs {
            size: 1,
            checkpointing: Checkpointing::Auto,
            precision: Precision::Bf16,
        };
        let fix = too_large(memory, &one, least).fix;
        assert_eq!(fix.len(), 1, "{fix:?}");
        assert!(fix[0].contains("max_seq_length=256"), "{fix:?}");
        let other = Error::new(Code::Internal, "libtorch failed");
        assert_eq!(too_large(other.clone(), &one, most), other);
    }
}
