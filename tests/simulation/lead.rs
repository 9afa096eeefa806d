//! The simulated coordinator: starts, hears, obeys the shipped engine, stops.

use std::path::PathBuf;
use std::time::Duration;

use coordinator::engine::{Command, Engine, Event, Ladder, Notice, Options, Schedule};
use shared::ids::{Identity, RunId, Step, Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, SyncSource, ToWorker, Welcome};

use super::evaluation;
use super::invariants::Violation;
use super::plan::{Moment, Setting};
use super::store::Line;
use super::world::{Item, World};

const MS: u64 = 1000;

struct Fixed(Setting);

impl Schedule for Fixed {
    fn total_steps(&self) -> u64 {
        self.0.planned
    }
    fn micro_batches(&self, _: Step) -> u32 {
        self.0.micro_batches
    }
    fn sets(&self) -> usize {
        1
    }

    fn evaluation(&self, step: Step) -> u32 {
        if evaluation::is_due(&self.0, step) {
            evaluation::PARTS
        } else {
            0
        }
    }
}

/// What a coordinator of this term is told.
pub(crate) fn options(setting: &Setting, term: Term, ladder: Ladder) -> Options {
    Options {
        run: RunId("r".into()),
        term,
        welcome: Welcome::default(),
        device: "auto".into(),
        strict_devices: false,
        device_class: None,
        min_workers: setting.min_workers,
        max_workers: setting.max_workers,
        wait_workers: if term.0 == 1 {
            setting.workers.min(3)
        } else {
            1
        },
        save_steps: setting.save_steps,
        audit_rate: setting.audit_rate,
        stability: Default::default(),
        patience: evaluation::patience(setting),
        ladder,
        staging: PathBuf::from("/s"),
    }
}

/// Every step is like the others.
pub(crate) fn schedule(setting: &Setting) -> Box<dyn Schedule> {
    Box::new(Fixed(setting.clone()))
}

impl World {
    /// A sign of life on every stream, as the driver gives it.
    pub(crate) fn beat(&mut self) {
        let streams: Vec<WorkerId> = self.streams.keys().cloned().collect();
        for worker in streams {
            let message = Envelope {
                identity: Identity::default(),
                body: ToWorker::Beat,
            };
            self.send_down(&worker, message);
        }
    }

    pub(crate) fn start_coordinator(&mut self) {
        if self.engine.is_some() || self.complete {
            return;
        }
        let (from, remembered) = self.store.recall();
        // What was not on storage is gone, and may be committed again.
        self.judge.recalled(&remembered);
        self.term = self.term.next();
        self.engine_started = self.now;
        let options = options(&self.setting, self.term, self.ladder);
        self.moment = if remembered.members.is_empty() {
            Moment::Gathering
        } else {
            Moment::Recovering
        };
        let text = format!(
            "coordinator term {} from {} remembers {:?}",
            self.term, from.step, remembered.committed
        );
        self.say(|| text);
        self.engine = Some(Engine::new(
            options,
            schedule(&self.setting),
            from,
            remembered,
        ));
    }

    /// The process is gone: streams break, what is on its way may still arrive or not.
    pub(crate) fn stop_coordinator(&mut self, micros: u64) {
        self.engine = None;
        for (name, stream) in std::mem::take(&mut self.streams) {
            let delay = self.dice.within(0, 20 * MS);
            self.after(delay, Item::Broken(stream.machine, name, "gone".into()));
        }
        self.after(micros, Item::CoordinatorStarts);
    }

    /// Messages of a stream that is gone may come late: the engine must not know them any more.
    pub(crate) fn coordinator_hears(
        &mut self,
        name: &WorkerId,
        event: Event,
    ) -> Result<(), Violation> {
        let open = self.streams.contains_key(name) || matches!(event, Event::Closed { .. });
        if !open && (matches!(event, Event::Opened { .. }) || !self.dice.one_in(3)) {
            return Ok(());
        }
        if let Event::Message { envelope, .. } = &event
            && matches!(envelope.body, FromWorker::Applied(_))
        {
            self.moment = Moment::Apply;
        }
        self.coordinator(event)
    }

    pub(crate) fn coordinator(&mut self, event: Event) -> Result<(), Violation> {
        let event = match self.bug {
            Some(bug) => bug.meddle_event(self, event),
            None => Some(event),
        };
        let Some(event) = event else { return Ok(()) };
        let since = self.now.saturating_sub(self.engine_started);
        let Some(engine) = self.engine.as_mut() else {
            return Ok(());
        };
        let quiet = matches!(
            event,
            Event::Tick
                | Event::Message {
                    envelope: Envelope {
                        body: FromWorker::Beat,
                        ..
                    },
                    ..
                }
        );
        let text = if quiet {
            String::new()
        } else {
            format!("> {event:?}")
        };
        let commands = engine.on(event, since);
        if !quiet {
            self.say(|| text.chars().take(300).collect());
        }
        for command in commands {
            let command = match self.bug {
                Some(bug) => bug.meddle_command(self, command),
                None => Some(command),
            };
            if let Some(command) = command {
                self.obey(command)?;
            }
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) -> Result<(), Violation> {
        if !matches!(command, Command::Send { .. }) {
            let text = format!("< {command:?}");
            self.say(|| text.chars().take(300).collect());
        }
        match command {
            Command::Send { to, message } => {
                match &message.body {
                    ToWorker::Assign(..) => self.moment = Moment::Assignment,
                    ToWorker::Sync(sync) if matches!(sync.source, SyncSource::Peer(_)) => {
                        self.moment = Moment::Joining;
                    }
                    ToWorker::WriteCheckpoint { .. } => self.moment = Moment::Checkpoint,
                    _ => {}
                }
                self.judge.sent(&to, &message)?;
                self.send_down(&to, *message);
            }
            Command::Disconnect(worker) => {
                if let Some(stream) = self.streams.remove(&worker) {
                    let delay = self.dice.within(0, 2 * MS);
                    // The last words are on their way before the end.
                    let at = (self.now + Duration::from_micros(delay)).max(stream.last[1]);
                    self.at(at, Item::Broken(stream.machine, worker, "ended".into()));
                }
            }
            Command::Commit(commit) => {
                self.moment = Moment::Commit;
                self.judge.committed(&commit)?;
                self.store.append(Line::Commit(commit));
            }
            Command::Evaluated(evaluated) => {
                self.judge.evaluated(&evaluated)?;
                self.store.append(Line::Evaluated(evaluated));
            }
            Command::Members(generation, workers) => {
                self.store.append(Line::Members(generation, workers));
            }
            Command::Rewind(step) => {
                self.judge.rewound(step);
                self.store.append(Line::Rewind(step));
            }
            Command::Publish { step, .. } => {
                self.moment = Moment::Checkpoint;
                let state = self.staged.remove(&step).filter(|_| !self.checkpoint_fails);
                let delay = self.dice.within(MS, 50 * MS);
                self.after(delay, Item::Published(step, state));
            }
            Command::Notice(notice) => {
                if let Notice::Waiting { .. } = notice {
                    self.moment = Moment::Gathering;
                }
                self.judge.notice(&notice)?;
            }
            Command::Complete(_) => self.complete = true,
            Command::Interrupted(_) => {
                let line = Line::Members(
                    self.engine
                        .as_ref()
                        .map(Engine::generation)
                        .unwrap_or_default(),
                    Vec::new(),
                );
                self.store.append(line);
                let delay = self.dice.within(MS, 500 * MS);
                self.stop_coordinator(delay);
            }
            Command::Fail(error) => {
                return Err(Violation::new(
                    "progress",
                    format!("the run failed: {error:?}"),
                ));
            }
        }
        Ok(())
    }
}
