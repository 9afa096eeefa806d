//! Carries out the engine's commands.
//!
//! In: one command. Out: messages, records, lines for people, and work on blocking threads whose outcome comes back as
//! an event. Decides nothing: which checkpoint stays, which is the result and whether a failure ends the run are the
//! engine's decisions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{Code, Error, Result};
use shared::ids::{Step, WorkerId};
use shared::ledger;
use shared::manifest::{FORMAT, FileDigest, Manifest, file_digest};
use shared::numerics::{GRADIENT_SCALE_BITS, LOSS_SCALE_BITS};
use shared::run_paths::{ADAPTER_FILE, STAGING, checkpoint_name};
use shared::wire::message::{Envelope, ToWorker};
use tokio::sync::mpsc;

use super::export::{Export, export};
use super::publish::{Publication, publish};
use super::{Driver, End, WorkOutcome, events, storage};
use crate::engine::{
    Command, Committed, Evaluated, Event, MemberSet, Notice, Rewind, StoredCheckpoint,
};
use crate::history::RunEvent;

/// Bytes after which a publication reports to the engine that it goes on.
const TOLD: u64 = 64 << 20;
/// Time after which it reports with fewer bytes, if any has moved.
const TOLD_AFTER: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn carry_out(&mut self, command: Command) -> Result<Option<End>> {
        match command {
            Command::Send { to, message } => self.send(&to, *message),
            Command::Disconnect(worker) => {
                self.outboxes.remove(&worker);
            }
            Command::Commit(committed) => self.commit(&committed)?,
            Command::Evaluated(evaluated) => self.evaluated(&evaluated)?,
            Command::Members(set) => self.members(set)?,
            Command::Evicted(evicted) => self.happened(&RunEvent::Evicted(evicted))?,
            Command::Publish {
                step,
                state_digest,
                staging,
                files,
            } => self.publish(step, state_digest, &staging, files)?,
            Command::Discard(folder) => {
                let objects = Arc::clone(&self.run.objects);
                if let Some(staged) = self.run.paths.name_of(&folder) {
                    self.spawn_blocking(move || {
                        storage::discard(&*objects, &staged);
                        None
                    });
                }
            }
            Command::Remove(step) => self.remove(step),
            Command::Verify(stored) => self.verify(stored),
            Command::Stored(stored) => self.stored(&stored)?,
            Command::SetAside { step, reason } => self.set_aside(step, &reason)?,
            Command::Export { result, last } => self.export(result, last),
            Command::Rewind(rewind) => self.rewind(&rewind)?,
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

    /// Tells every sink of an event, the ledger first: nobody hears of what it neither has nor holds to be written.
    ///
    /// # Errors
    /// When the ledger must not go on, or the history has a gap.
    pub(super) fn happened(&mut self, event: &RunEvent) -> Result<()> {
        self.journal.happened(&mut self.recorder, event)
    }

    fn send(&mut self, to: &WorkerId, message: Envelope<ToWorker>) {
        self.fault(&message);
        let outbox = self.outboxes.get(to);
        let sent = outbox.map_or(Ok(()), |outbox| outbox.send(message));
        if let Err(error) = sent {
            tracing::warn!(%error, "dropping the session");
            self.outboxes.remove(to);
        }
    }

    /// Lets a fault on purpose strike before a message, once per phase and step.
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

    fn commit(&mut self, committed: &Committed) -> Result<()> {
        let _ = self.faults.at("record", committed.step);
        let traffic = self.traffic.totals().into();
        self.happened(&events::step(committed, &self.run.plan, traffic))
    }

    fn evaluated(&mut self, evaluated: &Evaluated) -> Result<()> {
        let _ = self.faults.at("evaluation", evaluated.step);
        let sets = &self.run.evaluation_sets;
        self.journal.evaluated(&mut self.recorder, evaluated, sets)
    }

    fn members(&mut self, set: MemberSet) -> Result<()> {
        self.device_classes
            .extend(set.device_classes.iter().cloned());
        self.happened(&events::members(set))
    }

    fn rewind(&mut self, rewind: &Rewind) -> Result<()> {
        let stood = self.journal.newest();
        self.happened(&events::rewind(rewind, stood))
    }

    fn tell(&mut self, notice: Notice) -> Result<()> {
        match &notice {
            Notice::Failed { error, .. } => self.last_failure = Some(error.clone()),
            Notice::Loaded { worker, .. } => {
                let joined = RunEvent::WorkerJoined {
                    worker: worker.clone(),
                    workers: self.engine.loaded_workers(),
                };
                self.happened(&joined)?;
            }
            _ => {}
        }
        self.happened(&events::notice(notice))
    }

    /// Publishes staged files on a blocking thread; the outcome comes back as [`Event::Published`].
    fn publish(
        &mut self,
        step: Step,
        state_digest: String,
        staging: &Path,
        files: Vec<FileDigest>,
    ) -> Result<()> {
        let record = &self.run.record;
        let expected = self.run.expected.clone();
        let manifest = Manifest {
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
            evaluations: self.engine.course().up_to(step),
            device_classes: self.device_classes.clone(),
            parameters: expected.iter().map(|t| t.key.clone()).collect(),
            files: Vec::new(),
            own_sha256: String::new(),
        };
        let staged = self.run.paths.name_of(staging).ok_or_else(|| {
            Error::new(Code::Internal, "a checkpoint was staged elsewhere").in_file(staging)
        })?;
        let publication = Publication {
            objects: Arc::clone(&self.run.objects),
            staging: staged,
            files,
            trainer_state: self.journal.trainer_state(step)?,
            manifest,
            expected,
            synced: self.recorder.synced(),
        };
        let staging = staging.to_path_buf();
        let mut moving = Moving::new(staging.clone(), self.finished_work.0.clone());
        self.spawn_blocking(move || {
            let outcome = publish(publication, &mut |bytes| moving.moved(bytes));
            Some(WorkOutcome::Event(Event::Published {
                step,
                staging,
                outcome,
            }))
        });
        Ok(())
    }

    fn remove(&mut self, step: Step) {
        self.published_digests.remove(&step);
        let objects = Arc::clone(&self.run.objects);
        match objects.withdraw(&checkpoint_name(step)) {
            Ok(None) => {}
            Ok(Some(hidden)) => self.spawn_blocking(move || {
                let deleted = storage::delete(&*objects, &hidden);
                deleted.err().map(WorkOutcome::Complaint)
            }),
            Err(error) => self.complain(&error),
        }
    }

    fn verify(&mut self, stored: StoredCheckpoint) {
        let order = self.order();
        self.spawn_blocking(move || {
            let outcome = storage::verify(&stored, &order);
            let step = stored.step;
            Some(WorkOutcome::Event(Event::Verified { step, outcome }))
        });
    }

    /// Renames a damaged checkpoint and records it in the ledger, so that an audit can tell discarded checkpoints from
    /// the ones that the run rests on.
    fn set_aside(&mut self, step: Step, reason: &str) -> Result<()> {
        let known = self.published_digests.remove(&step).unwrap_or_default();
        let mut lies = checkpoint_name(step);
        match storage::set_aside(&*self.run.objects, step) {
            Ok(name) => {
                self.journal.say(&format!(
                    "the checkpoint of step {step} is not used any more, it lies in {} now: {reason}",
                    self.run.objects.place(&name).display()
                ));
                lies = name;
            }
            Err(error) => self.complain(&error.why(reason)),
        }
        let checkpoint = ledger::Checkpoint::set_aside(step, lies, known, reason);
        self.happened(&RunEvent::CheckpointSetAside(checkpoint))
    }

    fn export(&mut self, result: Step, last: Step) {
        if result != last {
            self.journal.say(&format!(
                "the result is the best adapter, that of step {result}"
            ));
        }
        let known = |step| (step, self.published_digests.get(&step).cloned());
        let order = Export {
            objects: Arc::clone(&self.run.objects),
            result: known(result),
            last: known(last),
            tokenizer_files: self.run.tokenizer_files.clone(),
            expected: self.run.expected.clone(),
        };
        self.spawn_blocking(move || {
            let (outcome, sha256) = match export(&order) {
                Ok(sha256) => (Ok(()), Some(sha256)),
                Err(failure) => (Err(failure), None),
            };
            let event = Event::Exported { result, outcome };
            Some(WorkOutcome::Exported(event, sha256))
        });
    }

    /// Turns the outcome of blocking work into the engine's event; `None` for a mere complaint.
    pub(super) fn finish_work(&mut self, outcome: WorkOutcome) -> Option<Event> {
        let event = match outcome {
            WorkOutcome::Complaint(error) => {
                self.complain(&error);
                return None;
            }
            WorkOutcome::Exported(event, sha256) => {
                self.adapter_sha256 = sha256;
                event
            }
            WorkOutcome::Event(event) => event,
        };
        Some(event)
    }

    fn stored(&mut self, stored: &StoredCheckpoint) -> Result<()> {
        let state_digest = stored.state_digest.clone();
        self.published_digests
            .insert(stored.step, state_digest.clone());
        self.happened(&RunEvent::Checkpoint {
            step: stored.step,
            path: stored.folder.clone(),
            state_digest,
        })
    }

    /// The adapter is where loaders look: removes the staging folder and writes the ledger's last line.
    fn finish(&mut self, step: Step) -> Result<()> {
        // Files that stay in it are harmless.
        let _ = self.run.objects.delete(STAGING);
        let adapter_sha256 = match self.adapter_sha256.take() {
            Some(sha256) => sha256,
            None => file_digest(&*self.run.objects, ADAPTER_FILE)?.sha256,
        };
        let traffic = self.traffic.totals().into();
        let complete = self.journal.completion(step, adapter_sha256, traffic);
        self.journal.completed(&mut self.recorder, &complete)
    }

    fn complain(&mut self, error: &Error) {
        self.journal.tell(&RunEvent::complaint(error));
    }

    fn order(&self) -> Vec<String> {
        self.run.expected.iter().map(|t| t.key.clone()).collect()
    }

    /// Runs work that may take long on a blocking thread.
    fn spawn_blocking(&self, work: impl FnOnce() -> Option<WorkOutcome> + Send + 'static) {
        let done = self.finished_work.0.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(outcome) = work() {
                // Sending fails only when the run is over and nobody listens.
                let _ = done.blocking_send(outcome);
            }
        });
    }
}

/// Reports to the engine that a publication moves bytes: every 64 MiB, or every second in which any moved.
struct Moving {
    /// Staging folder of the publication, which tells the engine which try moves.
    staging: PathBuf,
    to: mpsc::Sender<WorkOutcome>,
    bytes: u64,
    told: Instant,
}

impl Moving {
    fn new(staging: PathBuf, to: mpsc::Sender<WorkOutcome>) -> Self {
        Self {
            staging,
            to,
            bytes: 0,
            told: Instant::now(),
        }
    }

    fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes < TOLD && self.told.elapsed() < TOLD_AFTER {
            return;
        }
        (self.bytes, self.told) = (0, Instant::now());
        // A full queue already holds reports that say the same.
        let staging = self.staging.clone();
        let _ = self
            .to
            .try_send(WorkOutcome::Event(Event::Publishing { staging }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_heard_of_every_64_mib_and_never_waits_for_being_heard() {
        let (to, mut hears) = mpsc::channel(2);
        let mut moving = Moving::new("a".into(), to);
        for _ in 0..8 * 5 {
            moving.moved(8 << 20);
        }
        let mut heard = 0;
        while let Ok(WorkOutcome::Event(Event::Publishing { staging })) = hears.try_recv() {
            assert_eq!(staging, PathBuf::from("a"));
            heard += 1;
        }
        assert_eq!(heard, 2, "as many as may wait");
        moving.moved(TOLD);
        assert!(hears.try_recv().is_ok());
    }
}
