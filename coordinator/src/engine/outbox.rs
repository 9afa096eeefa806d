//! What the engine says: commands in the order in which they must be carried out, and notices, each once per change.
//!
//! In: what the other files decide. Out: the commands of one event. Keeps: a lasting condition is reported once; the
//! wait for workers is reported again only when its numbers have changed.

use std::collections::BTreeSet;

use shared::ids::{Identity, WorkerId};
use shared::wire::message::{Envelope, ToWorker};

use super::event::Command;
use super::notice::Notice;

/// The commands of the event in hand, and what was reported so far.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    commands: Vec<Command>,
    /// Lasting conditions that were reported, by the words that tell one from another.
    notices_given: BTreeSet<String>,
    /// The newest [`Notice::Waiting`]; `None` once the wait is over.
    last_waiting: Option<Notice>,
}

impl Outbox {
    pub(super) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    /// The commands since the last time, oldest first.
    pub(super) fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    pub(super) fn send_at(&mut self, to: &WorkerId, identity: Identity, body: ToWorker) {
        self.push(Command::Send {
            to: to.clone(),
            message: Box::new(Envelope { identity, body }),
        });
    }

    /// Reports a notice; [`Notice::Waiting`] is repeated only when its numbers have changed.
    pub(super) fn notice(&mut self, notice: Notice) {
        if matches!(notice, Notice::Waiting { .. }) {
            if self.last_waiting.as_ref() == Some(&notice) {
                return;
            }
            self.last_waiting = Some(notice.clone());
        }
        self.push(Command::Notice(notice));
    }

    /// Reports a lasting condition once, however often the workers it names change.
    pub(super) fn notice_once(&mut self, notice: Notice) {
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

    /// The run goes on: the next wait for workers is reported whatever its numbers are.
    pub(super) fn wait_is_over(&mut self) {
        self.last_waiting = None;
    }
}
