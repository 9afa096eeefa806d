//! What a run will compute, store, send, need and take, before any weight is read.
//!
//! `counts` steps, tokens and padding · `memory` of a worker · `gradients` of the trained tensors · `weights`
//! as a worker holds them · `files` bytes on disk · `wire` bytes between workers · `descriptors` open files · `serving`
//! which serving engines load the adapter · `pace` time · `advice` on rank, rate, targets and workers · `page` the text
//! for people.
//! In: the configuration, the base model's shape, the plan and the samples' lengths. Out: [`Estimate`]. Keeps: pure
//! arithmetic; no file is read here and nothing is guessed: a figure that is not known is marked as such, with the
//! reason.

pub mod advice;
pub mod counts;
pub mod descriptors;
pub mod files;
pub mod gpu;
mod gradients;
pub mod memory;
pub mod pace;
mod page;
pub mod serving;
pub mod weights;
pub mod wire;

use serde::Serialize;
use serde_json::{Value, json};
use shared::config::{QuantizationConfig, RunConfig};
use shared::model::{AdapterShape, ModelConfig, expected_tensors};
use shared::plan::Plan;

use advice::{Advice, Facts};
pub use counts::{Counts, Samples, Size};
use descriptors::Descriptors;
use gpu::Gpu;
use memory::{Memory, MemoryInputs};
use pace::{Measured, Time};
use serving::ServingEngine;

/// Bytes of the JSON files of a checkpoint that do not grow: configuration, manifest and the frame of
/// trainer_state.json, rounded up.
const JSON_BYTES: u64 = 6 * 1024;
/// Bytes of one entry of `log_history`.
const LOG_ENTRY_BYTES: u64 = 220;

/// Everything that an estimate is computed from.
pub struct Subject<'a> {
    /// The configuration file as it was named.
    pub file: String,
    /// The run's configuration, resolved.
    pub config: &'a RunConfig,
    /// Shape of the base model.
    pub shape: &'a ModelConfig,
    /// Shapes of the tensors that are trained.
    pub adapter: &'a AdapterShape,
    /// Bytes of a value in the weight files, as `config.json` names their type.
    pub stored_value_bytes: u64,
    /// Quantization of the linears in the weight files.
    pub stored_quantization: QuantizationConfig,
    /// Every step of the run, with its micro-batches.
    pub plan: &'a Plan,
    /// Length and target tokens of each prepared sample.
    pub samples: &'a Samples,
    /// Number of workers that the estimate assumes.
    pub workers: u64,
    /// Files that a process of this machine can have open, where it says so.
    pub open_files: Option<u64>,
    /// Computed tokens per second of one worker, where `--rate` gives it.
    pub rate: Option<f64>,
    /// The rate that an earlier run in `output_dir` measured, or why there is none.
    pub earlier: Result<Measured, String>,
}

/// Numbers of parameters, and the share that is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameters {
    /// Parameters of the base model; all of them are frozen.
    pub base: u64,
    /// Parameters of the adapter; all of them are trained.
    pub trainable: u64,
    /// `trainable / (base + trainable)`.
    pub share: f64,
    /// Number of linears with an adapter of their own.
    pub adapted_linears: u64,
}

/// Bytes of a run's files on disk.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disk {
    /// Bytes of `adapter_model.safetensors`, exact.
    pub adapter: u64,
    /// Bytes of a checkpoint's `optimizer.safetensors`, exact.
    pub optimizer: u64,
    /// Bytes of a whole checkpoint folder, about: its JSON files grow with the steps.
    pub checkpoint: u64,
    /// Number of checkpoints in `output_dir` at the end.
    pub checkpoints: u64,
}

/// Bytes of gradients between workers in one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wire {
    /// Number of workers in the reduce.
    pub workers: u64,
    /// Most bytes that one worker sends; each receives as many as it sends.
    pub sent_per_worker: u64,
    /// Bytes that all workers send together.
    pub sent_by_all: u64,
}

/// Everything that `coordinator plan` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The configuration file as it was named.
    pub file: String,
    /// Steps, samples, tokens and padding.
    pub counts: Counts,
    /// Numbers of parameters, frozen and trained.
    pub parameters: Parameters,
    /// Bytes of the run's files on disk.
    pub disk: Disk,
    /// Bytes between workers in one step.
    pub wire: Wire,
    /// Open files that each process needs.
    pub descriptors: Descriptors,
    /// Main memory of one worker on the CPU, in bytes.
    pub memory: Memory,
    /// Memory of the card of a worker on a GPU, in bytes.
    pub gpu: Gpu,
    /// Whether each serving engine loads the adapter.
    pub engines: Vec<ServingEngine>,
    /// Time of the whole run, or why it is not known.
    pub time: Time,
    /// Advice on the configuration, each piece with its evidence.
    pub advice: Vec<Advice>,
}

impl Estimate {
    /// Computes every figure of the estimate.
    #[must_use]
    pub fn new(subject: &Subject<'_>) -> Self {
        let config = subject.config;
        let (counts, sizes) = counts::count(subject.plan, subject.samples, subject.workers);
        let sizes: Vec<Size> = sizes.into_iter().collect();
        let parameters = parameters(subject);
        let facts = Facts {
            samples: counts.samples,
            seen: counts.samples_seen,
            padding_share: counts.padding_share,
            workers: subject.workers,
            busy: counts.micro_batches_per_step,
        };
        let inputs = MemoryInputs {
            shape: subject.shape,
            adapter: subject.adapter,
            config,
            base: parameters.base,
            stored_value_bytes: subject.stored_value_bytes,
            stored_quantization: subject.stored_quantization,
            samples: counts.samples,
            tokens: counts.dataset_tokens,
            longest: counts.longest,
            integer_vectors: subject.plan.integer_vectors(config.audit_rate > 0.0) as u64,
        };
        let time = match (subject.rate, &subject.earlier) {
            (Some(rate), _) => pace::given(rate, &counts),
            (None, Ok(measured)) => pace::as_before(measured, &counts),
            (None, Err(why)) => pace::unknown(why),
        };
        let descriptors = Descriptors::new(subject.workers, subject.open_files);
        let mut advice = advice::advice(config, &facts);
        advice.extend(descriptors.advice(subject.workers));
        Self {
            file: subject.file.clone(),
            disk: disk(subject, counts.steps),
            wire: Wire {
                workers: subject.workers,
                sent_per_worker: wire::sent_per_step(parameters.trainable, subject.workers),
                sent_by_all: wire::sent_by_all(parameters.trainable, subject.workers),
            },
            memory: memory::memory(&inputs, &sizes),
            gpu: gpu::gpu(&inputs, &sizes),
            engines: serving::engines(config),
            descriptors,
            advice,
            parameters,
            counts,
            time,
        }
    }

    /// The estimate as one JSON object with `event: plan`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = json!(self);
        value["event"] = json!("plan");
        value
    }
}

fn parameters(subject: &Subject<'_>) -> Parameters {
    let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    let base = expected_tensors(subject.shape);
    let base = base.iter().map(|(_, shape)| elements(shape)).sum();
    let trainable = subject.adapter.elements();
    Parameters {
        base,
        trainable,
        share: trainable as f64 / (base + trainable) as f64,
        adapted_linears: subject.adapter.adapted.len() as u64,
    }
}

fn disk(subject: &Subject<'_>, steps: u64) -> Disk {
    let config = subject.config;
    let tensors = subject.adapter.expected();
    let (adapter, optimizer) = (
        files::adapter_bytes(&tensors),
        files::optimizer_bytes(&tensors, config.precision),
    );
    let entries = steps / config.logging_steps.max(1);
    let written = steps.div_ceil(config.save_steps.max(1));
    let kept = config.save_total_limit.map_or(u64::MAX, u64::from);
    Disk {
        adapter,
        optimizer,
        checkpoint: adapter + optimizer + JSON_BYTES + entries * LOG_ENTRY_BYTES,
        checkpoints: written.min(kept.max(1)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
pub(crate) mod tests;
