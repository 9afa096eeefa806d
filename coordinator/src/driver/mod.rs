//! The only loop that meets the world: hears sessions, time, signals and finished blocking work, asks the engine, and
//! carries out its commands.
//!
//! `orders` carries commands out · `events` what they mean for the run, as events · `recorder` writes the ledger,
//! `records` what its lines say of an event · `journal` tells of the events, the ledger first: `history` is the trainer
//! state at every step, `history_at_step` how it is found again, `files` its growing files · `publish` turns staged
//! files into checkpoints, `storage` verifies, sets aside and removes checkpoints, `export` brings the adapter to where
//! loaders look · `workers` are the processes of `--local-workers`.

mod events;
mod export;
mod files;
mod history;
mod history_at_step;
mod journal;
mod orders;
mod publish;
mod recorder;
mod records;
mod storage;
mod workers;

#[cfg(test)]
pub(crate) mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{Code, Error, Result};
use shared::evaluation::EvaluationSet;
use shared::faults::Faults;
use shared::ids::{Identity, Step, WorkerId};
use shared::ledger::Members;
use shared::manifest::ExpectedTensor;
use shared::plan::Plan;
use shared::run_paths::RunPaths;
use shared::signals::LeaveSignal;
use shared::storage::Groups;
use shared::wire::message::{Envelope, ToWorker};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::engine::{Engine, Event, Timeouts};
use crate::history::RunEvent;
use crate::rpc::{Outbox, SessionEvent, Traffic};
use crate::store::{Leading, Store};

pub(crate) use export::converted;
pub use history::LedgerHistory;
pub use journal::Journal;
use recorder::Recorder;
pub(crate) use storage::{free_name_aside, set_aside};
pub use workers::LocalWorkers;

/// How long refused workers and finished ones may take to read their last message.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Largest number of outcomes of blocking threads that wait for the loop.
const FINISHED: usize = 8;

/// The facts about the run that the driver needs.
pub struct Run {
    /// All cluster timeouts; the driver uses the tick and the beat.
    pub timeouts: Timeouts,
    /// The run and the term of this start.
    pub record: Leading,
    /// Every path in the output folder, absolute.
    pub paths: RunPaths,
    /// The storage at these paths.
    pub objects: Arc<dyn Groups>,
    /// Steps, epochs, learning rates.
    pub plan: Arc<Plan>,
    /// The evaluation sets, in the order of the sums in an evaluation.
    pub evaluation_sets: Vec<EvaluationSet>,
    /// Keys and shapes that the adapter file must hold, in canonical order.
    pub expected: Vec<ExpectedTensor>,
    /// The base model's tokenizer files, which are copied beside the adapter.
    pub tokenizer_files: Vec<PathBuf>,
}

/// How a run of the driver ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every step is committed and the adapter is written.
    Complete(Step),
    /// The run was interrupted; the state of this step is on storage.
    Interrupted(Step),
}

/// The outcome of work on a blocking thread.
enum WorkOutcome {
    /// An outcome that only the engine needs.
    Event(Event),
    /// The adapter was exported, or not; with its SHA-256 if it was.
    Exported(Event, Option<String>),
    /// A failure that only people hear of: the run goes on.
    Complaint(Error),
}

/// The loop around one engine, with everything that the loop owns.
pub struct Driver {
    engine: Engine,
    run: Run,
    recorder: Recorder,
    faults: Faults,
    journal: Journal,
    traffic: Arc<Traffic>,
    local: LocalWorkers,
    outboxes: BTreeMap<WorkerId, Outbox>,
    /// Device classes of all members since this start, for the manifests.
    device_classes: BTreeSet<String>,
    /// State digests of the checkpoints on storage that this start published, by step.
    published_digests: BTreeMap<Step, String>,
    /// SHA-256 of the exported adapter, for the ledger's last line.
    adapter_sha256: Option<String>,
    finished_work: (mpsc::Sender<WorkOutcome>, mpsc::Receiver<WorkOutcome>),
    last_failure: Option<Error>,
    /// Open sessions of the workers that this process started.
    local_sessions: BTreeSet<WorkerId>,
    /// Whether any worker that this process did not start has opened a session.
    others_joined: bool,
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
            device_classes: BTreeSet::new(),
            published_digests: BTreeMap::new(),
            adapter_sha256: None,
            finished_work: mpsc::channel(FINISHED),
            last_failure: None,
            local_sessions: BTreeSet::new(),
            others_joined: false,
            started: Instant::now(),
        }
    }

    /// Runs the loop until the run is complete, is interrupted or fails.
    ///
    /// # Errors
    /// The error that ended the run, coded. The state on storage is that of the newest checkpoint.
    pub async fn run(mut self, mut sessions: mpsc::Receiver<SessionEvent>) -> Result<End> {
        let outcome = self.hear(&mut sessions).await;
        if !matches!(outcome, Ok(End::Complete(_)))
            && let Err(error) = self.recorder.finish()
        {
            self.journal.say(&shared::error::render(&error));
        }
        match &outcome {
            Ok(End::Interrupted(step)) => self.stops(*step),
            // The end of the process tells everybody else of the error, once.
            Err(error) => self.journal.log(&RunEvent::Error(error.clone())),
            Ok(End::Complete(_)) => {}
        }
        // Outboxes deliver what they hold, then end the sessions.
        self.outboxes.clear();
        tokio::time::sleep(LAST_WORDS).await;
        self.local
            .stop(matches!(outcome, Ok(End::Complete(_))))
            .await;
        outcome
    }

    async fn hear(&mut self, sessions: &mut mpsc::Receiver<SessionEvent>) -> Result<End> {
        let every = |period| {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut tick = every(self.run.timeouts.tick());
        let mut beat = every(self.run.timeouts.beat);
        let mut signals = LeaveSignal::listen()?;
        loop {
            let event = tokio::select! {
                Some(event) = sessions.recv() => self.session(event),
                Some(done) = self.finished_work.1.recv() => match self.finish_work(done) {
                    Some(event) => event,
                    None => continue,
                },
                _ = beat.tick() => {
                    self.beat();
                    continue;
                }
                _ = tick.tick() => {
                    if let Some(news) = self.recorder.retry()? {
                        self.journal.say(&news);
                    }
                    if let Some(end) = self.catch_up(sessions)? {
                        return Ok(end);
                    }
                    Event::Tick
                }
                ends = self.local.all_ended(), if self.is_left_alone() => {
                    // The next start must wait for nobody, as only this process's own workers took part.
                    let nobody = Members {
                        generation: self.engine.generation(),
                        ..Members::default()
                    };
                    self.happened(&RunEvent::Members(nobody))?;
                    return Err(self.local_workers_ended(&ends));
                }
                () = signals.recv() => {
                    let step = self.engine.committed();
                    self.journal.say(&format!(
                        "asked to stop after step {step}: what the run needs to go on goes to storage; a second signal \
                         ends this at once"
                    ));
                    Event::Interrupt
                }
            };
            if let Some(end) = self.tell_engine(event)? {
                return Ok(end);
            }
        }
    }

    /// Whether no worker is connected and only this process's own workers ever were: others may come back, its own do
    /// not.
    fn is_left_alone(&self) -> bool {
        self.engine.connected() == 0 && !self.engine.is_recovering() && !self.others_joined
    }

    fn tell_engine(&mut self, event: Event) -> Result<Option<End>> {
        for command in self.engine.on(event, self.started.elapsed()) {
            if let Some(end) = self.carry_out(command)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Tells the engine every waiting event before the next tick: a worker that spoke while this process was stopped
    /// was not silent.
    fn catch_up(&mut self, sessions: &mut mpsc::Receiver<SessionEvent>) -> Result<Option<End>> {
        for event in waiting(sessions) {
            let event = self.session(event);
            if let Some(end) = self.tell_engine(event)? {
                return Ok(Some(end));
            }
        }
        for done in waiting(&mut self.finished_work.1) {
            let Some(event) = self.finish_work(done) else {
                continue;
            };
            if let Some(end) = self.tell_engine(event)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn session(&mut self, event: SessionEvent) -> Event {
        match event {
            SessionEvent::Opened {
                worker,
                hello,
                outbox,
            } => {
                if self.local.is_own(&hello.incarnation) {
                    self.local_sessions.insert(worker.clone());
                } else {
                    self.others_joined = true;
                }
                self.outboxes.insert(worker.clone(), outbox);
                Event::Opened { worker, hello }
            }
            SessionEvent::Message { worker, envelope } => Event::Message { worker, envelope },
            SessionEvent::Closed { worker, reason } => {
                // A name belongs to one session: a later session of the same worker is not meant.
                self.outboxes.remove(&worker);
                self.local_sessions.remove(&worker);
                Event::Closed { worker, reason }
            }
        }
    }

    /// Tells every worker that this coordinator ends on purpose. Workers that this process started end with it, others
    /// hold on.
    fn stops(&mut self, step: Step) {
        let identity = Identity {
            run: self.run.record.run_id.clone(),
            term: self.run.record.term,
            generation: self.engine.generation(),
            step,
            ..Identity::default()
        };
        for (worker, outbox) in &self.outboxes {
            let hold = !self.local_sessions.contains(worker);
            // A worker that does not get the message holds on as well.
            let _ = outbox.send(Envelope {
                identity: identity.clone(),
                body: ToWorker::Stopped { step, hold },
            });
        }
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

/// The messages that wait now, without those that come meanwhile, so that the loop over them ends.
fn waiting<T>(receiver: &mut mpsc::Receiver<T>) -> Vec<T> {
    let waiting = receiver.len();
    std::iter::from_fn(|| receiver.try_recv().ok())
        .take(waiting)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_when_a_tick_comes_is_heard_before_it_and_nothing_else() {
        let (sender, mut receiver) = mpsc::channel(8);
        for n in 0..5 {
            sender.try_send(n).unwrap();
        }
        assert_eq!(waiting(&mut receiver), [0, 1, 2, 3, 4]);
        assert!(waiting(&mut receiver).is_empty());
        sender.try_send(9).unwrap();
        drop(sender);
        assert_eq!(waiting(&mut receiver), [9]);
    }
}
