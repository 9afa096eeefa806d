//! The only loop that meets the world: hears sessions, time, signals and its own work, asks the
//! engine, and carries out what it orders.
//!
//! `journal` writes what a run leaves for people · `publish` turns staged files into checkpoints
//! and the adapter · `workers` are the processes of `--local-workers`.

mod journal;
mod publish;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{Code, Error, Result};
use shared::ids::{Identity, Step, WorkerId};
use shared::manifest::{ExpectedTensor, FORMAT, FileDigest, Manifest, checkpoint_name};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::plan::Plan;
use shared::wire::message::{Envelope, FromWorker, ToWorker};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::engine::{Command, Engine, Event, Notice};
use crate::rpc::{Outbox, SessionEvent, Traffic};
use crate::store::Leading;

pub use journal::Journal;
use publish::{Publication, export, publish};
pub use workers::LocalWorkers;

/// How often time is told to the engine and a sign of life to the workers.
const TICK: Duration = Duration::from_millis(500);

/// How long refused workers and finished ones may take to read their last message.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the driver needs to know about the run.
pub struct Run {
    /// The run and the term of this start.
    pub record: Leading,
    /// Everything is written here, absolute.
    pub output_dir: PathBuf,
    /// Steps, epochs, learning rates.
    pub plan: Arc<Plan>,
    /// How many checkpoints are kept.
    pub save_total_limit: Option<u32>,
    /// What the adapter file must hold.
    pub expected: Vec<ExpectedTensor>,
    /// Files that belong beside the adapter.
    pub tokenizer_files: Vec<PathBuf>,
}

/// How a run of the driver ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every step is committed and the adapter is written.
    Complete(Step),
    /// Interrupted; the state of this step is safe.
    Interrupted(Step),
}

/// Meets the world for one engine.
pub struct Driver {
    engine: Engine,
    run: Run,
    journal: Journal,
    traffic: Arc<Traffic>,
    local: LocalWorkers,
    outboxes: BTreeMap<WorkerId, Outbox>,
    device_classes: BTreeSet<String>,
    published: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    last_failure: Option<Error>,
    started: Instant,
}

impl Driver {
    /// A driver for an engine that has not heard anything yet.
    #[must_use]
    pub fn new(
        engine: Engine,
        run: Run,
        journal: Journal,
        traffic: Arc<Traffic>,
        local: LocalWorkers,
    ) -> Self {
        Self {
            engine,
            run,
            journal,
            traffic,
            local,
            outboxes: BTreeMap::new(),
            device_classes: BTreeSet::new(),
            published: mpsc::channel(8),
            last_failure: None,
            started: Instant::now(),
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// Whatever ended the run, coded. The state on storage is that of the newest checkpoint.
    pub async fn run(mut self, mut sessions: mpsc::Receiver<SessionEvent>) -> Result<End> {
        let outcome = self.hear(&mut sessions).await;
        match &outcome {
            Ok(End::Complete(step)) => {
                let totals = self.traffic.totals();
                self.journal.complete(*step, &self.run.output_dir, totals)?;
            }
            Ok(End::Interrupted(_)) | Err(_) => {}
        }
        // Outboxes deliver what they hold, then end the sessions.
        self.outboxes.clear();
        tokio::time::sleep(LAST_WORDS).await;
        self.local.stop().await;
        outcome
    }

    async fn hear(&mut self, sessions: &mut mpsc::Receiver<SessionEvent>) -> Result<End> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signals = Signals::new()?;
        loop {
            let event = tokio::select! {
                Some(event) = sessions.recv() => self.session(event),
                Some(event) = self.published.1.recv() => self.published(event),
                _ = tick.tick() => {
                    self.beat();
                    Event::Tick
                }
                ends = self.local.all_ended(), if self.engine.connected() == 0 => {
                    return Err(self.local_workers_ended(&ends));
                }
                () = signals.recv() => Event::Interrupt,
            };
            for command in self.engine.on(event, self.started.elapsed()) {
                if let Some(end) = self.carry_out(command)? {
                    return Ok(end);
                }
            }
        }
    }

    fn session(&mut self, event: SessionEvent) -> Event {
        match event {
            SessionEvent::Opened {
                worker,
                hello,
                outbox,
            } => {
                self.outboxes.insert(worker.clone(), outbox);
                Event::Opened { worker, hello }
            }
            SessionEvent::Message { worker, envelope } => {
                if let FromWorker::Loaded(loaded) = &envelope.body {
                    self.device_classes.insert(loaded.device_class.clone());
                }
                Event::Message { worker, envelope }
            }
            SessionEvent::Closed { worker, reason } => {
                self.outboxes.remove(&worker);
                Event::Closed { worker, reason }
            }
        }
    }

    fn published(&mut self, event: Event) -> Event {
        if let Event::Published {
            step,
            outcome: Ok(folder),
        } = &event
        {
            self.journal.published(*step, folder);
        }
        event
    }

    fn carry_out(&mut self, command: Command) -> Result<Option<End>> {
        match command {
            Command::Send { to, message } => {
                let sent = self
                    .outboxes
                    .get(&to)
                    .map_or(Ok(()), |outbox| outbox.send(*message));
                if let Err(error) = sent {
                    tracing::warn!(%error, "dropping the session");
                    self.outboxes.remove(&to);
                }
            }
            Command::Disconnect(worker) => {
                self.outboxes.remove(&worker);
            }
            Command::Commit(committed) => {
                let plan = self.run.plan.step(committed.step);
                self.journal
                    .commit(&committed, &plan, self.traffic.totals())?;
            }
            Command::Publish {
                step,
                state_digest,
                files,
            } => {
                self.publish(step, state_digest, files)?;
            }
            Command::Rewind(step) => self.journal.rewind(step, &self.run.output_dir)?,
            Command::Notice(notice) => self.tell(notice),
            Command::Complete(step) => {
                self.finish(step)?;
                return Ok(Some(End::Complete(step)));
            }
            Command::Interrupted(step) => return Ok(Some(End::Interrupted(step))),
            Command::Fail(error) => return Err(error),
        }
        Ok(None)
    }

    fn tell(&mut self, notice: Notice) {
        if let Notice::Failed { error, .. } = &notice {
            self.last_failure = Some(error.clone());
        }
        self.journal.notice(&notice, self.engine.connected());
    }

    /// Publishes on a blocking thread; the outcome comes back as an event.
    fn publish(&mut self, step: Step, state_digest: String, files: Vec<FileDigest>) -> Result<()> {
        let record = &self.run.record;
        let publication = Publication {
            output_dir: self.run.output_dir.clone(),
            staging: self
                .run
                .output_dir
                .join(".staging")
                .join(checkpoint_name(step)),
            files,
            trainer_state: self.journal.trainer_state(step)?,
            manifest: Manifest {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").into(),
                run_id: record.run_id.clone(),
                run_identity: record.run_identity.clone(),
                identity: record.identity.clone(),
                step,
                total_steps: self.run.plan.total_steps(),
                state_digest,
                scale_bits: (GRADIENT_SCALE_BITS, LOSS_SCALE_BITS),
                device_classes: self.device_classes.clone(),
                files: Vec::new(),
            },
            keep: self.run.save_total_limit,
            expected: self.run.expected.clone(),
        };
        let published = self.published.0.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = publish(publication).map(|folder| folder.display().to_string());
            // Nobody listens any more only when the run is over.
            let _ = published.blocking_send(Event::Published { step, outcome });
        });
        Ok(())
    }

    fn finish(&mut self, step: Step) -> Result<()> {
        let checkpoint = self.run.output_dir.join(checkpoint_name(step));
        let run = &self.run;
        export(
            &run.output_dir,
            &checkpoint,
            &run.tokenizer_files,
            &run.expected,
        )?;
        // An empty folder that stays would be harmless.
        let _ = std::fs::remove_dir(run.output_dir.join(".staging"));
        Ok(())
    }

    fn beat(&mut self) {
        let silent: Vec<_> = self
            .outboxes
            .iter()
            .filter(|(_, outbox)| {
                let message = Envelope {
                    identity: Identity::default(),
                    body: ToWorker::Beat,
                };
                outbox.send(message).is_err()
            })
            .map(|(worker, _)| worker.clone())
            .collect();
        for worker in silent {
            self.outboxes.remove(&worker);
        }
    }

    fn local_workers_ended(&mut self, ends: &[String]) -> Error {
        let cause = self.last_failure.take();
        let mut error = cause.unwrap_or_else(|| {
            Error::new(
                Code::WorkerFailed,
                "all local workers ended and nobody else is there",
            )
        });
        for end in ends {
            error = error.why(format!("local worker: {end}"));
        }
        error
    }
}

/// SIGTERM and interrupt: the first makes the state safe, the second ends the process at once.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    asked: bool,
}

impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|e| Error::new(Code::Io, "no signal handler").why(e.to_string()))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            asked: false,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if std::mem::replace(&mut self.asked, true) {
            std::process::exit(i32::from(shared::error::ExitCode::Interrupted as u8));
        }
    }
}
