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
//! `members` who is connected, and each worker's state · `membership` who may join, who is refused or gone · `lease` whose
//! time is over · `join` how a state
//! is brought up · `generation` which workers are members together · `recovery` a session or a coordinator that comes
//! back · `boundary` what is decided between two steps · `dealing` who gets which micro-batch, and credit (`state`, `work`, `pace`, `straggler`,
//! `audit`) · `dispute` who computed wrongly · `prove` whose state is spoiled when a joiner's differs · `reduce` and
//! `agree` from the last credit to the commit · `committed` the committed states and their digests · `non_finite` steps
//! that apply nothing, and when they end the run · `evaluate` evaluations of the committed state, and early stopping ·
//! `fork` a replay that differs · `rewind` going on from another step · `holders` which workers hold a state · `owed`
//! which states storage is owed · `kept_in_memory` which members keep these until then · `write` which member writes them,
//! `failures` which could not · `checkpoints` what is on storage and on its way there · `retention` what is removed from it · `result` whose adapter the
//! run leaves · `drain` the polite leave ·
//! `finish` the end of a run, `stop` an earlier one · `outbox` what the engine says · `options` what it is told once ·
//! `clock` time without the coordinator's own stalls · `invariants` what holds after every event · `timeouts` all
//! cluster timeouts, derived from `failure_detection`.
//!
//! Keeps: a micro-batch is credited to one worker only; a step commits once, and only when every live member agrees on
//! the new state; the assignments and credits of a lost worker go back to the pool of the same step, the others keep
//! their sums.

mod agree;
mod audit;
mod boundary;
mod checkpoints;
mod clock;
mod committed;
mod dealing;
mod dispute;
mod drain;
mod evaluate;
mod event;
mod failures;
mod finish;
mod fork;
mod generation;
mod holders;
mod invariants;
mod join;
mod kept_in_memory;
mod lease;
mod members;
mod membership;
mod non_finite;
mod notice;
mod options;
mod outbox;
mod owed;
mod pace;
mod prove;
mod recovery;
mod reduce;
mod result;
mod retention;
mod rewind;
mod state;
mod stop;
mod straggler;
mod timeouts;
mod work;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use shared::evaluation::Course;
use shared::ids::{Generation, Identity, Step, WorkerId};
use shared::wire::message::{Envelope, FromWorker, ToWorker};

use boundary::Boundary;
use checkpoints::Checkpoints;
use clock::Clock;
use committed::CommittedStates;
use evaluate::Evaluations;
pub use event::{
    Command, Committed, Evaluated, Event, ExportFailure, MemberSet, PublishFailure, Rewind,
    StoredCheckpoint,
};
use finish::Export;
use generation::Generations;
use join::SyncOrders;
use members::{Member, MemberState, Members};
use non_finite::SkippedSteps;
pub use notice::Notice;
use options::beginnings;
pub use options::{Cost, Options, Remembered, Restorable, Schedule, WorkKind};
use outbox::Outbox;
use state::{CurrentStep, Phase};
use stop::Stopping;
pub use timeouts::Timeouts;
pub use work::Credited;

/// The engine's whole state: no decision depends on anything else. Each part is a struct in the file that is about it;
/// a decision borrows the parts it needs, and only what orders the whole is a method of the engine.
pub struct Engine {
    options: Options,
    schedule: Box<dyn Schedule>,
    clock: Clock,
    /// Time of the newest event, without the coordinator's own stalls (`clock`).
    now: Duration,
    members: Members,
    generations: Generations,
    sync_orders: SyncOrders,
    phase: Phase,
    step: CurrentStep,
    boundary: Boundary,
    stopping: Stopping,
    states: CommittedStates,
    skipped: SkippedSteps,
    evaluations: Evaluations,
    checkpoints: Checkpoints,
    export: Export,
    outbox: Outbox,
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
        let mut outbox = Outbox::default();
        let course = Course::new(options.patience, remembered.evaluations);
        // Back to a checkpoint, or forward to one of steps that an earlier rewind had made void.
        let evaluated = if !awaited && remembered.committed != from.step {
            outbox.push(Command::Rewind(Rewind {
                step: from.step,
                state_digest: from.state_digest.clone(),
                forked: BTreeSet::new(),
            }));
            course.newest(from.step)
        } else {
            remembered.evaluated
        };
        let committed = if awaited {
            remembered.committed
        } else {
            from.step
        };
        let (origin, stored) = beginnings(&from, remembered.begins_after, remembered.stored);
        Self {
            clock: Clock::new(options.timeouts.beat, options.timeouts.tick()),
            options,
            schedule,
            now: Duration::ZERO,
            members: Members::default(),
            generations: Generations::after(remembered.generation),
            sync_orders: SyncOrders::default(),
            phase,
            step: CurrentStep::default(),
            boundary: Boundary::default(),
            stopping: Stopping::default(),
            states: CommittedStates::new(committed, &from, remembered.digests, remembered.parts),
            skipped: SkippedSteps::new(remembered.skipped),
            evaluations: Evaluations::new(course, evaluated),
            checkpoints: Checkpoints::new(origin, stored),
            export: Export::default(),
            outbox,
        }
    }

    /// Takes one event; returns the commands that follow from it, in the order in which they must be carried out.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Command> {
        self.now = self.clock.hears(now);
        match event {
            Event::Opened { worker, hello } => self.opened(worker, hello),
            Event::Message { worker, envelope } => self.message(&worker, envelope),
            Event::Closed { worker, reason } => self.left(&worker, reason),
            Event::Publishing { staging } => self.checkpoints.publishing(&staging, self.now),
            Event::Published {
                step,
                staging,
                outcome,
            } => self.checkpoint_published(step, &staging, outcome),
            Event::Verified { step, outcome } => self.verified(step, outcome),
            Event::Exported { outcome, .. } => self.exported(outcome),
            Event::Interrupt => self.stopping.interrupted = true,
            Event::Tick => self.tick(),
        }
        self.settle();
        self.outbox.take()
    }

    /// The run's evaluations: the only account of them in the program.
    #[must_use]
    pub fn course(&self) -> &Course {
        &self.evaluations.course
    }

    /// The last committed step.
    #[must_use]
    pub fn committed(&self) -> Step {
        self.states.committed
    }

    /// The newest version of the member set.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generations.newest
    }

    /// Digest of the committed state, when it is known.
    #[must_use]
    pub fn state_digest(&self) -> Option<&String> {
        self.states.state_digest.as_ref()
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
            generation: self.generations.newest,
            step: self.states.committed.next(),
            attempt: self.step.attempt,
        }
    }

    fn send(&mut self, to: &WorkerId, body: ToWorker) {
        let identity = self.identity();
        self.outbox.send_at(to, identity, body);
    }

    fn send_working(&mut self, body: &ToWorker) {
        for worker in self.members.working().iter() {
            self.send(worker, body.clone());
        }
    }
}
