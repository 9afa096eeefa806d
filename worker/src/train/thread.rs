//! The compute thread: the only place that touches tensors during a run.
//!
//! In: jobs in order. Out: outcomes. Between them the second half of a sample's walk: collate,
//! forward and backward, quantize, (the session reduces), clip, apply, commit.
//! Keeps: the committed state changes only by a commit; until then the next state is a shadow.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::ids::{Identity, MicroBatchId, Step};
use shared::numerics::{self, AdamW, AdapterState, Fingerprint};
use shared::plan::{Plan, StepPlan};
use shared::wire::message::{Applied, Computed, Loaded, Welcome};

use super::collate::collate;
use super::forward_backward::Trainer;
use super::sums::{EXTRAS, Extra, Sums};
use crate::adapter::AdapterLayout;
use crate::checkpoint;
use crate::device::{self, Device};

/// Jobs waiting at most: the coordinator gives few at a time.
const QUEUE: usize = 256;

/// From so many elements on clip and optimizer are worth more than one thread.
const WORTH_THREADS: usize = 1 << 20;

/// The committed state, shared with whoever serves or writes it.
pub type CommittedState = Arc<Mutex<Option<Arc<AdapterState>>>>;

/// Reads the committed state.
#[must_use]
pub fn committed(state: &CommittedState) -> Option<Arc<AdapterState>> {
    state.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What the thread is asked to do.
#[derive(Debug)]
pub enum Job {
    /// Verify and load the base model and the dataset.
    Load(Box<LoadJob>),
    /// The state before step 1.
    Initial,
    /// A state from elsewhere.
    Restore(Box<AdapterState>),
    /// A checkpoint folder.
    RestoreFrom(PathBuf),
    /// Compute micro-batches of a step.
    Compute(Identity, Vec<MicroBatchId>),
    /// Move micro-batches into the sum.
    Credit(Vec<MicroBatchId>),
    /// Hand out the sum.
    Sum(Identity),
    /// Clip and apply the total to the shadow copy.
    Apply(Identity, Vec<i64>),
    /// The shadow copy becomes the state.
    Commit(Step),
    /// Says when everything before it is done.
    Fence(tokio::sync::oneshot::Sender<()>),
}

/// What loading needs.
#[derive(Debug)]
pub struct LoadJob {
    /// What the coordinator said.
    pub welcome: Welcome,
    /// Where the base model lies here, when not where the coordinator says.
    pub base_model: Option<PathBuf>,
    /// The device asked for on the command line.
    pub device: Option<String>,
    /// Threads for tensor work.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The base model is in memory; the resolved configuration goes along.
    Loaded(Loaded, Arc<RunConfig>, Arc<AdapterLayout>),
    /// The state is at a committed step.
    Synced(Step, String),
    /// A micro-batch is computed.
    Computed(Identity, Computed),
    /// The sum of this worker.
    Sum(Identity, Arc<Vec<i64>>),
    /// The shadow copy is ready; the total's buffer comes back.
    Applied(Identity, Applied, Vec<i64>),
    /// This worker cannot go on.
    Broken(Error),
}

/// Starts the thread; it ends when the sender is dropped.
///
/// # Errors
/// [`Code::Io`] when no thread can be made.
pub fn spawn(
    committed: CommittedState,
    outcomes: tokio::sync::mpsc::Sender<Outcome>,
) -> Result<mpsc::SyncSender<Job>> {
    let (sender, jobs) = mpsc::sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("compute".into())
        .spawn(move || {
            let mut room = Room {
                committed,
                outcomes,
                loaded: None,
            };
            for job in jobs {
                if let Err(error) = room.run(job) {
                    room.tell(Outcome::Broken(error));
                    return;
                }
            }
        })
        .map_err(|e| Error::new(Code::Io, "no compute thread").why(e.to_string()))?;
    Ok(sender)
}

struct Room {
    committed: CommittedState,
    outcomes: tokio::sync::mpsc::Sender<Outcome>,
    loaded: Option<Run>,
}

struct Run {
    config: Arc<RunConfig>,
    dataset: PreparedDataset,
    plan: Plan,
    trainer: Trainer,
    sums: Sums,
    state: Arc<AdapterState>,
    shadow: Option<AdapterState>,
    step_plan: Option<StepPlan>,
    gradient: Vec<f32>,
    losses: Vec<f32>,
    threads: usize,
}

impl Room {
    fn tell(&self, outcome: Outcome) {
        // A closed channel means that the session is over: nobody wants the outcome.
        let _ = self.outcomes.blocking_send(outcome);
    }

    fn run(&mut self, job: Job) -> Result<()> {
        if let Job::Load(load) = job {
            let (loaded, run) = load_run(*load)?;
            let (config, layout) = (
                Arc::clone(&run.config),
                Arc::new(run.trainer.layout().clone()),
            );
            self.loaded = Some(run);
            self.tell(Outcome::Loaded(loaded, config, layout));
            return Ok(());
        }
        let Some(run) = self.loaded.as_mut() else {
            return Err(Error::new(
                Code::Internal,
                "an order came before the model was loaded",
            ));
        };
        match job {
            Job::Load(_) => {}
            Job::Initial => {
                let state = AdapterState::new(run.trainer.initial_adapter()?);
                self.adopt(state)?;
            }
            Job::Restore(state) => self.adopt(*state)?,
            Job::RestoreFrom(folder) => {
                let state = checkpoint::read_checkpoint(&folder, run.trainer.layout())?;
                self.adopt(state)?;
            }
            Job::Compute(identity, micro_batches) => {
                for micro_batch in micro_batches {
                    let computed = run.compute(identity.step, micro_batch)?;
                    let _ = self
                        .outcomes
                        .blocking_send(Outcome::Computed(identity.clone(), computed));
                }
            }
            Job::Credit(micro_batches) => {
                for micro_batch in micro_batches {
                    run.sums.credit(micro_batch)?;
                }
            }
            Job::Sum(identity) => {
                let sum = run.sums.sum();
                self.tell(Outcome::Sum(identity, sum));
            }
            Job::Apply(identity, total) => {
                let applied = run.apply(identity.step, &total)?;
                self.tell(Outcome::Applied(identity, applied, total));
            }
            Job::Fence(done) => {
                // Nobody waits any more when the session is over.
                let _ = done.send(());
            }
            Job::Commit(step) => {
                let old = run.commit(step)?;
                self.publish();
                if let (Some(run), Some(old)) = (self.loaded.as_mut(), Arc::into_inner(old)) {
                    run.shadow = Some(old);
                }
            }
        }
        Ok(())
    }

    fn adopt(&mut self, state: AdapterState) -> Result<()> {
        let Some(run) = self.loaded.as_mut() else {
            return Ok(());
        };
        run.trainer.set_adapter(&state.params)?;
        run.state = Arc::new(state);
        run.shadow = None;
        run.sums.clear();
        let outcome = Outcome::Synced(run.state.step, numerics::state_digest(&run.state));
        self.publish();
        self.tell(outcome);
        Ok(())
    }

    fn publish(&self) {
        let state = self.loaded.as_ref().map(|run| Arc::clone(&run.state));
        *self
            .committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = state;
    }
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

fn load_run(load: LoadJob) -> Result<(Loaded, Run)> {
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
    let base_digest = shared::model::base_digest(&base)?;
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
    let plan = Plan::new(&config, dataset.target_tokens(), dataset.lengths());
    let trainer = Trainer::load(&config, &base, device)?;
    let parameters = trainer.layout().len();
    let loaded = Loaded {
        base_digest,
        device_class: device::device_class(device)?,
        device: match device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        },
    };
    let run = Run {
        config: Arc::new(config),
        dataset,
        plan,
        trainer,
        sums: Sums::new(parameters),
        state: Arc::new(AdapterState::default()),
        shadow: None,
        step_plan: None,
        gradient: vec![0.0; parameters],
        losses: Vec::new(),
        threads: load.threads,
    };
    Ok((loaded, run))
}

impl Run {
    fn step_plan(&mut self, step: Step) -> &StepPlan {
        if self.step_plan.as_ref().is_some_and(|p| p.step != step) {
            self.step_plan = None;
        }
        self.step_plan.get_or_insert_with(|| self.plan.step(step))
    }

    fn compute(&mut self, step: Step, id: MicroBatchId) -> Result<Computed> {
        let started = Instant::now();
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
        let targets = plan.target_tokens;
        let samples = planned.samples.iter().map(|row| {
            let row = usize::try_from(*row).ok();
            row.and_then(|row| self.dataset.sample(row))
                .ok_or_else(unknown)
        });
        let samples: Vec<_> = samples.collect::<Result<_>>()?;
        let length = usize::try_from(planned.padded_length).map_err(|_| unknown())?;
        let batch = collate(&samples, length, step.0, planned.first_position, targets)?;
        self.trainer
            .micro_batch(&batch, &mut self.gradient, &mut self.losses)?;
        let parameters = self.gradient.len();
        let mut integers = self.sums.buffer();
        let (gradient, extras) = integers.split_at_mut(parameters);
        let overflow = numerics::quantize_into(&self.gradient, count, gradient);
        let (loss, loss_overflow) = numerics::quantize_losses(&self.losses);
        extras[Extra::Loss as usize] = loss;
        extras[Extra::TargetTokens as usize] = i64::try_from(self.losses.len()).unwrap_or(-1);
        let loss_too_large = loss.unsigned_abs() >= (1 << 63) / u64::from(count);
        let overflow = overflow.0 || loss_overflow || loss_too_large;
        extras[Extra::Overflows as usize] = i64::from(overflow);
        extras[Extra::MicroBatches as usize] = 1;
        let Fingerprint(fingerprint) = numerics::fingerprint(&integers, 0);
        self.sums.keep(id, integers);
        let compute_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Ok(Computed {
            micro_batch: id,
            fingerprint,
            compute_us,
        })
    }

    fn apply(&mut self, step: Step, total: &[i64]) -> Result<Applied> {
        let started = Instant::now();
        let (max_grad_norm, weight_decay) = (self.config.max_grad_norm, self.config.weight_decay);
        let plan = self.step_plan(step);
        let learning_rate = plan.learning_rate;
        let planned = (plan.micro_batches.len() as i64, plan.target_tokens as i64);
        let (gradient, extras) = total.split_at(total.len() - EXTRAS);
        let extra = |which: Extra| extras[which as usize];
        let summed = (extra(Extra::MicroBatches), extra(Extra::TargetTokens));
        if summed != planned {
            return Err(Error::new(
                Code::Internal,
                format!("step {step}: the total does not cover the step"),
            )
            .why(format!(
                "(micro-batches, targets) are {summed:?}, planned were {planned:?}"
            )));
        }
        let skipped = extra(Extra::Overflows) != 0;
        // Below this size threads cost more than they bring; their number never changes a bit.
        let threads = if gradient.len() < WORTH_THREADS {
            1
        } else {
            self.threads
        };
        let grad_norm = numerics::grad_norm_with_threads(gradient, threads);
        let mut next = self.shadow.take().unwrap_or_default();
        if skipped {
            self.state.skip(&mut next);
        } else {
            let adamw = AdamW {
                weight_decay,
                ..AdamW::default()
            };
            numerics::apply_with_threads(
                &self.state,
                &mut next,
                gradient,
                grad_norm,
                max_grad_norm,
                learning_rate,
                &adamw,
                threads,
            );
        }
        let state_digest = numerics::state_digest(&next);
        self.shadow = Some(next);
        let Fingerprint(fingerprint) = numerics::fingerprint(total, 0);
        Ok(Applied {
            state_digest,
            fingerprint,
            loss: extra(Extra::Loss),
            grad_norm,
            skipped,
            apply_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..Applied::default()
        })
    }

    /// Returns the state before, whose memory serves the next shadow.
    fn commit(&mut self, step: Step) -> Result<Arc<AdapterState>> {
        let shadow = self
            .shadow
            .take()
            .filter(|s| s.step == step)
            .ok_or_else(|| {
                Error::new(
                    Code::Internal,
                    format!("step {step} was committed but never applied here"),
                )
            })?;
        self.trainer.set_adapter(&shadow.params)?;
        self.sums.clear();
        Ok(std::mem::replace(&mut self.state, Arc::new(shadow)))
    }
}
