//! The heart: events and `now` in, commands and typed reasons out.
//!
//! No clock, no socket, no file, no random source. Whatever decides who is a member, who computes
//! what, what counts and when a step is committed is here; `driver` carries it out.
//!
//! ```text
//!   Opened ─ admit ─> Joining ─ Loaded ─> Loaded ─ Sync ─> Syncing ─ Ready ─> Ready, follows
//!   Ready ─ (boundary, enough of them) Members ─> Working
//!   step:  deal ─ Computed/Credit ... ─ all credited ─ Reduce ─ Applied by all ─ Commit ─ boundary
//! ```
//!
//! `membership` who may join, who is gone · `join` how a state is brought up · `recovery` a session
//! or a coordinator that comes back · `step` deal and credit (`work`, `pace`, `relief`, `audit`) ·
//! `dispute` who computed wrongly ·
//! `non_finite` steps that apply nothing, and when they end the run · `prove` whose state is spoiled when a joiner's differs ·
//! `reduce` and `agree` from the last credit to the commit · `evaluate` what the committed state is
//! worth, and whether to stop · `drain` the polite leave ·
//! `checkpoint` when the state is written · `ladder` every time there is.
//!
//! Keeps: a micro-batch is credited to one worker only; a step commits once, and only when every
//! live member agrees on the new state; what a lost worker took in this step goes back to the pool
//! of the same step, the others keep their sums.

mod agree;
mod audit;
mod checkpoint;
mod dispute;
mod drain;
mod evaluate;
mod event;
mod join;
mod ladder;
mod membership;
mod non_finite;
mod notice;
mod pace;
mod prove;
mod recovery;
mod reduce;
mod relief;
mod state;
mod step;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::config::StabilityConfig;
use shared::error::Error;
use shared::evaluation::{Course, Patience, SetSums};
use shared::ids::{Attempt, Generation, Identity, RunId, Step, Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, SyncSource, ToWorker, Welcome};

pub use event::{Command, Committed, Evaluated, Event};
pub use ladder::Ladder;
pub use notice::Notice;
use state::{Member, MemberState, Phase};
pub use work::Credited;

/// How many steps there are, and how many micro-batches each has.
pub trait Schedule: Send {
    /// Optimizer steps of the whole run.
    fn total_steps(&self) -> u64;
    /// Micro-batches of one step, at least 1.
    fn micro_batches(&self, step: Step) -> u32;
    /// Micro-batches of the evaluation of a step's state, 0 where none is due.
    fn evaluation(&self, _step: Step) -> u32 {
        0
    }
    /// Sets that are evaluated.
    fn sets(&self) -> usize {
        0
    }
}

/// What the engine is told once.
#[derive(Clone, Debug)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Version of the leadership.
    pub term: Term,
    /// What every admitted worker is told; its name and the times are filled in.
    pub welcome: Welcome,
    /// The device the configuration binds, `auto` when it does not.
    pub device: String,
    /// Only workers of one device class may take part.
    pub strict_devices: bool,
    /// The device class the run began with, when it is known.
    pub device_class: Option<String>,
    /// The run pauses below this many workers.
    pub min_workers: usize,
    /// More than this many wait as spares.
    pub max_workers: usize,
    /// Step 1 waits for this many.
    pub wait_workers: usize,
    /// Steps between checkpoints.
    pub save_steps: u64,
    /// Share of micro-batches that are computed twice.
    pub audit_rate: f64,
    /// What happens to steps that are not finite.
    pub stability: StabilityConfig,
    /// When evaluations end the run.
    pub patience: Patience,
    /// Every time there is.
    pub ladder: Ladder,
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

/// What was written down before the coordinator went away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The last committed step, 0 for none.
    pub committed: Step,
    /// Digests of committed steps, as far as they are known.
    pub digests: BTreeMap<Step, String>,
    /// The last generation.
    pub generation: Generation,
    /// Its members: they are awaited.
    pub members: BTreeSet<WorkerId>,
    /// Every evaluation there was, of steps that may come again too.
    pub evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// The newest one that stands.
    pub evaluated: Option<Step>,
    /// Steps that applied nothing, of steps that may come again too; true where no smaller loss scale
    /// could have helped.
    pub skipped: BTreeMap<Step, bool>,
}

/// Everything the coordinator decides with.
pub struct Engine {
    options: Options,
    schedule: Box<dyn Schedule>,
    members: BTreeMap<WorkerId, Member>,
    now: Duration,
    generation: Generation,
    attempt: Attempt,
    committed: Step,
    state_digest: Option<String>,
    /// Digests of committed steps that may come again; what comes again must reproduce them.
    digests: BTreeMap<Step, String>,
    restorable: Restorable,
    phase: Phase,
    started: bool,
    interrupted: bool,
    /// Why the run ends, once its state is safe.
    failing: Option<Error>,
    /// Steps that applied nothing, of steps that may come again too; true where no smaller loss scale
    /// could have helped.
    skipped: BTreeMap<Step, bool>,
    /// When the last step was committed.
    committed_at: Duration,
    /// Evaluations, of steps that may come again too: what comes again must reproduce them.
    course: Course,
    /// The newest evaluation that stands.
    evaluated: Option<Step>,
    /// The state of this step is the best so far and not on its way to storage yet.
    best_to_write: Option<Step>,
    writing: Option<checkpoint::Writing>,
    write_again: Option<Duration>,
    last_tries: u32,
    published: Option<Step>,
    last_waiting: Option<Notice>,
    told: BTreeSet<String>,
    out: Vec<Command>,
}

impl Engine {
    /// A run that begins, or goes on, at `from`; after a restart with what is `remembered`.
    #[must_use]
    pub fn new(
        options: Options,
        schedule: Box<dyn Schedule>,
        from: Restorable,
        remembered: Remembered,
    ) -> Self {
        let phase = if remembered.members.is_empty() {
            Phase::Gathering
        } else {
            Phase::Recovering {
                until: options.ladder.rejoin,
                expected: remembered.members,
            }
        };
        let awaited = matches!(phase, Phase::Recovering { .. });
        // Back to a checkpoint, or forward to one of steps that an earlier rewind had made void.
        let moves = !awaited && remembered.committed != from.step;
        let out = if moves {
            vec![Command::Rewind(from.step)]
        } else {
            Vec::new()
        };
        let patience = options.patience;
        let course = Course::new(patience, remembered.evaluations);
        let evaluated = if moves {
            course.newest(from.step)
        } else {
            remembered.evaluated
        };
        let mut digests = remembered.digests;
        if let Some(digest) = &from.state_digest {
            digests.insert(from.step, digest.clone());
        }
        Self {
            options,
            schedule,
            members: BTreeMap::new(),
            now: Duration::ZERO,
            generation: remembered.generation,
            attempt: Attempt(0),
            committed: if awaited {
                remembered.committed
            } else {
                from.step
            },
            state_digest: from.state_digest.clone(),
            digests,
            published: matches!(from.source, SyncSource::Checkpoint(_)).then_some(from.step),
            restorable: from,
            phase,
            started: false,
            interrupted: false,
            failing: None,
            skipped: remembered.skipped,
            committed_at: Duration::ZERO,
            course,
            evaluated,
            best_to_write: None,
            writing: None,
            write_again: None,
            last_tries: 0,
            last_waiting: None,
            told: BTreeSet::new(),
            out,
        }
    }

    /// Takes one event; returns what has to be done, in order.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.now.max(now);
        match event {
            Event::Opened { worker, hello } => self.opened(worker, hello),
            Event::Message { worker, envelope } => self.message(&worker, envelope),
            Event::Closed { worker, reason } => self.left(&worker, reason),
            Event::Published { step, outcome } => self.checkpoint_published(step, outcome),
            Event::Interrupt => self.interrupted = true,
            Event::Tick => self.tick(),
        }
        self.settle();
        std::mem::take(&mut self.out)
    }

    /// The last committed step.
    #[must_use]
    pub fn committed(&self) -> Step {
        self.committed
    }

    /// The newest version of the member set.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Digest of the committed state, when it is known.
    #[must_use]
    pub fn state_digest(&self) -> Option<&String> {
        self.state_digest.as_ref()
    }

    /// Workers that are connected, whatever their state.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.members.len()
    }

    /// Workers of the current generation.
    #[must_use]
    pub fn working(&self) -> usize {
        self.members.values().filter(|m| m.is_working()).count()
    }

    fn message(&mut self, worker: &WorkerId, envelope: Envelope<FromWorker>) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.heard = self.now;
        if std::mem::take(&mut member.suspect) {
            member.begins_now(self.now);
        }
        let identity = envelope.identity;
        match envelope.body {
            FromWorker::Hello(_) | FromWorker::Beat => {}
            FromWorker::Loaded(loaded) => self.loaded(worker, loaded),
            FromWorker::Ready { step, state_digest } => self.ready(worker, step, &state_digest),
            FromWorker::Unsynced { reason } => self.unsynced(worker, reason),
            FromWorker::Computed(computed) => self.computed(worker, &identity, &computed),
            FromWorker::Skipped(task, list) => self.skipped(worker, &identity, task, &list),
            FromWorker::Applied(applied) => self.applied(worker, &identity, applied),
            FromWorker::Reapplied {
                committed_digest,
                state_digest,
            } => self.reapplied(worker, &identity, committed_digest, state_digest),
            FromWorker::Proved { step, state_digest } => self.proved(worker, step, &state_digest),
            FromWorker::CheckpointWritten { step, outcome } => {
                self.checkpoint_written(worker, step, outcome);
            }
            FromWorker::Leaving { reason, drains } => {
                if drains {
                    self.drains(worker);
                } else {
                    self.left(worker, reason);
                }
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
        let identity = self.identity();
        self.send_at(to, identity, body);
    }

    fn send_at(&mut self, to: &WorkerId, identity: Identity, body: ToWorker) {
        self.out.push(Command::Send {
            to: to.clone(),
            message: Box::new(Envelope { identity, body }),
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

    fn set_state(&mut self, worker: &WorkerId, state: MemberState) {
        if let Some(member) = self.members.get_mut(worker) {
            member.state = state;
        }
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

    /// Says what stays true for a while only once.
    fn notice_once(&mut self, notice: Notice) {
        if self.told.insert(notice.to_string()) {
            self.notice(notice);
        }
    }

    fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        for worker in self.members.keys().cloned().collect::<Vec<_>>() {
            self.send(&worker, ToWorker::Refused(error.clone()));
        }
        self.out.push(Command::Fail(error));
    }
}
