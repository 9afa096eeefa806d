//! Checkpoints on storage and on their way there, and where the run can begin again.
//!
//! In: what was ordered, staged, published, verified. Out: whether a state can be had from storage, and which one the
//! run can go back to. Keeps: news of an abandoned try never touches the current one; failed tries are counted by step,
//! so that a state that nobody can write keeps no other from storage. Not here: who writes what, and when (`write`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::ids::{Step, WorkerId};
use shared::run_paths::staging_name;
use shared::wire::message::SyncSource;

use super::Restorable;
use super::event::{Command, StoredCheckpoint};
use super::failures::Failures;
use super::members::Members;
use super::notice::Notice;
use super::outbox::Outbox;

/// Checkpoints on storage and on their way there.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Where the run begins when there is no checkpoint; `None` for a run that began with another run's checkpoint.
    pub(super) origin: Option<Restorable>,
    /// Checkpoints that are on storage under their names, by step.
    pub(super) stored: BTreeMap<Step, StoredCheckpoint>,
    /// When this coordinator published each of them: a checkpoint may have taken the place of an earlier one.
    published_at: BTreeMap<Step, Duration>,
    pub(super) writing: Option<Writing>,
    /// Number of tries so far: each try has a staging folder of its own.
    tries: u64,
    /// Failed tries by step, counted apart: a state that nobody can write keeps no other from storage.
    failures: BTreeMap<Step, Failures>,
    /// Steps of `save_steps` whose states nobody could write: the training goes on without these checkpoints.
    pub(super) unwritable: BTreeSet<Step>,
    /// Steps whose states the members were last told to keep.
    pub(super) retained: BTreeSet<Step>,
    pub(super) verifying: Option<Verifying>,
}

/// A checkpoint on its way to storage.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) step: Step,
    pub(super) writer: WorkerId,
    pub(super) state_digest: String,
    pub(super) staging: PathBuf,
    staged: bool,
    /// When the write was ordered, or when bytes of it last moved.
    last_moved: Duration,
}

/// A checkpoint that the coordinator reads whole, because of what workers restored from it.
#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) stored: StoredCheckpoint,
    /// Workers that restored another state than the recorded one, with their digests.
    pub(super) accusers: Vec<(WorkerId, String)>,
}

impl Checkpoints {
    pub(super) fn new(
        origin: Option<Restorable>,
        stored: BTreeMap<Step, StoredCheckpoint>,
    ) -> Self {
        Self {
            origin,
            stored,
            published_at: BTreeMap::new(),
            writing: None,
            tries: 0,
            failures: BTreeMap::new(),
            unwritable: BTreeSet::new(),
            retained: BTreeSet::new(),
            verifying: None,
        }
    }

    /// Whether a state can be had from this run's storage, or from its seed.
    pub(super) fn is_on_storage(&self, step: Step) -> bool {
        let seed = |o: &Restorable| o.step == step && o.source == SyncSource::Initial;
        self.origin.as_ref().is_some_and(seed) || self.stored.contains_key(&step)
    }

    /// The checkpoint or the seed from which the state of a step can be restored.
    pub(super) fn restorable_at(&self, step: Step) -> Option<Restorable> {
        let stored = self.stored.get(&step).map(restorable);
        stored.or_else(|| self.origin.clone().filter(|origin| origin.step == step))
    }

    /// The newest checkpoint that is not after `most`, or else the run's beginning.
    pub(super) fn newest_up_to(&self, most: Step) -> Option<Restorable> {
        let stored = self.stored.range(..=most).next_back();
        let stored = stored.map(|(_, stored)| restorable(stored));
        stored.or_else(|| self.origin.clone())
    }

    /// The checkpoint in a folder.
    pub(super) fn in_folder(&self, folder: &str) -> Option<&StoredCheckpoint> {
        self.stored.values().find(|stored| stored.folder == folder)
    }

    /// Whether the coordinator is verifying the checkpoint of a step.
    pub(super) fn is_verifying(&self, step: Step) -> bool {
        let verifying = self.verifying.as_ref();
        verifying.is_some_and(|verifying| verifying.stored.step == step)
    }

    /// Whether this coordinator has published the checkpoint of a step after a time, or at any where there is none.
    pub(super) fn was_published_after(&self, step: Step, time: Option<Duration>) -> bool {
        self.published_at.get(&step).copied() > time
    }

    /// Begins a try to write a state. Each try has its own folder: a writer that wakes up late writes to a folder that
    /// nobody reads.
    pub(super) fn begin_try(
        &mut self,
        (step, state_digest): (Step, String),
        writer: &WorkerId,
        staging: &Path,
        now: Duration,
    ) -> PathBuf {
        self.tries += 1;
        let staging = staging.join(staging_name(step, writer, self.tries));
        self.writing = Some(Writing {
            step,
            writer: writer.clone(),
            state_digest,
            staging: staging.clone(),
            staged: false,
            last_moved: now,
        });
        staging
    }

    /// Whether this worker is writing the state of this step.
    pub(super) fn is_written_by(&self, worker: &WorkerId, step: Step) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|w| w.step == step && w.writer == *worker && !w.staged)
    }

    /// All files of the current try are staged.
    pub(super) fn staged(&mut self, now: Duration) -> Option<&Writing> {
        let writing = self.writing.as_mut()?;
        (writing.staged, writing.last_moved) = (true, now);
        Some(writing)
    }

    /// Whether the current try is staged in this folder: news of an earlier, abandoned try must not touch it.
    pub(super) fn is_in(&self, staging: &Path) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|w| w.staging == staging)
    }

    /// Bytes of the publication have moved, so its deadline starts anew.
    pub(super) fn publishing(&mut self, staging: &Path, now: Duration) {
        let writing = self.writing.as_mut();
        if let Some(writing) = writing.filter(|w| w.staging == staging) {
            writing.last_moved = now;
        }
    }

    /// Whether a state after `step` is staged and being published: no worker is needed for it any more.
    pub(super) fn arrives_after(&self, step: Step, committed: Step) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|w| w.staged && w.step > step && w.step <= committed)
    }

    /// Whether no byte of the current try has moved for `stall`: at the writer until all is staged, then at the
    /// publication.
    pub(super) fn stands_still(
        &mut self,
        members: &Members,
        now: Duration,
        stall: Duration,
    ) -> bool {
        let Some(writing) = &mut self.writing else {
            return false;
        };
        let writer = members.get(&writing.writer).filter(|_| !writing.staged);
        let moved = writer.map_or(writing.last_moved, |m| m.progress_times().storage);
        writing.last_moved = writing.last_moved.max(moved);
        now.saturating_sub(writing.last_moved) > stall
    }

    /// Ends the current try; the writer counts as one that failed. Its files are discarded unless the writer may still
    /// be at work on them.
    pub(super) fn fail_try(&mut self, reason: String, discard: bool, outbox: &mut Outbox) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        let (step, writer) = (writing.step, writing.writer);
        if discard {
            outbox.push(Command::Discard(writing.staging));
        }
        let failures = self.failures.entry(step).or_default();
        failures.by.insert(writer.clone());
        outbox.notice(Notice::CheckpointFailed {
            step,
            writer,
            reason,
        });
    }

    /// Whether the current try fails when this worker leaves.
    pub(super) fn is_unstaged_by(&self, worker: &WorkerId) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|w| !w.staged && w.writer == *worker)
    }

    /// Forgets that a worker failed: it is gone.
    pub(super) fn forget_failures_of(&mut self, worker: &WorkerId) {
        for failures in self.failures.values_mut() {
            failures.by.remove(worker);
        }
    }

    /// Failed tries to write the state of a step; `None` before any.
    pub(super) fn failures(&self, step: Step) -> Option<&Failures> {
        self.failures.get(&step)
    }

    /// Every holder of the state has failed: ends the round. Returns how many rounds the run has waited in vain.
    pub(super) fn end_round(&mut self, step: Step, now: Duration, waits: bool) -> u32 {
        let failures = self.failures.entry(step).or_default();
        failures.round(now, waits);
        failures.waited
    }

    /// Begins the tries to write a state anew.
    pub(super) fn forget_failures_at(&mut self, step: Step) {
        self.failures.remove(&step);
    }

    /// A checkpoint with the agreed state has its name.
    pub(super) fn add(&mut self, stored: StoredCheckpoint, now: Duration) {
        let step = stored.step;
        self.published_at.insert(step, now);
        self.stored.insert(step, stored);
        self.failures.remove(&step);
        self.unwritable.retain(|s| *s > step);
    }

    /// An abandoned publication came late, with a state of a course that the run has left. It has replaced any other
    /// checkpoint of that step, so the step has none.
    pub(super) fn replaced_in_vain(&mut self, step: Step, outbox: &mut Outbox) {
        self.stored.remove(&step);
        let reason = "it is of a course that the run has left".to_owned();
        outbox.push(Command::SetAside { step, reason });
    }

    /// Forgets a checkpoint that does not hold what the ledger says.
    pub(super) fn set_aside(&mut self, step: Step, reason: String, outbox: &mut Outbox) {
        if self.stored.remove(&step).is_some() {
            outbox.notice(Notice::CheckpointDamaged {
                step,
                reason: reason.clone(),
            });
            outbox.push(Command::SetAside { step, reason });
        }
    }

    /// Orders a checkpoint read whole; no other is read meanwhile.
    pub(super) fn verify(
        &mut self,
        stored: StoredCheckpoint,
        accusers: Vec<(WorkerId, String)>,
        outbox: &mut Outbox,
    ) {
        outbox.push(Command::Verify(stored.clone()));
        self.verifying = Some(Verifying { stored, accusers });
    }

    /// Forgets what is being written or was given up after `step`: the run leaves its course.
    pub(super) fn void_after(&mut self, step: Step) {
        self.writing.take_if(|writing| writing.step > step);
        self.unwritable.retain(|at| *at <= step);
        self.failures.retain(|at, _| *at <= step);
    }
}

fn restorable(stored: &StoredCheckpoint) -> Restorable {
    Restorable {
        step: stored.step,
        source: SyncSource::Checkpoint(stored.folder.clone()),
        state_digest: Some(stored.state_digest.clone()),
    }
}
