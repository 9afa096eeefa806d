//! Who writes a state that storage is owed, and what follows from the outcome.
//!
//! The training goes on while a state is written; every member keeps the state in memory until it is on storage, so a
//! writer that fails is followed by the next holder. Keeps: no folder gets a checkpoint's name before its content
//! equals the digest that the members agreed on; a writer whose files differ is evicted by name; the run fails for its
//! storage only when every holder has tried in vain for all rounds, and then the workers keep their states for a later
//! start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::error::{Code, Error, render};
use shared::ids::{Step, WorkerId};
use shared::paths::staging_name;
use shared::wire::message::{FileDigest, ToWorker};

use super::Engine;
use super::event::{Command, ExportFailure, PublishFailure, Stored};
use super::failures::Failures;
use super::members::Member;
use super::notice::Notice;
use super::state::Phase;

/// Rounds in which all holders try to write a state that the run waits for, before the run fails.
const ROUNDS: u32 = 20;

/// Checkpoints on storage and on their way there.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Checkpoints that are on storage under their names, by step.
    pub(super) stored: BTreeMap<Step, Stored>,
    /// When this coordinator published each of them: a checkpoint may have taken the place of an earlier one.
    pub(super) stored_at: BTreeMap<Step, Duration>,
    pub(super) writing: Option<Writing>,
    /// Number of tries so far: each try has a staging folder of its own.
    tries: u64,
    /// Failed tries by step, counted apart: a state that nobody can write keeps no other from storage.
    failures: BTreeMap<Step, Failures>,
    /// Failed exports of the adapter.
    export: Failures,
    /// Steps of `save_steps` whose states nobody could write: the training goes on without these checkpoints.
    pub(super) unwritable: BTreeSet<Step>,
    /// Steps whose states the members were last told to keep.
    pub(super) retained: BTreeSet<Step>,
    exporting: bool,
    /// The checkpoint that the coordinator is verifying, and the workers that restored another state from it, with
    /// their digests.
    pub(super) verifying: Option<(Stored, Vec<(WorkerId, String)>)>,
}

/// A checkpoint on its way to storage.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) step: Step,
    writer: WorkerId,
    state_digest: String,
    staging: PathBuf,
    staged: bool,
    /// When the write was ordered, or when bytes of it last moved.
    moved: Duration,
}

impl Checkpoints {
    pub(super) fn new(stored: BTreeMap<Step, Stored>) -> Self {
        Self {
            stored,
            ..Self::default()
        }
    }

    /// The current try, if it is staged in this folder: news of an earlier, abandoned try must not touch it.
    fn try_at(&mut self, staging: &Path) -> Option<&mut Writing> {
        self.writing.as_mut().filter(|w| w.staging == staging)
    }
}

/// What happens next to the states that are owed.
enum Try {
    Write(Step, WorkerId),
    Nobody(Step),
}

impl Engine {
    /// Makes the members keep the states that are owed, and orders them written, one after the other.
    pub(super) fn store_owed(&mut self) {
        if matches!(self.phase, Phase::Over | Phase::Recovering { .. }) {
            return;
        }
        self.retain_owed();
        while self.checkpoints.writing.is_none() {
            match self.next_try() {
                Some(Try::Write(step, writer)) => {
                    let digest = self.digests.get(&step).cloned().unwrap_or_default();
                    self.write_checkpoint(step, writer, digest);
                }
                Some(Try::Nobody(step)) => self.nobody_can_write(step),
                None => return,
            }
        }
    }

    /// The first owed state that a holder can still try to write; else the first that every holder has tried in vain.
    fn next_try(&self) -> Option<Try> {
        let mut nobody = None;
        for owed in self.owed() {
            let Some((step, holders)) = self.writable(owed) else {
                continue;
            };
            let failures = self.checkpoints.failures.get(&step);
            if failures.is_some_and(|f| f.pauses(self.now)) {
                continue;
            }
            // A silent holder may be back in a moment: only holders that are heard are asked to write.
            let heard = |w: &&WorkerId| self.members.get(w).is_some_and(|m| !m.suspect);
            let mut heard = holders.iter().filter(heard).peekable();
            if heard.peek().is_none() {
                continue;
            }
            let untried = heard.find(|w| failures.is_none_or(|f| !f.by.contains(*w)));
            match untried {
                Some(writer) => return Some(Try::Write(step, writer.clone())),
                None => nobody = nobody.or(Some(Try::Nobody(owed))),
            }
        }
        nobody
    }

    /// The state to write for an owed step, and its holders. A due state that nobody holds any more is replaced by the
    /// newest one.
    fn writable(&self, owed: Step) -> Option<(Step, Vec<WorkerId>)> {
        let holders = self.holders(owed);
        if !holders.is_empty() {
            return Some((owed, holders));
        }
        let newest = self.committed;
        let is_best = self.best() == Some(owed);
        if is_best || self.evaluation_due() || self.is_on_storage(newest) {
            return None;
        }
        let holders = self.holders(newest);
        (!holders.is_empty()).then_some((newest, holders))
    }

    fn write_checkpoint(&mut self, step: Step, writer: WorkerId, state_digest: String) {
        // Each try has its own folder: a writer that wakes up late writes to a folder that nobody reads.
        self.checkpoints.tries += 1;
        let name = staging_name(step, &writer, self.checkpoints.tries);
        let staging = self.options.staging.join(name);
        let text = staging.display().to_string();
        self.checkpoints.writing = Some(Writing {
            step,
            writer: writer.clone(),
            state_digest,
            staging,
            staged: false,
            moved: self.now,
        });
        let staging = text;
        self.send(&writer, ToWorker::WriteCheckpoint { step, staging });
    }

    /// Every holder of the state has tried in vain: gives it up, starts another round, or ends the run.
    fn nobody_can_write(&mut self, step: Step) {
        let waits = self.must_be_safe();
        let written = self.writable(step).map_or(step, |(step, _)| step);
        if !waits && self.best() != Some(step) {
            // The training goes on, and the next due state is tried.
            self.checkpoints.failures.remove(&written);
            self.checkpoints.unwritable.insert(step);
            self.retain_owed();
            return;
        }
        let now = self.now;
        let failures = self.checkpoints.failures.entry(written).or_default();
        failures.round(now, waits);
        if failures.waited < ROUNDS {
            return;
        }
        if self.others_can_replay(written) {
            self.checkpoints.failures.remove(&written);
        } else {
            let what = format!("the checkpoint of step {step} could not be written");
            let error = Error::new(Code::Unwritable, what)
                .why(format!(
                    "every worker that holds it has tried {ROUNDS} times"
                ))
                .why("the workers keep the state for `ride_through`")
                .fix("make room or fix the storage and start again: the same step goes on");
            self.stop_with(error);
        }
    }

    /// Where no holder can write a state but there are members that do not hold it, counts the state as lost: the run
    /// goes back, computes it again, and then every member holds it. Returns whether there are such members.
    fn others_can_replay(&mut self, step: Step) -> bool {
        let holders = self.holders(step);
        let others = self.members.working().iter().any(|w| !holders.contains(w));
        if others {
            for holder in &holders {
                if let Some(member) = self.members.get_mut(holder) {
                    member.retains.remove(&step);
                }
            }
        }
        others
    }

    /// Whether the boundary must wait for the checkpoint that is being written: the next due one and the end do.
    pub(super) fn hold_for_checkpoint(&self) -> bool {
        let next = self.committed.next();
        let due_again = next.0.is_multiple_of(self.options.save_steps.max(1));
        // The number of states that the members keep in memory is bounded.
        let evaluated = self.schedule.is_evaluated(next) && self.checkpoints.retained.len() > 1;
        let writing = self.checkpoints.writing.is_some();
        writing && (due_again || evaluated || self.ends() || self.ends_soon())
    }

    pub(super) fn checkpoint_written(
        &mut self,
        worker: &WorkerId,
        step: Step,
        outcome: std::result::Result<Vec<FileDigest>, String>,
    ) {
        let now = self.now;
        let ours = |w: &&mut Writing| w.step == step && w.writer == *worker && !w.staged;
        let Some(writing) = self.checkpoints.writing.as_mut().filter(ours) else {
            return;
        };
        match outcome {
            Ok(files) => {
                (writing.staged, writing.moved) = (true, now);
                let publish = Command::Publish {
                    step,
                    state_digest: writing.state_digest.clone(),
                    staging: writing.staging.clone(),
                    files,
                };
                self.out.push(publish);
            }
            Err(reason) => {
                self.checkpoint_failed(reason, true);
                self.store_owed();
                self.finish_when_stored();
            }
        }
    }

    /// Forgets the states after `step` that are kept, being written or given up: the run leaves their course.
    pub(super) fn void_states_after(&mut self, step: Step) {
        let checkpoints = &mut self.checkpoints;
        checkpoints.writing.take_if(|writing| writing.step > step);
        checkpoints.unwritable.retain(|at| *at <= step);
        checkpoints.failures.retain(|at, _| *at <= step);
        let void = |m: &Member| m.retains.iter().any(|at| *at > step);
        let keep: BTreeSet<_> = self.kept().into_iter().filter(|at| *at <= step).collect();
        for worker in self.members.those(|_, m| void(m)) {
            self.retain(&worker, &keep);
        }
    }

    /// Whether a state after `step` is staged and being published: no worker is needed for it any more.
    pub(super) fn arrives_after(&self, step: Step) -> bool {
        let writing = self.checkpoints.writing.as_ref();
        writing.is_some_and(|w| w.staged && w.step > step && w.step <= self.committed)
    }

    /// Bytes of the publication have moved, so its deadline starts anew.
    pub(super) fn publishing(&mut self, staging: &Path) {
        let now = self.now;
        if let Some(writing) = self.checkpoints.try_at(staging) {
            writing.moved = now;
        }
    }

    pub(super) fn checkpoint_published(
        &mut self,
        step: Step,
        staging: &Path,
        outcome: std::result::Result<Stored, PublishFailure>,
    ) {
        let ours = self.checkpoints.try_at(staging).is_some();
        match outcome {
            // This also holds for a try that was given up and came late: its content was compared.
            Ok(stored) => {
                if ours {
                    self.checkpoints.writing = None;
                }
                if self.digests.get(&step) == Some(&stored.state_digest) {
                    self.out.push(Command::Stored(stored.clone()));
                    self.stored(stored);
                } else {
                    self.stored_in_vain(step);
                }
            }
            Err(_) if !ours => {}
            Err(PublishFailure::Storage(error)) => self.checkpoint_failed(render(&error), true),
            Err(PublishFailure::Content(error)) => {
                let writer = self.checkpoints.writing.as_ref().map(|w| w.writer.clone());
                self.checkpoint_failed(render(&error), true);
                if let Some(writer) = writer.filter(|w| self.members.contains(w)) {
                    let what = format!("its files of step {step} do not hold the agreed state");
                    self.evict_as_corrupt(&writer, &what);
                }
            }
        }
        self.store_owed();
        self.finish_when_stored();
    }

    /// An abandoned publication came late, with a state of a course that the run has left. It has replaced any other
    /// checkpoint of that step, so the step has none.
    fn stored_in_vain(&mut self, step: Step) {
        self.checkpoints.stored.remove(&step);
        let reason = "it is of a course that the run has left".to_owned();
        self.out.push(Command::SetAside { step, reason });
    }

    fn stored(&mut self, stored: Stored) {
        let step = stored.step;
        self.checkpoints.stored_at.insert(step, self.now);
        self.checkpoints.stored.insert(step, stored);
        self.checkpoints.failures.remove(&step);
        self.checkpoints.unwritable.retain(|s| *s > step);
        self.remove_oldest();
    }

    /// Removes the oldest checkpoints beyond `save_total_limit`. Kept are the best one, the one that the run would go
    /// back to, and that of the committed state where a late publication lies ahead of it: it would be owed again at
    /// once.
    fn remove_oldest(&mut self) {
        let Some(limit) = self.options.save_total_limit else {
            return;
        };
        let keep = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        let point = self.restart_point().map(|point| point.step);
        let best = self.best();
        let older = self.checkpoints.stored.keys().rev().skip(keep);
        let stays = [best, point, Some(self.committed)];
        let older: Vec<_> = older
            .filter(|step| !stays.contains(&Some(**step)))
            .copied()
            .collect();
        for step in older {
            self.checkpoints.stored.remove(&step);
            self.out.push(Command::Remove(step));
        }
    }

    /// Ends the current try; the next holder tries. Its files are discarded unless the writer may still be at work on
    /// them.
    fn checkpoint_failed(&mut self, reason: String, discard: bool) {
        let Some(writing) = self.checkpoints.writing.take() else {
            return;
        };
        let Writing {
            step,
            writer,
            staging,
            ..
        } = writing;
        if discard {
            self.out.push(Command::Discard(staging));
        }
        let failures = self.checkpoints.failures.entry(step).or_default();
        failures.by.insert(writer.clone());
        self.notice(Notice::CheckpointFailed {
            step,
            writer,
            reason,
        });
    }

    /// Ends a try of which no byte has moved for `stage`, and begins the next round when its pause is over.
    pub(super) fn checkpoint_overdue(&mut self) {
        let (now, stage) = (self.now, self.options.timeouts.stage_stall);
        let members = &self.members;
        if let Some(writing) = &mut self.checkpoints.writing {
            let member = members.get(&writing.writer).filter(|_| !writing.staged);
            let moved = member.map_or(writing.moved, |m| m.progress_times().storage);
            writing.moved = writing.moved.max(moved);
            if now.saturating_sub(writing.moved) > stage {
                self.checkpoint_failed(format!("nothing of it has moved for {stage:?}"), false);
            }
        }
        self.store_owed();
        self.finish_when_stored();
    }

    pub(super) fn checkpoint_writer_left(&mut self, worker: &WorkerId) {
        let writing = self.checkpoints.writing.as_ref();
        if writing.is_some_and(|w| !w.staged && w.writer == *worker) {
            self.checkpoint_failed("it left while writing it".to_owned(), true);
        }
        for failures in self.checkpoints.failures.values_mut() {
            failures.by.remove(worker);
        }
    }

    /// Once the last and the best state are on storage, orders the export of the adapter.
    pub(super) fn finish_when_stored(&mut self) {
        let checkpoints = &self.checkpoints;
        let pauses = checkpoints.export.pauses(self.now);
        let waits = checkpoints.exporting || checkpoints.writing.is_some() || pauses;
        if !matches!(self.phase, Phase::Finishing) || waits {
            return;
        }
        let owed = self.owed();
        if owed.is_empty() {
            self.checkpoints.exporting = true;
            let (result, last) = (self.result(), self.committed);
            self.out.push(Command::Export { result, last });
        } else if owed.iter().all(|step| self.writable(*step).is_none()) {
            // Nobody holds the owed states any more: the boundary decides where the run goes on.
            self.phase = Phase::Gathering;
        }
    }

    pub(super) fn exported(&mut self, outcome: std::result::Result<(), ExportFailure>) {
        self.checkpoints.exporting = false;
        if !matches!(self.phase, Phase::Finishing) {
            return;
        }
        match outcome {
            Ok(()) => {
                self.phase = Phase::Over;
                let step = self.committed;
                for worker in self.members.names() {
                    self.send(&worker, ToWorker::Finish { step });
                }
                self.out.push(Command::Complete(step));
            }
            Err(ExportFailure::Checkpoint(step, error)) => {
                if !self.checkpoints.stored.contains_key(&step) {
                    self.stop_with(error);
                    return;
                }
                self.set_aside(step, render(&error));
                self.store_owed();
                self.finish_when_stored();
            }
            Err(ExportFailure::Storage(error)) => {
                let now = self.now;
                self.checkpoints.export.round(now, true);
                if self.checkpoints.export.waited >= ROUNDS {
                    self.stop_with(error);
                    return;
                }
                self.notice(Notice::ExportFailed {
                    reason: render(&error),
                });
            }
        }
    }

    /// Forgets a checkpoint that does not hold what the ledger says.
    pub(super) fn set_aside(&mut self, step: Step, reason: String) {
        if self.checkpoints.stored.remove(&step).is_some() {
            self.notice(Notice::CheckpointDamaged {
                step,
                reason: reason.clone(),
            });
            self.out.push(Command::SetAside { step, reason });
        }
    }
}
