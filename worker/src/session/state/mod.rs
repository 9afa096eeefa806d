//! What a worker does next: a state machine without clock, socket or tensor.
//!
//! In: what the coordinator says, what came of earlier orders, `now`. Out: orders. `input` names
//! them · `coordinator` what each word of the coordinator means · `roster` the member list and what
//! changes it · `link` the stream that breaks and comes back · `times` what the coordinator says about
//! time · `drain` leaving on request.
//!
//! Keeps: integers enter the sum only when the coordinator credits them to this worker; a
//! micro-batch is begun only on the state of the step before; when the coordinator is away the
//! worker holds everything it has, for a bounded time; who holds a state leaves only when it is
//! released.

mod coordinator;
mod drain;
mod input;
mod link;
mod roster;
mod times;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::error::Error;
use shared::ids::{Identity, MicroBatchId, Step, WorkerId};
use shared::wire::message::{
    Computed, Envelope, Failed, FailureScope, FromWorker, Hello, Loaded, Task,
};

pub use input::{Action, Ending, Input};
use link::Link;
use roster::Roster;
use times::Times;

/// One worker's part in a run, as a pure state machine.
#[derive(Debug)]
pub struct Session {
    greeting: Hello,
    identity: Identity,
    worker: Option<WorkerId>,
    link: Link,
    times: Times,
    loaded: Option<Loaded>,
    /// Step and digest of the committed state in memory.
    state: Option<(Step, String)>,
    /// The step that the device may compute: the one after `state`, or that of `state` while its commit is on its way;
    /// none while a sync is.
    computable_step: Option<Step>,
    /// Step and digest of the shadow: applied and not committed.
    shadow: Option<(Step, String)>,
    /// What `uncredited` and `credited` are of: a step or an evaluation.
    task: Task,
    /// Fingerprints of micro-batches that are computed and not credited.
    uncredited: BTreeMap<MicroBatchId, u64>,
    /// Fingerprints of micro-batches that are in the sum.
    credited: BTreeMap<MicroBatchId, u64>,
    /// Micro-batches that the device has been given and has not answered.
    on_device: BTreeSet<(Step, Task, MicroBatchId)>,
    /// Micro-batches that were assigned before the state they need is here.
    waiting: Vec<(Identity, Task, Vec<MicroBatchId>)>,
    /// Members of the newest generation, by slot.
    roster: Roster,
    following: bool,
    /// Somebody asked this worker to leave, and it is not released yet.
    draining: bool,
    /// The step after which the coordinator was stopped on purpose, as long as none of this run was heard since.
    stopped_after: Option<Step>,
    /// Steps whose states the coordinator wants kept.
    wanted: Vec<Step>,
    /// Digests of the earlier states that are held.
    retained: BTreeMap<Step, String>,
    now: Duration,
    over: bool,
    out: Vec<Action>,
}

impl Session {
    /// A session before its first stream is open; `greeting` is what the worker says of itself.
    #[must_use]
    pub fn new(greeting: Hello) -> Self {
        Self {
            greeting,
            identity: Identity::default(),
            worker: None,
            link: Link::new(),
            times: Times::default(),
            loaded: None,
            state: None,
            computable_step: None,
            shadow: None,
            task: Task::Train,
            uncredited: BTreeMap::new(),
            credited: BTreeMap::new(),
            on_device: BTreeSet::new(),
            waiting: Vec::new(),
            roster: Roster::default(),
            following: false,
            draining: false,
            stopped_after: None,
            wanted: Vec::new(),
            retained: BTreeMap::new(),
            now: Duration::ZERO,
            over: false,
            out: Vec::new(),
        }
    }

    /// Takes one input; returns what has to be done, in order.
    pub fn on(&mut self, input: Input, now: Duration) -> Vec<Action> {
        self.now = self.now.max(now);
        if !self.over {
            self.take(input);
        }
        std::mem::take(&mut self.out)
    }

    /// Where the run stands as far as this worker has heard.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Connected => self.connected(),
            Input::Coordinator(envelope) => self.hear(envelope),
            Input::Lost(reason) => self.lost(reason),
            Input::Loaded(loaded) => {
                self.loaded = Some(loaded.clone());
                if !self.wanted.is_empty() {
                    self.retain();
                }
                self.say(FromWorker::Loaded(loaded));
            }
            Input::Synced { step, state_digest } => self.synced(step, state_digest),
            Input::SyncFailed(reason) => {
                if std::mem::take(&mut self.following) {
                    self.say(FromWorker::Unsynced { reason });
                }
            }
            Input::Committed(step) => self.settle(step),
            Input::Computed { identity, result } => self.computed(&identity, result),
            Input::Skipped {
                step,
                task,
                micro_batches,
            } => self.skipped(step, task, micro_batches),
            Input::Applied { identity, report } if identity == self.identity => {
                if report.evaluation.is_empty() {
                    self.shadow = Some((identity.step, report.state_digest.clone()));
                }
                self.say(FromWorker::Applied(report));
            }
            Input::Reapplied {
                identity,
                committed_digest,
                state_digest,
            } if identity == self.identity => {
                if !state_digest.is_empty() {
                    self.shadow = Some((identity.step, state_digest.clone()));
                }
                self.say(FromWorker::Reapplied {
                    committed_digest,
                    state_digest,
                });
            }
            Input::Proved { step, state_digest } => {
                self.say(FromWorker::Proved { step, state_digest });
            }
            Input::Slices { identity, slices } if identity == self.identity => {
                self.say(FromWorker::Slices(slices));
            }
            Input::ReduceFailed { identity, failed } if identity == self.identity => {
                self.say(FromWorker::Failed(failed));
            }
            // An outcome of an earlier generation or attempt: nobody waits for it any more.
            Input::Applied { .. }
            | Input::Reapplied { .. }
            | Input::ReduceFailed { .. }
            | Input::Slices { .. } => {}
            Input::Retained(retained) => self.retained = retained,
            Input::Staged { step, outcome } => {
                self.say(FromWorker::CheckpointWritten { step, outcome });
            }
            Input::Broken(error) => self.broken(error),
            Input::Drain => self.drain(),
            Input::Tick(progress) => self.tick(progress),
        }
    }

    /// The step that the state in memory is computed on for: the one behind it.
    fn step_in_work(&self) -> Option<Step> {
        self.state.as_ref().map(|(step, _)| step.next())
    }

    fn synced(&mut self, step: Step, state_digest: String) {
        // A total that was on its way when the following ended still changed the state: it is known, not told.
        self.forget();
        self.state = Some((step, state_digest.clone()));
        if self.following {
            self.say(FromWorker::Ready { step, state_digest });
        }
        self.settle(step);
    }

    /// Lets the device compute on the state of this step: micro-batches that waited for it begin.
    fn settle(&mut self, step: Step) {
        self.computable_step = Some(step.next());
        for (identity, task, micro_batches) in std::mem::take(&mut self.waiting) {
            self.assign(identity, task, micro_batches);
        }
    }

    fn assign(&mut self, identity: Identity, task: Task, micro_batches: Vec<MicroBatchId>) {
        if self.computable_step != Some(identity.step) {
            self.waiting.push((identity, task, micro_batches));
            return;
        }
        let step = identity.step;
        let mut fresh = Vec::new();
        for id in micro_batches {
            let own = task == self.task;
            if own && self.credited.contains_key(&id) {
                continue;
            }
            match self.uncredited.get(&id) {
                // The micro-batch was computed before the session broke, and never credited to anybody.
                Some(fingerprint) if own => {
                    let fingerprint = *fingerprint;
                    self.say_of(
                        step,
                        FromWorker::Computed(Computed {
                            micro_batch: id,
                            fingerprint,
                            compute_us: 0,
                            task,
                        }),
                    );
                }
                _ => {
                    if self.on_device.insert((step, task, id)) {
                        fresh.push(id);
                    }
                }
            }
        }
        if !fresh.is_empty() {
            self.out.push(Action::Compute {
                identity,
                task,
                micro_batches: fresh,
            });
        }
    }

    fn computed(&mut self, identity: &Identity, result: Computed) {
        let (step, id) = (identity.step, result.micro_batch);
        self.on_device.remove(&(step, result.task, id));
        if result.task == self.task
            && self.step_in_work() == Some(step)
            && !self.credited.contains_key(&id)
        {
            self.uncredited.insert(id, result.fingerprint);
        }
        self.say_of(step, FromWorker::Computed(result));
    }

    fn skipped(&mut self, step: Step, task: Task, micro_batches: Vec<MicroBatchId>) {
        for id in &micro_batches {
            self.on_device.remove(&(step, task, *id));
        }
        self.say_of(step, FromWorker::Skipped(task, micro_batches));
    }

    /// Turns from a step to an evaluation or back: between two steps the committed state may be evaluated, and the sums
    /// of one are nothing to the other.
    fn switch_task(&mut self, task: Task) {
        if task.counts() && task != self.task {
            self.task = task;
            self.uncredited.clear();
            self.credited.clear();
            self.out.push(Action::Forget);
        }
    }

    /// Forgets what is kept and credited, and the shadow: nothing of the step in work counts any more.
    fn forget(&mut self) {
        self.uncredited.clear();
        self.credited.clear();
        self.shadow = None;
    }

    fn broken(&mut self, error: Error) {
        self.say(FromWorker::Failed(Failed {
            error: error.clone(),
            culprit: None,
            scope: FailureScope::Work,
        }));
        self.end(Ending::Failed(error));
    }

    fn say(&mut self, body: FromWorker) {
        let identity = self.identity.clone();
        self.tell(identity, body);
    }

    /// Says something about a step that may not be the newest.
    fn say_of(&mut self, step: Step, body: FromWorker) {
        let identity = Identity {
            step,
            ..self.identity.clone()
        };
        self.tell(identity, body);
    }

    fn tell(&mut self, identity: Identity, body: FromWorker) {
        if self.link.is_open() {
            self.link.said(self.now);
            self.out
                .push(Action::Say(Box::new(Envelope { identity, body })));
        }
    }

    fn end(&mut self, ending: Ending) {
        self.over = true;
        self.out.push(Action::End(ending));
    }
}
