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
    LoseTotal = "lose a total on its way to a follower",
    OldMembers = "reduce a sum of an earlier member set among the new one",
    StaleGeneration = "accept messages of an older generation as current",
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
            (_, event) => Some(event),
        }
    }

    pub(crate) fn meddle_command(self, world: &mut World, command: Command) -> Option<Command> {
        match (self, command) {
            (Self::SkipEntry, Command::Commit(commit)) => {
                (!world.dice.one_in(4)).then_some(Command::Commit(commit))
            }
            (Self::DropCredit, Command::Send { to, message })
                if matches!(message.body, ToWorker::Credit(_)) =>
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
                if let ToWorker::Withdraw(list) = &message.body {
                    message.body = ToWorker::Credit(list.clone());
                }
                Some(Command::Send { to, message })
            }
            (_, command) => Some(command),
        }
    }
}
