//! Mistakes planted at the seams, to see that the invariants would catch them in the product.

use coordinator::engine::{Command, Event};
use shared::wire::message::{FromWorker, ToWorker};

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
);

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
                    let first = world.first_applied.take();
                    let first = first.filter(|(identity, _)| *identity == envelope.identity);
                    let (_, digest) = first.unwrap_or_else(|| {
                        (envelope.identity.clone(), report.state_digest.clone())
                    });
                    report.state_digest.clone_from(&digest);
                    world.first_applied = Some((envelope.identity.clone(), digest));
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
            (Self::CountTwice, Command::Send { to, mut message }) => {
                if let ToWorker::Withdraw(task, list) = &message.body {
                    message.body = ToWorker::Credit(*task, list.clone());
                }
                Some(Command::Send { to, message })
            }
            (_, command) => Some(command),
        }
    }
}
