//! The device thread: the only place that touches tensors during a run.
//!
//! In: jobs in order. Out: outcomes: the loaded run, the first adapter, integers of micro-batches.
//! Keeps: a micro-batch is computed on the committed state of the step before, or not at all. A
//! device that is slow or hangs holds up nothing but its own micro-batches, and which of the two it is, the counters
//! of what it has finished tell: they grow while it loads, rehearses and computes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use rayon::ThreadPool;
use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::faults::{Effect, Faults};
use shared::ids::{Identity, MicroBatchId, Step};
use shared::numerics::{self, Fingerprint};
use shared::objective::{NextToken, Objective};
use shared::plan::{Plan, StepPlan};
use shared::wire::message::{Computed, Loaded, Task, Welcome};

use super::collate::collated;
use super::evaluate::Evaluation;
use super::forward_backward::Trainer;
pub use super::loaded_run::LoadedRun;
use super::rehearse::rehearse;
use super::state_thread::{CommittedState, committed};
use super::sums::{BufferPool, Extra};
use super::threads;
use crate::device::{self, Device};
use crate::progress::Counters;

/// Jobs waiting at most: the coordinator gives few at a time.
const QUEUE: usize = 1024;

/// What the thread is asked to do.
#[derive(Debug)]
pub enum DeviceJob {
    /// Verify and load the base model and the dataset.
    Load(Box<LoadJob>),
    /// Draw the first adapter.
    Initial,
    /// Compute micro-batches of a step.
    Compute(Identity, Task, Vec<MicroBatchId>),
}

/// What loading a run needs.
#[derive(Debug)]
pub struct LoadJob {
    /// Everything that the coordinator says about the run.
    pub welcome: Welcome,
    /// Folder of the base model on this machine, when not where the coordinator says.
    pub base_model: Option<PathBuf>,
    /// The device asked for on the command line.
    pub device: Option<String>,
    /// Threads for tensor work and for the host's share of a step.
    pub threads: usize,
}

/// What came of a job.
#[derive(Debug)]
pub enum DeviceOutcome {
    /// The base model is in memory.
    Loaded(Loaded, LoadedRun),
    /// The adapter before step 1, flat and in canonical order.
    Initial(Vec<f32>),
    /// A micro-batch is computed; without integers where only their fingerprint was wanted.
    Computed(Identity, Computed, Option<Vec<i64>>),
    /// Micro-batches that were withdrawn before they were begun, or are of a step that is over.
    Skipped(Step, Task, Vec<MicroBatchId>),
    /// This worker cannot go on.
    Broken(Error),
}

/// Micro-batches that the device thread need not begin any more, shared with the session.
#[derive(Clone, Debug, Default)]
pub struct Withdrawn(Arc<Mutex<BTreeSet<(Step, Task, MicroBatchId)>>>);

impl Withdrawn {
    /// Marks micro-batches as not wanted any more, and forgets marks of earlier steps.
    pub fn add(&self, step: Step, task: Task, micro_batches: &[MicroBatchId]) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.retain(|(of, _, _)| *of >= step);
        set.extend(micro_batches.iter().map(|id| (step, task, *id)));
    }

    /// Whether a micro-batch is not wanted any more; its mark is forgotten by being asked for.
    fn take(&self, step: Step, task: Task, micro_batch: MicroBatchId) -> bool {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.remove(&(step, task, micro_batch))
    }
}

/// Starts the thread; it ends when the sender is dropped.
///
/// # Errors
/// [`Code::Io`] when no thread can be made.
pub fn spawn(
    state: CommittedState,
    withdrawn: Withdrawn,
    faults: Faults,
    progress: Counters,
    outcomes: tokio::sync::mpsc::Sender<DeviceOutcome>,
) -> Result<mpsc::SyncSender<DeviceJob>> {
    let (sender, jobs) = mpsc::sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("device".into())
        .spawn(move || {
            let mut thread = DeviceThread {
                state,
                withdrawn,
                faults,
                progress,
                outcomes,
                loaded: None,
            };
            for job in jobs {
                if let Err(error) = thread.run(job) {
                    thread.report(DeviceOutcome::Broken(error));
                    return;
                }
            }
        })
        .map_err(|e| Error::new(Code::Io, "no device thread").why(e.to_string()))?;
    Ok(sender)
}

struct DeviceThread {
    state: CommittedState,
    withdrawn: Withdrawn,
    faults: Faults,
    progress: Counters,
    outcomes: tokio::sync::mpsc::Sender<DeviceOutcome>,
    loaded: Option<OnDevice>,
}

struct OnDevice {
    dataset: Arc<PreparedDataset>,
    evaluation: Evaluation,
    plan: Arc<Plan>,
    trainer: Trainer,
    pool: BufferPool,
    /// Version of the published state that the adapter's tensors hold.
    holds: Option<u64>,
    step_plan: Option<StepPlan>,
    gradient: Vec<f32>,
    losses: Vec<f32>,
    /// Threads that make integers and fingerprints of gradients on the host.
    host: ThreadPool,
}

impl DeviceThread {
    fn report(&self, outcome: DeviceOutcome) {
        // A closed channel means that the session is over: nobody wants the outcome.
        let _ = self.outcomes.blocking_send(outcome);
    }

    fn run(&mut self, job: DeviceJob) -> Result<()> {
        if let DeviceJob::Load(load) = job {
            let (loaded, run, on_device) = load_run(*load, &self.progress)?;
            self.loaded = Some(on_device);
            self.report(DeviceOutcome::Loaded(loaded, run));
            return Ok(());
        }
        let Some(run) = self.loaded.as_mut() else {
            return Err(Error::new(
                Code::Internal,
                "an order came before the model was loaded",
            ));
        };
        match job {
            DeviceJob::Load(_) => {}
            DeviceJob::Initial => {
                let first = run.trainer.initial_adapter()?;
                self.report(DeviceOutcome::Initial(first));
            }
            DeviceJob::Compute(identity, task, micro_batches) => {
                for micro_batch in micro_batches {
                    self.compute(&identity, task, micro_batch)?;
                }
            }
        }
        Ok(())
    }

    fn compute(&mut self, identity: &Identity, task: Task, id: MicroBatchId) -> Result<()> {
        let step = identity.step;
        let _ = self.faults.hold("assignment", step, Default::default());
        let Some(run) = self.loaded.as_mut() else {
            return Ok(());
        };
        let current = committed(&self.state).filter(|p| p.state.step.next() == step);
        let wanted = !self.withdrawn.take(step, task, id);
        let (Some(published), true) = (current, wanted) else {
            self.report(DeviceOutcome::Skipped(step, task, vec![id]));
            return Ok(());
        };
        if run.holds != Some(published.version) {
            run.trainer.set_adapter(&published.state.params)?;
            run.holds = Some(published.version);
        }
        let loss_scale = published.state.loss_factor();
        // The state is held no longer than needed: its memory serves a later step.
        drop(published);
        let started = Instant::now();
        let (mut computed, mut integers) = run.compute(step, id, task, loss_scale)?;
        let goes_on = || self.progress.device(1);
        let struck = self
            .faults
            .hold_telling("compute", step, started.elapsed(), goes_on);
        if struck == Some(Effect::Flip) {
            integers[0] ^= 1 << 20;
            computed.fingerprint = numerics::fingerprint(&integers, 0).0;
        }
        computed.compute_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let integers = match task {
            Task::Train | Task::Evaluate => Some(integers),
            Task::Audit => {
                run.pool.put(integers);
                None
            }
        };
        self.report(DeviceOutcome::Computed(
            identity.clone(),
            computed,
            integers,
        ));
        Ok(())
    }
}

impl OnDevice {
    fn step_plan(&mut self, step: Step) -> &StepPlan {
        if self.step_plan.as_ref().is_some_and(|p| p.step != step) {
            self.step_plan = None;
        }
        self.step_plan.get_or_insert_with(|| self.plan.step(step))
    }

    fn compute(
        &mut self,
        step: Step,
        id: MicroBatchId,
        task: Task,
        loss_scale: f32,
    ) -> Result<(Computed, Vec<i64>)> {
        if task == Task::Evaluate {
            let integers = self.evaluation.compute(&self.trainer, step, id)?;
            let Fingerprint(fingerprint) = numerics::fingerprint(&integers, 0);
            let computed = Computed {
                micro_batch: id,
                fingerprint,
                compute_us: 0,
                task,
            };
            return Ok((computed, integers));
        }
        let unknown = || {
            Error::new(
                Code::Internal,
                format!("step {step} has no micro-batch {id}"),
            )
        };
        let plan = self.step_plan(step);
        let count = u32::try_from(plan.micro_batches.len()).map_err(|_| unknown())?;
        let index = usize::try_from(id.0).map_err(|_| unknown())?;
        let planned = plan.micro_batches.get(index).ok_or_else(unknown)?.clone();
        let targets = plan.loss_units;
        let batch = collated(&self.dataset, &planned, step, targets, loss_scale)?;
        self.trainer
            .micro_batch(&batch, &mut self.gradient, &mut self.losses)?;
        let mut integers = self.pool.take();
        let (gradient, losses) = (&self.gradient, &self.losses);
        let Fingerprint(fingerprint) = self.host.install(|| {
            as_integers(gradient, losses, count, &mut integers);
            numerics::fingerprint(&integers, 0)
        });
        let computed = Computed {
            micro_batch: id,
            fingerprint,
            compute_us: 0,
            task,
        };
        Ok((computed, integers))
    }
}

/// Writes the integers of one of `count` micro-batches: its gradient at 2^44, and the extras behind it.
fn as_integers(gradient: &[f32], losses: &[f32], count: u32, integers: &mut [i64]) {
    let (quantized, extras) = integers.split_at_mut(gradient.len());
    let overflow = numerics::quantize_into(gradient, count, quantized);
    let (loss, loss_overflow) = numerics::quantize_losses(losses);
    let loss_too_large = loss.unsigned_abs() >= (1 << 63) / u64::from(count);
    let overflow = overflow.0 || loss_overflow || loss_too_large;
    extras[Extra::Loss as usize] = loss;
    extras[Extra::LossUnits as usize] = i64::try_from(losses.len()).unwrap_or(-1);
    extras[Extra::Overflows as usize] = i64::from(overflow);
    extras[Extra::MicroBatches as usize] = 1;
}

/// The configuration's device binds; the command line may say which one of that kind.
fn requested_device<'a>(bound: &'a str, asked: Option<&'a str>) -> &'a str {
    let asked = asked.filter(|a| !a.is_empty() && *a != "auto");
    match (bound, asked) {
        ("auto", asked) => asked.unwrap_or("auto"),
        ("cuda", Some(asked)) => asked,
        _ => bound,
    }
}

fn load_run(load: LoadJob, progress: &Counters) -> Result<(Loaded, LoadedRun, OnDevice)> {
    let welcome = load.welcome;
    let config: RunConfig = serde_json::from_str(&welcome.config_json).map_err(|e| {
        Error::new(
            Code::VersionMismatch,
            "the coordinator's configuration is not understood",
        )
        .why(e.to_string())
        .fix("run coordinator and worker of the same version")
    })?;
    let request = requested_device(&config.device, load.device.as_deref());
    let device = device::open(request.parse()?, load.threads)?;
    let base = load.base_model.unwrap_or_else(|| config.base_model.clone());
    let host = threads::pool("host", load.threads)?;
    let told = || progress.device(1);
    let base_digest = host.install(|| shared::model::base_digest_told(&base, told))?;
    if base_digest != welcome.base_digest {
        return Err(Error::new(
            Code::BaseModelDiffers,
            "this worker's base model differs from the coordinator's",
        )
        .in_file(&base)
        .why(format!("here {base_digest}, there {}", welcome.base_digest))
        .fix("copy the coordinator's folder here, or name the right one with --base-model DIR"));
    }
    let dataset = PreparedDataset::open(std::path::Path::new(&welcome.dataset_path))?;
    let dataset = Arc::new(dataset);
    let plan = Plan::new(&config, NextToken.units_of(&dataset), dataset.lengths());
    let plan = Arc::new(plan);
    let evaluation = Evaluation::open(
        &config,
        &plan,
        &welcome.evaluation_sets,
        &welcome.prompts,
        (&welcome.dataset_path, &dataset),
    )?;
    progress.device(1);
    let mut trainer = Trainer::load_counted(&config, &base, device, progress)?;
    let parameters = trainer.layout().len();
    let mut gradient = vec![0.0; parameters];
    let rehearsals = rehearse(&plan, &dataset, &config, &mut trainer, &mut gradient)?;
    let loaded = Loaded {
        base_digest,
        device_class: device::device_class(device)?,
        device: match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        },
        rehearsals,
    };
    let pool = BufferPool::new(parameters);
    let run = LoadedRun {
        config: Arc::new(config),
        layout: Arc::new(trainer.layout().clone()),
        pissa_initial: trainer.pissa_initial().cloned(),
        plan: Arc::clone(&plan),
        evaluation: Arc::clone(evaluation.plan()),
        pool: pool.clone(),
    };
    let on_device = OnDevice {
        dataset,
        evaluation,
        plan,
        trainer,
        pool,
        holds: None,
        step_plan: None,
        gradient,
        losses: Vec::new(),
        host,
    };
    Ok((loaded, run, on_device))
}
