//! The heart: events and `now` in, commands and typed reasons out.
//!
//! No clock, no socket, no file, no random source. Whatever decides who is a member, who computes
//! what, what counts and when a step is committed is here; `driver` carries it out.
//!
//! ```text
//!   Opened ─ admit ─> Joining ─ Loaded ─> Loaded ─ (boundary) Sync ─> Syncing ─ Ready ─> Ready
//!   Ready ─ (boundary, enough of them) Members ─> Working
//!   step:  deal ─ Computed/Credit ... ─ all credited ─ Reduce ─ Applied by all ─ Commit ─ boundary
//! ```
//!
//! Keeps: a micro-batch is credited to one worker only; a step commits once, and only when every
//! live member agrees on the new state; what a lost worker took in this step goes back to the pool
//! of the same step, the others keep their sums.

mod checkpoint;
mod event;
mod membership;
mod notice;
mod state;
mod step;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::error::Error;
use shared::ids::{Attempt, Generation, Identity, RunId, Step, Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, SyncSource, ToWorker, Welcome};

pub use event::{Command, Committed, Event};
pub use notice::Notice;
use state::{Member, MemberState, Phase};

/// How many steps there are, and how many micro-batches each has.
pub trait Schedule: Send {
    /// Optimizer steps of the whole run.
    fn total_steps(&self) -> u64;
    /// Micro-batches of one step, at least 1.
    fn micro_batches(&self, step: Step) -> u32;
}

/// What the engine is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Version of the leadership.
    pub term: Term,
    /// What every admitted worker is told; its name is filled in.
    pub welcome: Welcome,
    /// The device the configuration binds, `auto` when it does not.
    pub device: String,
    /// The run pauses below this many workers.
    pub min_workers: usize,
    /// Step 1 waits for this many.
    pub wait_workers: usize,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// Silence longer than this is an eviction.
    pub lease: Duration,
    /// How long a worker may load its model.
    pub load_deadline: Duration,
    /// How long a worker may take to bring its state up.
    pub sync_deadline: Duration,
    /// Where checkpoints are staged, absolute.
    pub staging: std::path::PathBuf,
}

/// A state that can be had from storage or from the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restorable {
    /// The committed step.
    pub step: Step,
    /// Where it lies.
    pub source: SyncSource,
    /// Its digest when known.
    pub state_digest: Option<String>,
}

/// Everything the coordinator decides with.
pub struct Engine {
    options: Options,
    schedule: Box<dyn Schedule>,
    members: BTreeMap<WorkerId, Member>,
    generation: Generation,
    attempt: Attempt,
    committed: Step,
    state_digest: Option<String>,
    restorable: Restorable,
    phase: Phase,
    started: bool,
    interrupted: bool,
    skipped_in_a_row: u32,
    writing: Option<checkpoint::Writing>,
    published: Option<Step>,
    last_waiting: Option<Notice>,
    idle_told: Option<Generation>,
    out: Vec<Command>,
}

impl Engine {
    /// A run that begins, or goes on, at `from`.
    #[must_use]
    pub fn new(options: Options, schedule: Box<dyn Schedule>, from: Restorable) -> Self {
        Self {
            options,
            schedule,
            members: BTreeMap::new(),
            generation: Generation(0),
            attempt: Attempt(0),
            committed: from.step,
            state_digest: from.state_digest.clone(),
            published: matches!(from.source, SyncSource::Checkpoint(_)).then_some(from.step),
            restorable: from,
            phase: Phase::Gathering,
            started: false,
            interrupted: false,
            skipped_in_a_row: 0,
            writing: None,
            last_waiting: None,
            idle_told: None,
            out: Vec::new(),
        }
    }

    /// Takes one event; returns what has to be done, in order.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        match event {
            Event::Opened { worker, hello } => self.opened(worker, hello, now),
            Event::Message { worker, envelope } => self.message(&worker, envelope, now),
            Event::Closed { worker, reason } => {
                self.remove(
                    &worker,
                    Notice::Left {
                        worker: worker.clone(),
                        reason,
                    },
                );
            }
            Event::Published { step, outcome } => self.checkpoint_published(step, outcome),
            Event::Interrupt => self.interrupted = true,
            Event::Tick => self.tick(now),
        }
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// The last committed step.
    #[must_use]
    pub fn committed(&self) -> Step {
        self.committed
    }

    /// Workers that are connected, whatever their state.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.members.len()
    }

    /// Workers of the current generation.
    #[must_use]
    pub fn working(&self) -> usize {
        self.members
            .values()
            .filter(|m| m.state.is_working())
            .count()
    }

    fn message(&mut self, worker: &WorkerId, envelope: Envelope<FromWorker>, now: Duration) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.heard = now;
        let identity = envelope.identity;
        match envelope.body {
            FromWorker::Hello(_) | FromWorker::Beat => {}
            FromWorker::Loaded(loaded) => self.loaded(worker, loaded),
            FromWorker::Ready { step, state_digest } => {
                self.ready(worker, step, state_digest);
            }
            FromWorker::Computed(computed) => self.computed(worker, &identity, computed),
            FromWorker::Applied(applied) => self.applied(worker, &identity, applied),
            FromWorker::CheckpointWritten { step, outcome } => {
                self.checkpoint_written(worker, step, outcome);
            }
            FromWorker::Leaving { reason } => {
                self.remove(
                    worker,
                    Notice::Left {
                        worker: worker.clone(),
                        reason,
                    },
                );
            }
            FromWorker::Failed(failed) => self.failed(worker, &identity, failed),
        }
    }

    /// The identity of what is going on now.
    fn identity(&self) -> Identity {
        Identity {
            run: self.options.run.clone(),
            term: self.options.term,
            generation: self.generation,
            step: self.committed.next(),
            attempt: self.attempt,
        }
    }

    fn send(&mut self, to: &WorkerId, body: ToWorker) {
        let message = Envelope {
            identity: self.identity(),
            body,
        };
        self.out.push(Command::Send {
            to: to.clone(),
            message: Box::new(message),
        });
    }

    fn send_working(&mut self, body: &ToWorker) {
        for worker in self.working_ids() {
            self.send(&worker, body.clone());
        }
    }

    /// Members of the generation, by slot.
    fn working_ids(&self) -> Vec<WorkerId> {
        let mut working: Vec<_> = self
            .members
            .iter()
            .filter_map(|(id, m)| match m.state {
                MemberState::Working { slot } => Some((slot, id.clone())),
                _ => None,
            })
            .collect();
        working.sort();
        working.into_iter().map(|(_, id)| id).collect()
    }

    /// Says it; that the run waits is said again only when the numbers have changed.
    fn notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::Waiting { .. }) {
            if self.last_waiting.as_ref() == Some(&notice) {
                return;
            }
            self.last_waiting = Some(notice.clone());
        }
        self.out.push(Command::Notice(notice));
    }

    fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        let identity = self.identity();
        for worker in self.members.keys() {
            let body = ToWorker::Refused(error.clone());
            let message = Box::new(Envelope {
                identity: identity.clone(),
                body,
            });
            self.out.push(Command::Send {
                to: worker.clone(),
                message,
            });
        }
        self.out.push(Command::Fail(error));
    }
}
