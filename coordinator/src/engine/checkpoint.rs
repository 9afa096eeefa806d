//! Who writes a state that is owed, and what follows.
//!
//! The training goes on while it is written; every member keeps the state in memory until it is on storage, so
//! whoever fails is followed by the next holder. Keeps: nothing gets its name before its content equals the digest
//! that the members agreed on; whose files differ goes by name; the run fails for its storage only when every
//! holder has tried again and again, and then the workers keep what they hold for a later start.

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

/// Rounds of tries by all holders at what the run ends with.
const ROUNDS: u32 = 20;

/// Checkpoints on storage and on their way there.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// On storage.
    pub(super) stored: BTreeMap<Step, Stored>,
    /// Since when, of those that this coordinator has published: one may take the place of another.
    pub(super) stored_at: BTreeMap<Step, Duration>,
    pub(super) writing: Option<Writing>,
    /// Tries so far: each has a staging folder of its own.
    tries: u64,
    /// What could not be written, each for itself: one that nobody can write keeps no other from storage.
    failures: BTreeMap<Step, Failures>,
    /// The same of bringing the adapter to where loaders look.
    export: Failures,
    /// Due ones that nobody could write: the training goes on without them.
    pub(super) given_up: BTreeSet<Step>,
    /// Steps that the members were told to keep.
    pub(super) retained: BTreeSet<Step>,
    exporting: bool,
    /// One that a worker restored to another state; whose word stands against it.
    pub(super) doubted: Option<(Stored, Vec<(WorkerId, String)>)>,
}

/// A checkpoint on its way to storage.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) step: Step,
    writer: WorkerId,
    state_digest: String,
    staging: PathBuf,
    staged: bool,
    /// When it was ordered, or bytes of it have moved last.
    moved: Duration,
}

impl Checkpoints {
    pub(super) fn new(stored: BTreeMap<Step, Stored>) -> Self {
        Self {
            stored,
            ..Self::default()
        }
    }

    /// The try that is being published from there. What is heard of one that was given up is nothing to whoever writes
    /// now.
    fn try_at(&mut self, staging: &Path) -> Option<&mut Writing> {
        self.writing.as_mut().filter(|w| w.staging == staging)
    }
}

/// What comes next.
enum Try {
    Write(Step, WorkerId),
    Nobody(Step),
}

impl Engine {
    /// Keeps what is owed in the members' memory and brings it to storage, one state after the other.
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

    /// The first state that is owed and that somebody can try to write; else one that everybody has tried in vain.
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
            // Of one that is not heard nobody knows what it does: it is waited for.
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

    /// A state that is owed and who can write it. What was due and is held by nobody any more is made good by the
    /// newest state.
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
        // One try, one folder: whoever wakes up late writes to nothing that counts.
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

    /// All who hold it have tried.
    fn nobody_can_write(&mut self, step: Step) {
        let waits = self.must_be_safe();
        let written = self.writable(step).map_or(step, |(step, _)| step);
        if !waits && self.best() != Some(step) {
            // The training goes on, and the next one is tried.
            self.checkpoints.failures.remove(&written);
            self.checkpoints.given_up.insert(step);
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

    /// Whoever holds an earlier state cannot write it, and others are there that never held it: it is as if nobody held
    /// it, so that the run goes back and everybody holds it.
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

    /// The next due checkpoint, and the end, wait for the one before.
    pub(super) fn hold_for_checkpoint(&self) -> bool {
        let next = self.committed.next();
        let due_again = next.0.is_multiple_of(self.options.save_steps.max(1));
        // What the members keep in memory is bounded.
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

    /// What is kept, is being written or was given up is of a course that the run leaves.
    pub(super) fn void_states_after(&mut self, step: Step) {
        let checkpoints = &mut self.checkpoints;
        checkpoints.writing.take_if(|writing| writing.step > step);
        checkpoints.given_up.retain(|at| *at <= step);
        checkpoints.failures.retain(|at, _| *at <= step);
        let void = |m: &Member| m.retains.iter().any(|at| *at > step);
        let keep: BTreeSet<_> = self.kept().into_iter().filter(|at| *at <= step).collect();
        for worker in self.members.those(|_, m| void(m)) {
            self.retain(&worker, &keep);
        }
    }

    /// A later state than this one is being given its name by the coordinator: nobody is needed for it any more.
    pub(super) fn arrives_after(&self, step: Step) -> bool {
        let writing = self.checkpoints.writing.as_ref();
        writing.is_some_and(|w| w.staged && w.step > step && w.step <= self.committed)
    }

    /// Bytes of what is being published have moved.
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
            // Also one that was given up and came late: its content was compared.
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

    /// A publication that was given up came late, with a state that nobody asks for any more. It has taken the place of
    /// any other of that step.
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
        self.checkpoints.given_up.retain(|s| *s > step);
        self.remove_oldest();
    }

    /// Beyond the limit the oldest checkpoints go; the best one, and where the run can begin again, stay. So does the
    /// committed state where a late publication lies ahead of it: it would be owed again at once.
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

    /// The next holder tries. The files of this try may go, unless somebody may still be at work on them.
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

    /// A writer, or a publication, of which nothing moves, and the next round of tries.
    pub(super) fn checkpoint_overdue(&mut self) {
        let (now, stage) = (self.now, self.options.ladder.stage);
        let members = &self.members;
        if let Some(writing) = &mut self.checkpoints.writing {
            let member = members.get(&writing.writer).filter(|_| !writing.staged);
            let moved = member.map_or(writing.moved, |m| m.moved().storage);
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

    /// What the run ends with is on storage: the adapter is brought to where loaders look.
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
            // Nobody holds it any more: the boundary decides where the run goes on.
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

    /// A checkpoint is not what the ledger says: it is as if it had never been.
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
