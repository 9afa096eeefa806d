//! The heart: events and `now` in, commands and typed reasons out.
//!
//! No clock, no socket, no file, no random source. Every decision on who is a member, who computes which micro-batch,
//! what counts and when a step is committed is made here; `driver` carries the decisions out.
//!
//! ```text
//!   Opened ─ admit ─> Joining ─ Loaded ─> Loaded ─ Sync ─> Syncing ─ Ready ─> Ready, follows
//!   Ready ─ (boundary, enough of them) Members ─> Working
//!   step:  deal ─ Computed/Credit ... ─ all credited ─ Reduce ─ Applied by all ─ Commit ─ boundary
//! ```
//!
//! `members` who is connected, and each worker's state · `membership` who may join, who is evicted · `join` how a state
//! is brought up · `generation` which workers are members together · `recovery` a session or a coordinator that comes
//! back · `step` deal and credit (`work`, `pace`, `relief`, `audit`) · `dispute` who computed wrongly · `non_finite`
//! steps that apply nothing, and when they end the run · `prove` whose state is spoiled when a joiner's differs ·
//! `reduce` and `agree` from the last credit to the commit · `evaluate` evaluations of the committed state, and early
//! stopping · `drain` the polite leave · `options` what the engine is told once · `owed` which states storage is owed ·
//! `retain` which members keep these states until then · `checkpoint` which member writes them, `failures` which could
//! not · `fork` a replay that differs · `clock` time without the coordinator's own stalls · `invariants` what holds
//! after every event · `timeouts` all cluster timeouts, derived from `failure_detection`.
//!
//! Keeps: a micro-batch is credited to one worker only; a step commits once, and only when every live member agrees on
//! the new state; the assignments and credits of a lost worker go back to the pool of the same step, the others keep
//! their sums.

mod agree;
mod audit;
mod checkpoint;
mod clock;
mod dispute;
mod drain;
mod evaluate;
mod event;
mod failures;
mod fork;
mod generation;
mod invariants;
mod join;
mod members;
mod membership;
mod non_finite;
mod notice;
mod options;
mod owed;
mod pace;
mod prove;
mod recovery;
mod reduce;
mod relief;
mod retain;
mod state;
mod step;
mod timeouts;
mod work;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::error::Error;
use shared::evaluation::Course;
use shared::ids::{Attempt, Generation, Identity, MicroBatchId, Step, WorkerId};
use shared::ledger::Parts;
use shared::wire::message::{Envelope, FromWorker, ToWorker};

use checkpoint::Checkpoints;
use clock::Clock;
pub use event::{
    Command, Committed, Evaluated, Event, ExportFailure, MemberSet, PublishFailure, Rewind, Stored,
};
use members::{Member, MemberState, Members};
pub use notice::Notice;
use options::beginnings;
pub use options::{Cost, Options, Remembered, Restorable, Schedule, WorkKind};
use state::Phase;
pub use timeouts::Timeouts;
pub use work::Credited;

/// The engine's whole state: no decision depends on anything else.
pub struct Engine {
    options: Options,
    schedule: Box<dyn Schedule>,
    members: Members,
    clock: Clock,
    /// Time of the newest event, without the coordinator's own stalls (`clock`).
    now: Duration,
    generation: Generation,
    attempt: Attempt,
    /// Number of the newest `Sync` order: a worker's answer carries the number of the order it answers.
    sync_orders: Attempt,
    committed: Step,
    state_digest: Option<String>,
    /// State digests of committed steps. A step that is computed again after a rewind must reproduce its digest. None
    /// is dropped that the ledger's rules compare with: damaged checkpoints can send the run back to any step.
    digests: BTreeMap<Step, String>,
    /// Where the run begins when there is no checkpoint; `None` for a run that began with another run's checkpoint.
    origin: Option<Restorable>,
    phase: Phase,
    started: bool,
    interrupted: bool,
    /// Error that ends the run as soon as its state is on storage.
    pending_failure: Option<Error>,
    /// Committed steps that applied nothing, steps after a rewind included; the value is true where no smaller loss
    /// scale could have helped.
    skipped: BTreeMap<Step, bool>,
    /// When the last step was committed; zero until this coordinator commits one.
    committed_at: Duration,
    /// Evaluations of committed states. A state that is evaluated again after a rewind must reproduce its sums.
    course: Course,
    /// Step of the newest evaluation that no rewind has made void.
    evaluated: Option<Step>,
    checkpoints: Checkpoints,
    /// Incarnations of workers that held a state when their session broke, and until when they are waited for.
    awaited_incarnations: BTreeMap<String, Duration>,
    /// Micro-batches of the step in work on which a device hung: on these the next worker gets more time.
    hung_on: BTreeSet<MicroBatchId>,
    /// Device classes that computed each step: only where they differ may a replay come out differently.
    device_classes_by_step: Parts,
    /// Whether the run waits at a boundary for more workers.
    short_of_workers: bool,
    /// The step that was given up because every member drained, and how many credited micro-batches it lost.
    abandoned: (Step, u32),
    /// The newest generation and its members by slot: the next generation is told as the difference.
    newest_member_set: (Generation, Vec<WorkerId>),
    last_waiting: Option<Notice>,
    notices_given: BTreeSet<String>,
    out: Vec<Command>,
}

impl Engine {
    /// The engine of a run that stands at `from`; after a restart, with what the ledger `remembered`.
    #[must_use]
    pub fn new(
        options: Options,
        schedule: Box<dyn Schedule>,
        from: Restorable,
        remembered: Remembered,
    ) -> Self {
        let phase = if remembered.awaited.is_empty() {
            Phase::Gathering
        } else {
            Phase::Recovering {
                until: options.timeouts.rejoin,
                awaited: remembered.awaited,
            }
        };
        let awaited = matches!(phase, Phase::Recovering { .. });
        // Back to a checkpoint, or forward to one of steps that an earlier rewind had made void.
        let moves = !awaited && remembered.committed != from.step;
        let out = if moves {
            vec![Command::Rewind(Rewind {
                step: from.step,
                state_digest: from.state_digest.clone(),
                forked: BTreeSet::new(),
            })]
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
        let (origin, stored) = beginnings(&from, remembered.begins_after, remembered.stored);
        let tick = options.timeouts.tick();
        Self {
            clock: Clock::new(options.timeouts.beat, tick),
            options,
            schedule,
            members: Members::default(),
            now: Duration::ZERO,
            generation: remembered.generation,
            attempt: Attempt(0),
            sync_orders: Attempt(0),
            committed: if awaited {
                remembered.committed
            } else {
                from.step
            },
            state_digest: from.state_digest.clone(),
            digests,
            origin,
            phase,
            started: false,
            interrupted: false,
            pending_failure: None,
            skipped: remembered.skipped,
            committed_at: Duration::ZERO,
            course,
            evaluated,
            checkpoints: Checkpoints::new(stored),
            awaited_incarnations: BTreeMap::new(),
            hung_on: BTreeSet::new(),
            device_classes_by_step: remembered.parts,
            short_of_workers: false,
            abandoned: (Step(0), 0),
            newest_member_set: (Generation(0), Vec::new()),
            last_waiting: None,
            notices_given: BTreeSet::new(),
            out,
        }
    }

    /// Takes one event; returns the commands that follow from it, in the order in which they must be carried out.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.clock.hears(now);
        match event {
            Event::Opened { worker, hello } => self.opened(worker, hello),
            Event::Message { worker, envelope } => self.message(&worker, envelope),
            Event::Closed { worker, reason } => self.left(&worker, reason),
            Event::Publishing { staging } => self.publishing(&staging),
            Event::Published {
                step,
                staging,
                outcome,
            } => self.checkpoint_published(step, &staging, outcome),
            Event::Verified { step, outcome } => self.verified(step, outcome),
            Event::Exported { outcome, .. } => self.exported(outcome),
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

    /// Workers whose base model is in memory.
    #[must_use]
    pub fn loaded_workers(&self) -> usize {
        let loading = |m: &&Member| matches!(m.state(), MemberState::Joining { .. });
        self.members.len() - self.members.values().filter(loading).count()
    }

    /// Whether this coordinator still waits for the workers that its predecessor knew.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        matches!(self.phase, Phase::Recovering { .. })
    }

    /// Workers of the current generation.
    #[must_use]
    pub fn working(&self) -> usize {
        self.members.working().len()
    }

    fn message(&mut self, worker: &WorkerId, envelope: Envelope<FromWorker>) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.last_heard = self.now;
        if std::mem::take(&mut member.suspect) {
            member.begins_now(self.now);
        }
        let identity = envelope.identity;
        match envelope.body {
            FromWorker::Hello(_) => {}
            FromWorker::Beat(progress) => member.progresses(progress, self.now),
            FromWorker::Loaded(loaded) => self.loaded(worker, loaded),
            FromWorker::Ready { step, state_digest } => {
                self.ready(worker, &identity, step, &state_digest);
            }
            FromWorker::Unsynced { reason } => self.unsynced(worker, reason),
            FromWorker::Computed(computed) => self.computed(worker, &identity, &computed),
            FromWorker::Skipped(task, list) => self.skipped(worker, &identity, task, &list),
            FromWorker::Applied(applied) => self.applied(worker, &identity, applied),
            FromWorker::Slices(slices) => self.slices(worker, &identity, slices),
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

    /// Identity of the step in work, which every message carries.
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
        for worker in self.members.working().iter() {
            self.send(worker, body.clone());
        }
    }

    fn set_state(&mut self, worker: &WorkerId, state: MemberState) {
        self.members.set_state(worker, state);
    }

    /// Reports a notice; [`Notice::Waiting`] is repeated only when its numbers have changed.
    fn notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::Waiting { .. }) {
            if self.last_waiting.as_ref() == Some(&notice) {
                return;
            }
            self.last_waiting = Some(notice.clone());
        }
        self.out.push(Command::Notice(notice));
    }

    /// Reports a lasting condition once, however often the workers it names change.
    fn notice_once(&mut self, notice: Notice) {
        let about = match &notice {
            Notice::Spare { workers, .. } => format!("{} spare", workers.len()),
            Notice::Idle {
                workers,
                micro_batches,
            } => format!("{} idle, {micro_batches} to do", workers.len()),
            other => other.to_string(),
        };
        if self.notices_given.insert(about) {
            self.notice(notice);
        }
    }

    fn fail(&mut self, error: Error) {
        self.phase = Phase::Over;
        for worker in self.members.names() {
            self.send(&worker, ToWorker::Refused(error.clone()));
        }
        self.nobody_is_awaited();
        self.out.push(Command::Fail(error));
    }

    /// Ends the coordinator without ending the workers: they keep their state for a coordinator that is started again.
    fn stop_with(&mut self, error: Error) {
        self.phase = Phase::Over;
        self.out.push(Command::Fail(error));
    }

    /// Records an empty member set, so that the next start waits for nobody.
    fn nobody_is_awaited(&mut self) {
        self.out.push(Command::Members(MemberSet {
            generation: self.generation,
            ..MemberSet::default()
        }));
    }
}
