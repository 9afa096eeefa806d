//! Mistakes planted at the seams, to see that the invariants would catch them in the product.
//!
//! In: an event or a command on its way. Out: what a program with that mistake would have made of it.
//! Keeps: without a bug everything passes unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coordinator::engine::{Command, Event, Remembered};
use shared::ids::{Identity, MicroBatchId, Step, WorkerId};
use shared::wire::message::{Envelope, FromWorker, Loaded, Progress, Task, ToWorker};

use super::world::World;

macro_rules! bugs {
    ($($name:ident = $text:literal),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug { $($name),* }
        impl Bug {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];
            pub(crate) fn words(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

bugs!(
    DropCredit = "drop a coverage bit: a credit never reaches its worker",
    SkipEntry = "skip a ledger entry",
    DeadLease = "keep a dead lease: an end is never heard and time never passes",
    CountTwice = "count a duplicate: both holders are credited",
    OldMembers = "reduce a sum of an earlier member set among the new one",
    StaleGeneration = "accept messages of an older generation as current",
    OneDigest = "commit on one digest: the others' are not compared",
    InPlace = "reduce in place: a repeated reduce begins with the total of the one before",
    ForgetCommit = "a commit never reaches one worker",
    BestForgotten = "the best state is written once and forgotten",
    LastIsTheResult = "the result is the last state, whatever the evaluations say",
    PublishAnything = "publish without comparing",
    NameReused = "a name is reused: a worker that comes back gets the one it had",
    NoSizes = "a deadline without size: all micro-batches cost the same, and nothing shows that they move",
    DeadCredit = "a credit is kept for a dead member",
    OneWriter = "the writer is never rotated",
    NobodyAwaited = "a rollback while a holder is on its way back",
);

/// The mistake of a run, and what it has to remember.
#[derive(Default)]
pub(crate) struct Planted {
    bug: Option<Bug>,
    /// The first digest of a reduce.
    first_applied: Option<(Identity, String)>,
    names: BTreeMap<usize, WorkerId>,
    /// Best steps whose state was ordered to be written.
    ordered: BTreeSet<Step>,
    /// Who was told first to write a step, and who would write it without the mistake.
    writers: BTreeMap<Step, (WorkerId, WorkerId)>,
    /// Whose micro-batches are.
    credited: BTreeMap<(Step, Task, MicroBatchId), WorkerId>,
}

impl Planted {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        Self {
            bug,
            ..Self::default()
        }
    }

    pub(crate) fn bug(&self) -> Option<Bug> {
        self.bug
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn has_no_sizes(&self) -> bool {
        self.is(Bug::NoSizes)
    }

    pub(crate) fn publishes_anything(&self) -> bool {
        self.is(Bug::PublishAnything)
    }

    pub(crate) fn reduces_old_members(&self) -> bool {
        self.is(Bug::OldMembers)
    }

    pub(crate) fn progress(&self, progress: Progress) -> Progress {
        if self.is(Bug::NoSizes) {
            Progress::default()
        } else {
            progress
        }
    }

    pub(crate) fn loaded(&self, mut loaded: Loaded) -> Loaded {
        if self.is(Bug::NoSizes) {
            loaded.rehearsals.clear();
        }
        loaded
    }

    pub(crate) fn remembers(&self, mut remembered: Remembered) -> Remembered {
        if self.is(Bug::NobodyAwaited) {
            remembered.awaited.clear();
        }
        remembered
    }

    pub(crate) fn name(&mut self, machine: usize, fresh: WorkerId) -> WorkerId {
        if self.is(Bug::NameReused) {
            self.names.entry(machine).or_insert(fresh).clone()
        } else {
            fresh
        }
    }

    /// The sum of a repeated reduce, overwritten by the total before where that is the mistake.
    pub(crate) fn in_place(
        &self,
        last: Option<&(Step, Vec<i64>)>,
        identity: &Identity,
        sum: Arc<Vec<i64>>,
    ) -> Arc<Vec<i64>> {
        let repeats =
            |(step, total): &&(Step, Vec<i64>)| *step == identity.step && total.len() == sum.len();
        match last.filter(repeats).filter(|_| self.is(Bug::InPlace)) {
            Some((_, total)) => Arc::new(total.clone()),
            None => sum,
        }
    }

    /// Those of a list that were not a dead machine's before; all are this worker's from now on.
    fn without_dead(
        &mut self,
        to: &WorkerId,
        (step, task): (Step, Task),
        list: &[MicroBatchId],
        is_dead: impl Fn(&WorkerId) -> bool,
    ) -> Vec<MicroBatchId> {
        let mut left = Vec::new();
        for id in list {
            let before = self.credited.insert((step, task, *id), to.clone());
            if !before.is_some_and(|owner| is_dead(&owner)) {
                left.push(*id);
            }
        }
        left
    }
}

impl Bug {
    pub(crate) fn meddle_event(self, world: &mut World, event: Event) -> Option<Event> {
        match (self, event) {
            (Self::DeadLease, Event::Closed { .. } | Event::Tick) => None,
            (
                Self::StaleGeneration,
                Event::Message {
                    worker,
                    mut envelope,
                },
            ) => {
                if let (FromWorker::Applied(_), Some(engine)) = (&envelope.body, &world.engine) {
                    envelope.identity.generation = engine.generation();
                    envelope.identity.step = engine.committed().next();
                }
                Some(Event::Message { worker, envelope })
            }
            (
                Self::OneDigest,
                Event::Message {
                    worker,
                    mut envelope,
                },
            ) => {
                if let FromWorker::Applied(report) = &mut envelope.body {
                    let first = world.planted.first_applied.take();
                    let first = first.filter(|(identity, _)| *identity == envelope.identity);
                    let (_, digest) = first.unwrap_or_else(|| {
                        (envelope.identity.clone(), report.state_digest.clone())
                    });
                    report.state_digest.clone_from(&digest);
                    world.planted.first_applied = Some((envelope.identity.clone(), digest));
                }
                Some(Event::Message { worker, envelope })
            }
            (
                Self::OneWriter,
                Event::Message {
                    mut worker,
                    envelope,
                },
            ) => {
                if let FromWorker::CheckpointWritten { step, .. } = &envelope.body
                    && let Some((first, asked)) = world.planted.writers.get(step)
                    && *first == worker
                {
                    worker.clone_from(asked);
                }
                Some(Event::Message { worker, envelope })
            }
            (_, event) => Some(event),
        }
    }

    pub(crate) fn meddle_command(self, world: &mut World, command: Command) -> Option<Command> {
        match (self, command) {
            (Self::SkipEntry, Command::Commit(commit)) => {
                (!world.dice.one_in(4)).then_some(Command::Commit(commit))
            }
            (Self::DropCredit, Command::Send { to, message })
                if matches!(message.body, ToWorker::Credit(..)) =>
            {
                let kept = !world.dice.one_in(8);
                kept.then_some(Command::Send { to, message })
            }
            (Self::ForgetCommit, Command::Send { to, message })
                if matches!(message.body, ToWorker::Commit { .. }) =>
            {
                let kept = !world.dice.one_in(4);
                kept.then_some(Command::Send { to, message })
            }
            (Self::LastIsTheResult, Command::Export { last, .. }) => {
                Some(Command::Export { result: last, last })
            }
            (
                Self::BestForgotten | Self::DeadCredit | Self::OneWriter,
                Command::Send { to, message },
            ) => self.meddle_message(world, to, *message),
            (Self::CountTwice, Command::Send { to, mut message }) => {
                if let ToWorker::Withdraw(task, list) = &message.body {
                    message.body = ToWorker::Credit(*task, list.clone());
                }
                Some(Command::Send { to, message })
            }
            (_, command) => Some(command),
        }
    }

    fn meddle_message(
        self,
        world: &mut World,
        mut to: WorkerId,
        mut message: Envelope<ToWorker>,
    ) -> Option<Command> {
        let step = message.identity.step;
        match (self, &mut message.body) {
            (Self::BestForgotten, ToWorker::Retain(steps)) => steps.clear(),
            (Self::BestForgotten, ToWorker::WriteCheckpoint { step, .. }) => {
                let best = world.judge.best() == Some(*step);
                if best && !world.planted.ordered.insert(*step) {
                    return None;
                }
            }
            (Self::OneWriter, ToWorker::WriteCheckpoint { step, .. }) => {
                let writers = &mut world.planted.writers;
                let pair = writers.entry(*step).or_insert((to.clone(), to.clone()));
                pair.1.clone_from(&to);
                if world.open.contains(&pair.0) {
                    to.clone_from(&pair.0);
                }
            }
            (Self::DeadCredit, ToWorker::Credit(task, list)) => {
                let (judge, machines) = (&world.judge, &world.machines);
                let is_dead = |w: &WorkerId| judge.owner(w).is_some_and(|m| !machines[m].alive);
                let planted = &mut world.planted;
                *list = planted.without_dead(&to, (step, *task), list, is_dead);
                if list.is_empty() {
                    return None;
                }
            }
            _ => {}
        }
        Some(Command::Send {
            to,
            message: Box::new(message),
        })
    }
}
