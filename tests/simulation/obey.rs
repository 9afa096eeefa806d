//! Carries out what the engine orders, as the driver does.
//!
//! In: commands, in order. Out: messages on their way, lines of the ledger, tasks of `publish`.
//! Keeps: the judge sees every command before anybody else does.

use std::time::Duration;

use coordinator::engine::{Command, Engine, MemberSet, Notice};
use shared::ids::WorkerId;
use shared::numerics::state_digest;
use shared::wire::message::{Envelope, SyncSource, ToWorker};

use super::invariants::Violation;
use super::ledger::Line;
use super::plan::{Kind, Moment};
use super::world::{Item, Own, World};

const MS: u64 = 1000;

impl World {
    pub(crate) fn obey(&mut self, command: Command) -> Result<(), Violation> {
        if !matches!(command, Command::Send { .. }) {
            let text = format!("< {command:?}");
            self.say(|| text.chars().take(300).collect());
        }
        match command {
            Command::Send { to, message } => return self.deliver_down(&to, *message),
            Command::Disconnect(worker) => self.disconnect(&worker),
            Command::Commit(commit) => {
                self.moment = Moment::Commit;
                self.judge.committed(&commit)?;
                self.store.append(Line::Commit(commit));
            }
            Command::Evaluated(evaluated) => {
                self.judge.evaluated(&evaluated)?;
                self.store.append(Line::Evaluated(evaluated));
            }
            Command::Members(set) => {
                self.members = set.workers.iter().cloned().collect();
                self.store.append(Line::Members(set));
            }
            Command::Rewind(rewind) => {
                let holders = self.holders(None);
                self.judge.rewound(&rewind, &holders)?;
                self.store.append(Line::Rewind(rewind));
            }
            Command::Publish {
                step,
                state_digest,
                staging,
                ..
            } => {
                self.moment = Moment::Checkpoint;
                let staging = staging.display().to_string();
                let time = self.moves_storage(&staging);
                let publish = Own::Publish {
                    step,
                    state_digest,
                    staging,
                };
                self.after(time, Item::Own(self.term, publish));
            }
            Command::Stored(stored) => self.store.append(Line::Checkpoint(stored)),
            Command::Discard(staging) => {
                self.store.staged.remove(&staging.display().to_string());
            }
            Command::Remove(step) => {
                self.judge.removed(step, &self.store)?;
                let delay = self.dice.within(MS, 20 * MS);
                self.after(delay, Item::Own(self.term, Own::Remove(step)));
            }
            Command::Verify(stored) => {
                let delay = self.dice.within(MS, 50 * MS);
                self.after(delay, Item::Own(self.term, Own::Verify(stored)));
            }
            Command::SetAside { step, .. } => {
                self.judge.set_aside(step, &self.store)?;
                self.store.checkpoints.remove(&step);
            }
            Command::Export { result, last } => {
                let delay = self.dice.within(MS, 50 * MS);
                self.after(delay, Item::Own(self.term, Own::Export { result, last }));
            }
            Command::Evicted(_) => {}
            Command::Notice(notice) => {
                if let Notice::Waiting { .. } = notice {
                    self.moment = Moment::Gathering;
                }
                self.judge.notice(&notice)?;
            }
            Command::Complete(step) => {
                self.store.append(Line::Complete(step));
                self.complete = true;
            }
            Command::Interrupted(_) => self.interrupted(),
            Command::Fail(error) => {
                return Err(Violation::new(
                    "progress",
                    format!("the run failed: {error:?}"),
                ));
            }
        }
        Ok(())
    }

    fn deliver_down(
        &mut self,
        to: &WorkerId,
        message: Envelope<ToWorker>,
    ) -> Result<(), Violation> {
        match &message.body {
            ToWorker::Assign(..) => self.moment = Moment::Assignment,
            ToWorker::Sync(sync) if matches!(sync.source, SyncSource::Peer(_)) => {
                self.moment = Moment::Joining;
            }
            ToWorker::WriteCheckpoint { step, .. } => {
                self.moment = Moment::Checkpoint;
                let best = self.judge.best().is_none_or(|best| best == *step);
                if best && std::mem::take(&mut self.kills_best_writer) {
                    self.kill_writer(to);
                }
            }
            ToWorker::Release => {
                // One that is behind or holds another state takes nothing away, and what the ledger does not know
                // cannot be gone on from.
                let committed = self.judge.committed_step();
                let own = self
                    .judge
                    .owner(to)
                    .map(|m| self.machines[m].replica.state());
                let own = own
                    .filter(|state| state.step == committed)
                    .map(|s| state_digest(s));
                if own.is_some_and(|own| self.judge.digest(committed).is_none_or(|d| *d == own)) {
                    let others = self.holders(Some(to));
                    self.judge.released(to, &others, &self.store)?;
                }
            }
            _ => {}
        }
        self.judge.sent(to, &message)?;
        self.send_down(to, message);
        Ok(())
    }

    fn kill_writer(&mut self, writer: &WorkerId) {
        let Some(m) = self.judge.owner(writer) else {
            return;
        };
        self.judge.struck(Kind::WriterKilledAtBest, m);
        let soon = self.dice.within(0, 200 * MS);
        self.say(|| format!("m{m} writes the best state, and dies"));
        self.after(soon, Item::Ends(m));
    }

    fn disconnect(&mut self, worker: &WorkerId) {
        self.open.remove(worker);
        if let Some(stream) = self.streams.remove(worker) {
            let delay = self.dice.within(0, 2 * MS);
            // The last words are on their way before the end.
            let at = (self.now + Duration::from_micros(delay)).max(stream.last[1]);
            let broken = Item::Broken(stream.machine, worker.clone(), "ended".into());
            self.at(at, broken);
        }
    }

    fn interrupted(&mut self) {
        let generation = self.engine.as_ref().map(Engine::generation);
        self.store.append(Line::Members(MemberSet {
            generation: generation.unwrap_or_default(),
            ..MemberSet::default()
        }));
        let delay = self.dice.within(MS, 500 * MS);
        self.stop_coordinator(delay);
    }
}
