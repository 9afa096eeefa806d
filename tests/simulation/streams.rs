//! Sessions as the network sees them: named by the coordinator, ordered, and now and then dead on one side only.
//!
//! In: what either side says. Out: the same a little later, in order, unless the line is dead.
//! Keeps: every session has a name that no other had; it is made of the term and a count, never of what a
//! worker claims.

use std::time::Duration;

use coordinator::engine::Event;
use shared::ids::{Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, ToWorker};
use worker::session::Input;

use super::invariants::Violation;
use super::world::{Item, World};

const MS: u64 = 1000;
/// A stopped process answers no connection; who tries gives up after this.
const NO_ANSWER: u64 = 3000 * MS;

/// A stream as the network sees it.
pub(crate) struct Stream {
    pub(crate) machine: usize,
    pub(crate) to_coordinator: bool,
    pub(crate) to_machine: bool,
    /// When the last message arrives, up and down.
    pub(crate) last: [Duration; 2],
}

/// The name of a session, as the session service gives it.
fn name(term: Term, session: u64) -> WorkerId {
    WorkerId(match term.0 {
        1 => format!("worker-{session}"),
        term => format!("worker-{term}.{session}"),
    })
}

impl World {
    pub(crate) fn connect(&mut self, m: usize) -> Result<(), Violation> {
        if self.engine.is_none() {
            self.after(2 * MS, Item::Input(m, Input::Lost("refused".into())));
            return Ok(());
        }
        if self.stalled_until.is_some() {
            let lost = Input::Lost("no answer".into());
            self.after(NO_ANSWER, Item::Input(m, lost));
            return Ok(());
        }
        self.hang_up(m, "it opened another session");
        self.sessions += 1;
        let fresh = name(self.term, self.sessions);
        let name = self.planted.name(m, fresh);
        self.machines[m].stream = Some(name.clone());
        self.streams.insert(
            name.clone(),
            Stream {
                machine: m,
                to_coordinator: true,
                to_machine: true,
                last: [self.now; 2],
            },
        );
        self.input(m, Input::Connected)?;
        let machine = &mut self.machines[m];
        if machine.resets > 0 {
            machine.resets -= 1;
            self.breaks_here(m);
        }
        Ok(())
    }

    /// The machine lets its stream go, and the other side hears of it unless the line is dead.
    pub(crate) fn hang_up(&mut self, m: usize, reason: &str) {
        let Some(name) = self.machines[m].stream.take() else {
            return;
        };
        if self.streams.get(&name).is_some_and(|s| s.to_coordinator) {
            let last = self.streams.remove(&name).map_or(self.now, |s| s.last[0]);
            let closed = Event::Closed {
                worker: name.clone(),
                reason: reason.to_owned(),
            };
            // Its last words come before.
            let at = last.max(self.now) + self.dice.micros(50, 2 * MS);
            self.at(at, Item::ToCoordinator(name, closed));
        }
    }

    /// Only the machine notices that its stream is gone; the coordinator hears it much later, or never.
    pub(crate) fn breaks_here(&mut self, m: usize) {
        let Some(name) = self.machines[m].stream.clone() else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.to_coordinator = false;
            stream.to_machine = false;
        }
        let soon = self.dice.within(100, 1500);
        self.after(soon, Item::Broken(m, name.clone(), "reset".into()));
        if self.dice.one_in(2) {
            let late = self.dice.within(50 * MS, 20_000 * MS);
            let closed = Event::Closed {
                worker: name.clone(),
                reason: "keep-alive".into(),
            };
            self.after(late, Item::ToCoordinator(name, closed));
        }
    }

    /// Both sides notice at once.
    pub(crate) fn reset(&mut self, m: usize) {
        let Some(name) = self.machines[m].stream.clone() else {
            return;
        };
        if self.streams.remove(&name).is_none() {
            return;
        }
        let (up, down) = (self.dice.within(50, 3 * MS), self.dice.within(50, 3 * MS));
        let closed = Event::Closed {
            worker: name.clone(),
            reason: "reset".into(),
        };
        self.after(up, Item::ToCoordinator(name.clone(), closed));
        self.after(down, Item::Broken(m, name, "reset".into()));
    }

    /// A message on its way, in order, unless the line is dead.
    pub(crate) fn send_up(&mut self, m: usize, message: Envelope<FromWorker>) {
        let Some(name) = self.machines[m].stream.clone() else {
            return;
        };
        let delay = self.dice.micros(50, 2000);
        let Some(stream) = self.streams.get_mut(&name).filter(|s| s.to_coordinator) else {
            return;
        };
        let at = (self.now + delay).max(stream.last[0]);
        stream.last[0] = at;
        let event = match message.body {
            FromWorker::Hello(hello) => Event::Opened {
                worker: name.clone(),
                hello,
            },
            body => Event::Message {
                worker: name.clone(),
                envelope: Envelope {
                    identity: message.identity,
                    body,
                },
            },
        };
        if self.duplicates && !matches!(event, Event::Opened { .. }) && self.dice.one_in(3) {
            let late = at + self.dice.micros(0, 50_000);
            self.at(late, Item::ToCoordinator(name.clone(), event.clone()));
        }
        self.at(at, Item::ToCoordinator(name, event));
    }

    pub(crate) fn send_down(&mut self, to: &WorkerId, message: Envelope<ToWorker>) {
        let delay = self.dice.micros(50, 2000);
        let Some(stream) = self.streams.get_mut(to).filter(|s| s.to_machine) else {
            return;
        };
        let at = (self.now + delay).max(stream.last[1]);
        stream.last[1] = at;
        let m = stream.machine;
        // A stream brings what changes a list once, and in order.
        let harmless = !matches!(
            message.body,
            ToWorker::Welcome(_) | ToWorker::Sync(_) | ToWorker::Members(_)
        );
        if self.duplicates && harmless && self.dice.one_in(3) {
            self.at(at, Item::ToMachine(m, to.clone(), message.clone()));
        }
        self.at(at, Item::ToMachine(m, to.clone(), message));
    }
}
