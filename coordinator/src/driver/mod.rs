//! The only loop that meets the world: hears sessions, time, signals and its own work, asks the
//! engine, and carries out what it orders.
//!
//! `recorder` writes the ledger, `records` what its lines say · `journal` writes what a run leaves
//! for people · `publish` turns staged files into checkpoints and the adapter, `plain_lora` one kind
//! of it into another · `workers` are the processes of `--local-workers`.

mod journal;
mod plain_lora;
mod publish;
mod recorder;
mod records;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{Code, Error, Result};
use shared::evaluation::{Course, EvaluationSet};
use shared::faults::Faults;
use shared::ids::{Identity, Step, WorkerId};
use shared::ledger::{self, Members, Record, Rewind};
use shared::manifest::{self, ExpectedTensor, FORMAT, FileDigest, Manifest, checkpoint_name};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::plan::Plan;
use shared::signals::LeaveSignal;
use shared::wire::message::{Envelope, FromWorker, ToWorker};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::engine::{Command, Engine, Event, Ladder, Notice};
use crate::rpc::{Outbox, SessionEvent, Traffic};
use crate::store::{Leading, Store};

pub use journal::{Journal, Since};
use publish::{ADAPTER, Publication, export, publish};
use recorder::Recorder;
pub use workers::LocalWorkers;

/// How long refused workers and finished ones may take to read their last message.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the driver needs to know about the run.
pub struct Run {
    /// Every time there is.
    pub ladder: Ladder,
    /// The run and the term of this start.
    pub record: Leading,
    /// Everything is written here, absolute.
    pub output_dir: PathBuf,
    /// Steps, epochs, learning rates.
    pub plan: Arc<Plan>,
    /// What is evaluated.
    pub evaluation_sets: Vec<EvaluationSet>,
    /// The evaluations of the run so far.
    pub course: Course,
    /// Whether the best adapter is the result, not the last one.
    pub best_is_the_result: bool,
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
    recorder: Recorder,
    faults: Faults,
    journal: Journal,
    traffic: Arc<Traffic>,
    local: LocalWorkers,
    outboxes: BTreeMap<WorkerId, Outbox>,
    /// What the connected workers compute on.
    classes: BTreeMap<WorkerId, String>,
    /// The classes of those that took part.
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
        store: Box<dyn Store>,
        faults: Faults,
        journal: Journal,
        traffic: Arc<Traffic>,
        local: LocalWorkers,
    ) -> Self {
        Self {
            engine,
            run,
            recorder: Recorder::new(store),
            faults,
            journal,
            traffic,
            local,
            outboxes: BTreeMap::new(),
            classes: BTreeMap::new(),
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
        if !matches!(outcome, Ok(End::Complete(_))) {
            // Nobody is awaited by the next start: this is an orderly end.
            let nobody = Members {
                generation: self.engine.generation(),
                workers: Vec::new(),
            };
            let written = self.record(Record::Members(nobody));
            let written = written.and_then(|()| self.recorder.finish());
            if let Err(error) = written {
                self.journal.say(&shared::error::render(&error));
            }
        }
        match &outcome {
            Ok(End::Complete(step)) => {
                let totals = self.traffic.totals();
                self.journal.complete(*step, &self.run.output_dir, totals);
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
        let every = |period| {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut tick = every(self.run.ladder.tick());
        let mut beat = every(self.run.ladder.beat);
        let mut signals = LeaveSignal::listen()?;
        loop {
            let event = tokio::select! {
                Some(event) = sessions.recv() => self.session(event),
                Some(event) = self.published.1.recv() => self.published(event)?,
                _ = beat.tick() => {
                    self.beat();
                    continue;
                }
                _ = tick.tick() => {
                    if let Some(news) = self.recorder.retry()? {
                        self.journal.say(&news);
                    }
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
                let loaded = hello.resume.as_ref().and_then(|p| p.loaded.as_ref());
                if let Some(loaded) = loaded {
                    let class = loaded.device_class.clone();
                    self.classes.insert(worker.clone(), class);
                }
                Event::Opened { worker, hello }
            }
            SessionEvent::Message { worker, envelope } => {
                if let FromWorker::Loaded(loaded) = &envelope.body {
                    let class = loaded.device_class.clone();
                    self.classes.insert(worker.clone(), class);
                }
                Event::Message { worker, envelope }
            }
            SessionEvent::Closed { worker, reason } => {
                self.outboxes.remove(&worker);
                self.classes.remove(&worker);
                Event::Closed { worker, reason }
            }
        }
    }

    fn published(&mut self, event: Event) -> Result<Event> {
        if let Event::Published {
            step,
            outcome: Ok((folder, state_digest)),
        } = &event
        {
            self.journal.published(*step, folder);
            self.record(Record::Checkpoint(ledger::Checkpoint {
                step: *step,
                folder: checkpoint_name(*step),
                state_digest: state_digest.clone(),
            }))?;
        }
        Ok(event)
    }

    /// Into the ledger, or into what waits for it.
    fn record(&mut self, record: Record) -> Result<()> {
        if let Some(news) = self.recorder.write(record)? {
            self.journal.say(&news);
        }
        Ok(())
    }

    /// Where a fault on purpose may strike, once per phase and step.
    fn fault(&self, message: &Envelope<ToWorker>) {
        let phase = match message.body {
            ToWorker::Assign(..) => "assign",
            ToWorker::Credit(..) => "credit",
            ToWorker::Reduce { .. } => "reduce",
            ToWorker::Commit { .. } => "commit",
            ToWorker::WriteCheckpoint { .. } => "checkpoint",
            ToWorker::Sync(_) => "sync",
            _ => return,
        };
        let _ = self.faults.at(phase, message.identity.step);
    }

    fn carry_out(&mut self, command: Command) -> Result<Option<End>> {
        match command {
            Command::Send { to, message } => {
                self.fault(&message);
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
                let _ = self.faults.at("record", committed.step);
                self.record(records::commit(&committed, &self.run.plan, &plan))?;
                self.journal
                    .commit(&committed, &plan, self.traffic.totals())?;
            }
            Command::Evaluated(evaluated) => {
                let _ = self.faults.at("evaluation", evaluated.step);
                self.journal.answered(&evaluated);
                let sets = &self.run.evaluation_sets;
                self.record(records::evaluation(&evaluated, sets))?;
                self.run.course.add(evaluated.step, evaluated.sums.clone());
                self.journal.evaluated(&evaluated)?;
            }
            Command::Publish {
                step,
                state_digest,
                files,
            } => {
                self.publish(step, state_digest, files)?;
            }
            Command::Members(generation, workers) => {
                let classes = workers.iter().filter_map(|w| self.classes.get(w));
                self.device_classes.extend(classes.cloned());
                self.record(Record::Members(Members {
                    generation,
                    workers,
                }))?;
            }
            Command::Rewind(step) => {
                self.record(Record::Rewind(Rewind {
                    step,
                    state_digest: self.engine.state_digest().cloned(),
                    reason: "no worker held a later state".into(),
                }))?;
                self.journal.rewind(step, &self.run.output_dir)?;
            }
            Command::Notice(notice) => self.tell(notice)?,
            Command::Complete(step) => {
                self.finish(step)?;
                return Ok(Some(End::Complete(step)));
            }
            Command::Interrupted(step) => return Ok(Some(End::Interrupted(step))),
            Command::Fail(error) => return Err(error),
        }
        Ok(None)
    }

    fn tell(&mut self, notice: Notice) -> Result<()> {
        if let Notice::Failed { error, .. } = &notice {
            self.last_failure = Some(error.clone());
        }
        if let Notice::CheckpointFailed { step, .. } = &notice {
            // What is left of it would take the room that the next one needs.
            let _ = std::fs::remove_dir_all(self.staging(*step));
        }
        self.journal.notice(&notice, self.engine.connected());
        match records::evicted(&notice) {
            Some(record) => self.record(record),
            None => Ok(()),
        }
    }

    /// Where a worker puts the files of a checkpoint.
    fn staging(&self, step: Step) -> PathBuf {
        let all = self.run.output_dir.join(".staging");
        all.join(checkpoint_name(step))
    }

    /// Publishes on a blocking thread; the outcome comes back as an event.
    fn publish(&mut self, step: Step, state_digest: String, files: Vec<FileDigest>) -> Result<()> {
        let record = &self.run.record;
        let publication = Publication {
            output_dir: self.run.output_dir.clone(),
            staging: self.staging(step),
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
                parent: record.parent.clone(),
                evaluations: self.run.course.up_to(step),
                device_classes: self.device_classes.clone(),
                files: Vec::new(),
                own_sha256: String::new(),
            },
            keep: self.run.save_total_limit,
            best: self.best(step),
            expected: self.run.expected.clone(),
        };
        let published = self.published.0.clone();
        tokio::task::spawn_blocking(move || {
            let state_digest = publication.manifest.state_digest.clone();
            let outcome =
                publish(publication).map(|folder| (folder.display().to_string(), state_digest));
            // Nobody listens any more only when the run is over.
            let _ = published.blocking_send(Event::Published { step, outcome });
        });
        Ok(())
    }

    /// The best step up to this one.
    fn best(&self, step: Step) -> Option<Step> {
        self.run.course.standing(step).best.map(|(best, _)| best)
    }

    /// The checkpoint whose adapter is the result.
    fn result(&mut self, step: Step) -> Step {
        let Some(best) = self.best(step).filter(|_| self.run.best_is_the_result) else {
            return step;
        };
        if self.run.output_dir.join(checkpoint_name(best)).is_dir() {
            self.journal.say(&format!(
                "the result is the best adapter, that of step {best}"
            ));
            return best;
        }
        self.journal.say(&format!(
            "the best adapter, that of step {best}, is not on storage: its checkpoint could not be \
             written; the result is that of step {step}"
        ));
        step
    }

    fn finish(&mut self, step: Step) -> Result<()> {
        let result = self.result(step);
        let checkpoint = self.run.output_dir.join(checkpoint_name(result));
        let last = self.run.output_dir.join(checkpoint_name(step));
        let run = &self.run;
        let exported = export(
            &run.output_dir,
            &checkpoint,
            &last,
            &run.tokenizer_files,
            &run.expected,
        );
        exported.map_err(|error| match error.code {
            Code::Io => error
                .why("every step is committed and the last checkpoint is safe")
                .fix("make room where the output is written, and start again"),
            _ => error,
        })?;
        // An empty folder that stays would be harmless.
        let _ = std::fs::remove_dir(run.output_dir.join(".staging"));
        let adapter_sha256 = manifest::file_digest(&run.output_dir.join(ADAPTER))?.sha256;
        self.record(Record::Complete(ledger::Complete {
            step,
            adapter_sha256,
        }))?;
        self.recorder.finish()
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
