//! Who writes a state that storage is owed, and what follows from the outcome.
//!
//! The training goes on while a state is written; every member keeps the state in memory until it is on storage, so a
//! writer that fails is followed by the next holder. Keeps: no folder gets a checkpoint's name before its content
//! equals the digest that the members agreed on; a writer whose files differ is evicted by name; the run fails for its
//! storage only when every holder has tried in vain for all rounds, and then the workers keep their states for a later
//! start.

use std::collections::BTreeSet;
use std::path::Path;

use shared::error::{Code, Error, render};
use shared::ids::{Step, WorkerId};
use shared::wire::message::{FileDigest, ToWorker};

use super::Engine;
use super::event::{Command, PublishFailure, StoredCheckpoint};
use super::members::Member;
use super::state::Phase;

/// Rounds in which all holders try to write a state that the run waits for, before the run fails.
pub(super) const ROUNDS: u32 = 20;

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
                Some(Try::Write(step, writer)) => self.write_checkpoint(step, &writer),
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
            let failures = self.checkpoints.failures(step);
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
    pub(super) fn writable(&self, owed: Step) -> Option<(Step, Vec<WorkerId>)> {
        let holders = self.holders().of(owed);
        if !holders.is_empty() {
            return Some((owed, holders));
        }
        let newest = self.states.committed;
        let is_best = self.best() == Some(owed);
        if is_best || self.evaluation_due() || self.checkpoints.is_on_storage(newest) {
            return None;
        }
        let holders = self.holders().of(newest);
        (!holders.is_empty()).then_some((newest, holders))
    }

    fn write_checkpoint(&mut self, step: Step, writer: &WorkerId) {
        let digest = self.states.digests.get(&step).cloned().unwrap_or_default();
        let folder = &self.options.staging;
        let begun = (step, digest);
        let staging = self.checkpoints.begin_try(begun, writer, folder, self.now);
        let staging = staging.display().to_string();
        self.send(writer, ToWorker::WriteCheckpoint { step, staging });
    }

    /// Every holder of the state has tried in vain: gives it up, starts another round, or ends the run.
    fn nobody_can_write(&mut self, step: Step) {
        let waits = self.must_be_safe();
        let written = self.writable(step).map_or(step, |(step, _)| step);
        if !waits && self.best() != Some(step) {
            // The training goes on, and the next due state is tried.
            self.checkpoints.forget_failures_at(written);
            self.checkpoints.unwritable.insert(step);
            self.retain_owed();
            return;
        }
        if self.checkpoints.end_round(written, self.now, waits) < ROUNDS {
            return;
        }
        if self.others_can_replay(written) {
            self.checkpoints.forget_failures_at(written);
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
        let holders = self.holders().of(step);
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
        let next = self.states.committed.next();
        let due_again = next.0.is_multiple_of(self.options.save_steps.max(1));
        // The number of states that the members keep in memory is bounded.
        let evaluated = self.schedule.is_evaluated(next) && self.checkpoints.retained.len() > 1;
        let writing = self.checkpoints.writing.is_some();
        writing && (due_again || evaluated || self.ends() || self.stopping.is_near())
    }

    pub(super) fn checkpoint_written(
        &mut self,
        worker: &WorkerId,
        step: Step,
        outcome: std::result::Result<Vec<FileDigest>, String>,
    ) {
        if !self.checkpoints.is_written_by(worker, step) {
            return;
        }
        match outcome {
            Ok(files) => {
                if let Some(writing) = self.checkpoints.staged(self.now) {
                    self.outbox.push(Command::Publish {
                        step,
                        state_digest: writing.state_digest.clone(),
                        staging: writing.staging.clone(),
                        files,
                    });
                }
            }
            Err(reason) => {
                self.fail_try(reason, true);
                self.store_owed();
                self.finish_when_stored();
            }
        }
    }

    /// Forgets the states after `step` that are kept, being written or given up: the run leaves their course.
    pub(super) fn void_states_after(&mut self, step: Step) {
        self.checkpoints.void_after(step);
        let void = |m: &Member| m.retains.iter().any(|at| *at > step);
        let keep: BTreeSet<_> = self.kept().into_iter().filter(|at| *at <= step).collect();
        for worker in self.members.those(|_, m| void(m)) {
            self.retain(&worker, &keep);
        }
    }

    pub(super) fn checkpoint_published(
        &mut self,
        step: Step,
        staging: &Path,
        outcome: std::result::Result<StoredCheckpoint, PublishFailure>,
    ) {
        let ours = self.checkpoints.is_in(staging);
        match outcome {
            // This also holds for a try that was given up and came late: its content was compared.
            Ok(stored) => {
                if ours {
                    self.checkpoints.writing = None;
                }
                if self.states.vouches_for(step, &stored.state_digest) {
                    self.outbox.push(Command::Stored(stored.clone()));
                    self.stored(stored);
                } else {
                    self.checkpoints.replaced_in_vain(step, &mut self.outbox);
                }
            }
            Err(_) if !ours => {}
            Err(PublishFailure::Storage(error)) => self.fail_try(render(&error), true),
            Err(PublishFailure::Content(error)) => {
                let writer = self.checkpoints.writing.as_ref().map(|w| w.writer.clone());
                self.fail_try(render(&error), true);
                if let Some(writer) = writer.filter(|w| self.members.contains(w)) {
                    let what = format!("its files of step {step} do not hold the agreed state");
                    self.evict_as_corrupt(&writer, &what);
                }
            }
        }
        self.store_owed();
        self.finish_when_stored();
    }

    fn fail_try(&mut self, reason: String, discard: bool) {
        self.checkpoints.fail_try(reason, discard, &mut self.outbox);
    }

    fn stored(&mut self, stored: StoredCheckpoint) {
        self.checkpoints.add(stored, self.now);
        self.remove_oldest();
    }

    /// Ends a try of which no byte has moved for `stage_stall`, and begins the next round when its pause is over.
    pub(super) fn checkpoint_overdue(&mut self) {
        let stall = self.options.timeouts.stage_stall;
        if self
            .checkpoints
            .stands_still(&self.members, self.now, stall)
        {
            self.fail_try(format!("nothing of it has moved for {stall:?}"), false);
        }
        self.store_owed();
        self.finish_when_stored();
    }

    pub(super) fn checkpoint_writer_left(&mut self, worker: &WorkerId) {
        if self.checkpoints.is_unstaged_by(worker) {
            self.fail_try("it left while writing it".to_owned(), true);
        }
        self.checkpoints.forget_failures_of(worker);
    }
}
