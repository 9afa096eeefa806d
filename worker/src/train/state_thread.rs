//! The state thread: the only one that touches the replica. Sums, clips, applies, commits.
//!
//! In: jobs in order. Out: outcomes, and the committed state for whoever reads it. Whoever follows
//! this worker gets the state at one step and the total of every later one.
//! Keeps: a device that is busy or hangs never holds up a reduce or a commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use shared::error::{Code, Error, Result};
use shared::faults::{Effect, Faults};
use shared::ids::{Identity, MicroBatchId, Step};
use shared::model::groups;
use shared::numerics::AdapterState;
use shared::wire::message::{Applied, SliceFingerprints, Task};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::loaded_run::LoadedRun;
use super::replica::{Replica, StepRule};
use super::sums::EXTRAS;
use super::threads;
use crate::checkpoint;
use crate::progress::Counters;

/// Jobs waiting at most: the coordinator gives few at a time.
const QUEUE: usize = 1024;
/// Totals that may wait for one follower in any case; one that is slower begins anew.
const FOLLOWED_TOTALS: usize = 4;
/// Bytes that the waiting totals of one follower may take, where more than these fit.
const FOLLOWED_BYTES: usize = 256 << 20;

/// A committed state that others may read.
#[derive(Clone, Debug)]
pub struct Published {
    /// Number that grows with every published state, so that the device thread sees a new one.
    pub version: u64,
    /// Parameters, moments and counters, read-only while anybody holds them.
    pub state: Arc<AdapterState>,
}

/// The committed state, shared with whoever computes on it, serves or writes it.
pub type CommittedState = Arc<Mutex<Option<Published>>>;

/// Reads the committed state.
#[must_use]
pub fn committed(state: &CommittedState) -> Option<Published> {
    state.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What a follower gets: the state now, and the total of every later step.
#[derive(Debug)]
pub struct Followed {
    /// The committed state when the follower began.
    pub state: Arc<AdapterState>,
    /// Totals of the steps after the state, in order; the end means that the follower was too slow.
    pub totals: tokio::sync::mpsc::Receiver<(Step, Arc<Vec<i64>>)>,
}

/// What the state thread is asked to do.
#[derive(Debug)]
pub enum StateJob {
    /// A run is loaded: make its replica.
    Begin(LoadedRun),
    /// A state from elsewhere: drawn, or taken from a member.
    Adopt(Box<AdapterState>),
    /// The adapter that was drawn for the state before step 1.
    Initial(Vec<f32>),
    /// Take the state of a checkpoint folder.
    RestoreFrom(PathBuf),
    /// The total of a step that others have committed.
    FollowTotal(Step, Vec<i64>, OwnedSemaphorePermit),
    /// Keep the integers of a micro-batch aside.
    Keep(Step, Task, MicroBatchId, Vec<i64>),
    /// Forget integers that were kept aside.
    Withdraw(Step, Task, Vec<MicroBatchId>),
    /// Move micro-batches into the sum.
    Credit(Task, Vec<MicroBatchId>),
    /// Forget everything of the step in work.
    Forget,
    /// Hand out the sum for a reduce among so many members.
    Sum(Identity, Task, usize),
    /// Clip the total of a step and apply it to the shadow; the total of an evaluation changes nothing.
    Apply(Identity, Task, Arc<Vec<i64>>, usize),
    /// Hash the committed state and apply the total of the step again.
    Reapply(Identity),
    /// Hash the committed state.
    Prove,
    /// The shadow copy becomes the state.
    Commit(Step),
    /// Serve a worker that joins.
    Follow(oneshot::Sender<Followed>),
    /// Hand out the committed state of a step, the newest or one that is kept, once all earlier jobs are done.
    Freeze(Step, oneshot::Sender<Option<Arc<AdapterState>>>),
    /// Keep the committed states of these steps beside the newest; all others may go.
    Retain(Vec<Step>),
    /// Tell the fingerprints of the newest reduce by slice.
    Explain(Identity),
}

/// What came of a job.
#[derive(Debug)]
pub enum StateOutcome {
    /// The state is at a committed step.
    Synced(Step, String),
    /// The source of the state is not whole or cannot be read: another source may be.
    Unsynced(Error),
    /// The sum of this worker, for a reduce among so many members.
    Sum(Identity, Task, Arc<Vec<i64>>, usize),
    /// The shadow copy is ready.
    Applied(Identity, Applied),
    /// The total does not cover the step: the reduce failed.
    Unfit(Identity, Error),
    /// Digest of the committed state, and of the shadow copy made again.
    Reapplied(Identity, String, String),
    /// Step and digest of the committed state.
    Proved(Step, String),
    /// The shadow copy is the state now.
    Committed(Step),
    /// Digests of the earlier states that are kept now, as they were committed.
    Retained(BTreeMap<Step, String>),
    /// Fingerprints of the newest reduce by slice.
    Slices(Identity, SliceFingerprints),
    /// This worker cannot go on.
    Broken(Error),
}

/// Starts the thread, and the others that long vectors are shared out to: `threads` in all. It ends when the sender is
/// dropped.
///
/// # Errors
/// [`Code::Io`] when no thread can be made.
pub fn spawn(
    published: CommittedState,
    threads: usize,
    faults: Faults,
    progress: Counters,
    outcomes: tokio::sync::mpsc::Sender<StateOutcome>,
) -> Result<mpsc::SyncSender<StateJob>> {
    let (sender, jobs) = mpsc::sync_channel(QUEUE);
    let pool = threads::pool("state", threads)?;
    std::thread::Builder::new()
        .name("state".into())
        .spawn(move || {
            let mut thread = StateThread {
                published,
                faults,
                progress,
                outcomes,
                run: None,
                followers: Vec::new(),
                wanted: Vec::new(),
                retained: BTreeMap::new(),
            };
            pool.install(move || {
                for job in jobs {
                    if let Err(error) = thread.handle(job) {
                        thread.report(StateOutcome::Broken(error));
                        return;
                    }
                }
            });
        })
        .map_err(|e| Error::new(Code::Io, "no state thread").why(e.to_string()))?;
    Ok(sender)
}

struct StateThread {
    published: CommittedState,
    faults: Faults,
    progress: Counters,
    outcomes: tokio::sync::mpsc::Sender<StateOutcome>,
    run: Option<(LoadedRun, Replica)>,
    followers: Vec<tokio::sync::mpsc::Sender<(Step, Arc<Vec<i64>>)>>,
    /// Steps whose states are to be kept, as far as that was said before a run was loaded.
    wanted: Vec<Step>,
    /// The earlier states that were last told as kept, with their digests.
    retained: BTreeMap<Step, String>,
}

impl StateThread {
    fn report(&self, outcome: StateOutcome) {
        // A closed channel means that the session is over: nobody wants the outcome.
        let _ = self.outcomes.blocking_send(outcome);
    }

    fn begin(&mut self, run: LoadedRun) {
        let mut replica = Replica::new(run.layout.len());
        replica.share(run.pool.clone());
        replica.set_param_groups(groups(&run.config, &run.layout.tensors));
        let planned = &run.evaluation;
        replica.prepare_evaluation(planned.width(), planned.count());
        replica.retain(&self.wanted);
        self.run = Some((run, replica));
    }

    fn handle(&mut self, job: StateJob) -> Result<()> {
        if let StateJob::Begin(run) = job {
            self.begin(run);
            return Ok(());
        }
        let (faults, progress) = (self.faults.clone(), self.progress.clone());
        let Some((run, replica)) = self.run.as_mut() else {
            if let StateJob::Retain(steps) = job {
                self.wanted = steps;
                return Ok(());
            }
            return Err(Error::new(
                Code::Internal,
                "an order came before the model was loaded",
            ));
        };
        match job {
            StateJob::Begin(..) => {}
            StateJob::Adopt(state) => self.adopt(*state),
            StateJob::Initial(first) => {
                let state = checkpoint::first_state(&run.config, &run.layout, first, &progress)?;
                self.adopt(state);
            }
            StateJob::RestoreFrom(folder) => {
                match checkpoint::read_checkpoint(&folder, &run.layout, &progress) {
                    Ok(state) => self.adopt(state),
                    Err(error) => self.report(StateOutcome::Unsynced(error)),
                }
            }
            StateJob::FollowTotal(step, total, applied) => {
                match self.follow_total(step, total) {
                    // What this worker holds itself is damaged: no other source helps.
                    Err(error) if error.code == Code::Corrupt => return Err(error),
                    Err(error) => self.report(StateOutcome::Unsynced(error)),
                    Ok(()) => {}
                }
                drop(applied);
            }
            StateJob::Keep(step, task, micro_batch, integers) => {
                replica.keep(step, task, micro_batch, integers);
            }
            StateJob::Withdraw(step, task, micro_batches) => {
                replica.withdraw(step, task, &micro_batches);
            }
            StateJob::Credit(task, micro_batches) => replica.credit(task, &micro_batches)?,
            StateJob::Forget => replica.forget(),
            StateJob::Sum(identity, task, world_size) => {
                let step = identity.step;
                if faults.hold("sum", step, Default::default()) == Some(Effect::Flip) {
                    replica.flip_sum_bit(task);
                }
                let sum = replica.sum(task, world_size);
                self.report(StateOutcome::Sum(identity, task, sum, world_size));
            }
            StateJob::Apply(identity, task, total, world_size) => {
                self.apply(identity, task, total, world_size)?;
            }
            StateJob::Reapply(identity) => {
                let rule = rule(run, identity.step, replica.state());
                let (committed, shadow) = replica.reapply(&rule)?;
                self.report(StateOutcome::Reapplied(identity, committed, shadow));
            }
            StateJob::Prove => {
                let (step, state_digest) = replica.prove();
                self.report(StateOutcome::Proved(step, state_digest));
            }
            StateJob::Commit(step) => {
                let _ = faults.hold("commit", step, Default::default());
                self.commit(step)?;
            }
            StateJob::Follow(begin) => self.follow(begin),
            StateJob::Freeze(step, done) => {
                // Nobody waits any more when the session is over.
                let _ = done.send(replica.frozen(step));
            }
            StateJob::Retain(steps) => {
                replica.retain(&steps);
                self.tell_retained();
            }
            StateJob::Explain(identity) => {
                let slices = replica.explain();
                self.report(StateOutcome::Slices(identity, slices));
            }
        }
        Ok(())
    }

    /// Clips and applies the total of a reduce. A total that does not fit is told as a failed reduce; a damaged state
    /// ends this worker.
    fn apply(
        &mut self,
        identity: Identity,
        task: Task,
        mut total: Arc<Vec<i64>>,
        world_size: usize,
    ) -> Result<()> {
        let step = identity.step;
        let Some((run, replica)) = self.run.as_mut() else {
            return Ok(());
        };
        if self.faults.hold("apply", step, Default::default()) == Some(Effect::Flip) {
            replica.flip_parameter_bit(0);
        }
        if self.faults.at("moments", step) == Some(Effect::Flip) {
            // A bit that no rounding takes away again: the sixteenth of the first moment.
            let sixteenth = 15 * replica.state().params.len();
            replica.flip_moment_bit(sixteenth);
        }
        if self.faults.at("received", step) == Some(Effect::Flip) {
            Arc::make_mut(&mut total)[0] ^= 1;
        }
        let started = Instant::now();
        let applied = match task {
            Task::Evaluate => replica.evaluate(total, world_size),
            _ => replica.apply(&rule(run, step, replica.state()), total, world_size),
        };
        let outcome = match applied {
            Ok(mut applied) => {
                let micros = started.elapsed().as_micros();
                applied.apply_us = u64::try_from(micros).unwrap_or(u64::MAX);
                StateOutcome::Applied(identity, applied)
            }
            Err(error) if error.code == Code::Corrupt => return Err(error),
            Err(error) => StateOutcome::Unfit(identity, error),
        };
        self.report(outcome);
        Ok(())
    }

    fn adopt(&mut self, state: AdapterState) {
        let Some((_, replica)) = self.run.as_mut() else {
            return;
        };
        // A follower would miss the totals between its state and this one.
        self.followers.clear();
        let step = state.step;
        let digest = replica.adopt(state);
        self.tell_retained();
        self.publish();
        self.report(StateOutcome::Synced(step, digest));
    }

    /// Gives a worker that joins the state now and each total from then on.
    fn follow(&mut self, begin: oneshot::Sender<Followed>) {
        let Some((run, replica)) = self.run.as_ref() else {
            return;
        };
        let (sender, totals) = tokio::sync::mpsc::channel(followed_totals(run.layout.len()));
        let state = Arc::clone(replica.state());
        if begin.send(Followed { state, totals }).is_ok() {
            self.followers.push(sender);
        }
    }

    /// A joiner's step: the same total, the same code, and the digest proves it.
    fn follow_total(&mut self, step: Step, total: Vec<i64>) -> Result<()> {
        let Some((run, replica)) = self.run.as_mut() else {
            return Ok(());
        };
        if replica.state().step.next() != step {
            return Ok(());
        }
        let rule = rule(run, step, replica.state());
        let applied = replica.apply(&rule, total, 1)?;
        let (_, old) = replica.commit(step)?;
        self.publish();
        self.tell_retained();
        self.reuse(old);
        self.report(StateOutcome::Synced(step, applied.state_digest));
        Ok(())
    }

    fn commit(&mut self, step: Step) -> Result<()> {
        let Some((run, replica)) = self.run.as_mut() else {
            return Ok(());
        };
        let pool = run.pool.clone();
        let (total, old) = replica.commit(step)?;
        self.publish();
        self.tell_retained();
        self.reuse(old);
        self.followers
            .retain(|follower| follower.try_send((step, Arc::clone(&total))).is_ok());
        if let Some(buffer) = Arc::into_inner(total) {
            pool.put(buffer);
        }
        self.report(StateOutcome::Committed(step));
        Ok(())
    }

    fn reuse(&mut self, old: Arc<AdapterState>) {
        if let Some((_, replica)) = self.run.as_mut() {
            replica.reuse(old);
        }
    }

    /// Says which earlier states are kept, whenever that has changed.
    fn tell_retained(&mut self) {
        let Some((_, replica)) = self.run.as_ref() else {
            return;
        };
        let now = replica.retained();
        if now != self.retained {
            self.retained.clone_from(&now);
            self.report(StateOutcome::Retained(now));
        }
    }

    fn publish(&self) {
        let Some((_, replica)) = self.run.as_ref() else {
            return;
        };
        let mut place = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let version = place.as_ref().map_or(0, |p| p.version) + 1;
        *place = Some(Published {
            version,
            state: Arc::clone(replica.state()),
        });
    }
}

/// How many totals of an adapter of so many parameters may wait for one follower: a transfer of the state outlasts many
/// steps of a small adapter, and four totals of a large one are gigabytes.
fn followed_totals(parameters: usize) -> usize {
    let total = size_of::<i64>() * (parameters + EXTRAS);
    (FOLLOWED_BYTES / total).max(FOLLOWED_TOTALS)
}

/// The rule of a step: what the plan says, and the learning rate, whose schedule does not count steps that fp16
/// skipped; `state` knows how many.
fn rule(run: &LoadedRun, step: Step, state: &AdapterState) -> StepRule {
    let plan = run.plan.step(step);
    StepRule {
        step,
        micro_batches: u32::try_from(plan.micro_batches.len()).unwrap_or(u32::MAX),
        loss_units: plan.loss_units,
        learning_rate: run.plan.learning_rate(step, state.unscheduled()),
        max_grad_norm: run.config.max_grad_norm,
        weight_decay: run.config.weight_decay,
    }
}

#[cfg(test)]
#[path = "state_thread_tests.rs"]
mod tests;
