//! What the lines of a ledger fold to: all that a restarted coordinator has to know.
//!
//! In: records that the `rules` let pass. Out: the run, who leads, who computes, what is committed.
//! Keeps: 72 bytes a step, so that a replay is compared with what was committed before; a fork makes
//! what was committed after its step void, and nothing else does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::{
    Checkpoint, Commit, Complete, EvaluatedSet, Evaluation, Leader, Members, Record, Run,
};
use crate::error::Result;
use crate::evaluation::{SetSums, newest};
use crate::ids::{Step, Term};
use crate::numerics::LossScale;

/// A run as its ledger tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is trained.
    pub run: Run,
    /// The coordinator that leads, `None` before the first.
    pub leader: Option<Leader>,
    /// The newest member set, `None` before the first.
    pub members: Option<Members>,
    /// The newest committed step.
    pub committed: Step,
    /// Digest of the state after it, `None` when it is the first adapter's.
    pub state_digest: Option<String>,
    /// The newest checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// Checkpoints that were set aside, the last time for each step.
    pub set_aside: BTreeMap<Step, SetAside>,
    /// The end, when it was reached.
    pub complete: Option<Complete>,
    /// How often the run went on from an earlier state.
    pub rewinds: u64,
    /// How often that was a fork: more than one device class took part, and a replay came out
    /// differently.
    pub forks: u64,
    /// Commits of steps that were committed before.
    pub replayed: u64,
    /// How often a worker was forced to leave.
    pub evictions: u64,
    /// Every evaluation, of steps that have to come again too.
    pub evaluations: BTreeMap<Step, Vec<SetSums>>,
    /// The newest evaluation that stands.
    pub evaluated: Option<Step>,
    /// The step with which patience was over.
    pub stopped: Option<Step>,
    /// Steps that applied nothing, of steps that have to come again too; true where no smaller loss
    /// scale could have helped.
    pub skipped: BTreeMap<Step, bool>,
    /// The loss scale that the next step must have, when it is known.
    pub(super) loss_scale: Option<LossScale>,
    marks: Vec<Mark>,
}

/// A checkpoint that the run found damaged, or of a course that it left, and went on without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// Step whose state the checkpoint should hold.
    pub step: Step,
    /// The step that the run had committed when that was found.
    pub after: Step,
    /// The ledger's line that says so.
    pub line: u64,
    /// Folder where the checkpoint lies since, in the output folder.
    pub folder: String,
    /// Reason for setting the checkpoint aside, for people: damage, or a course that the run has left.
    pub reason: String,
    /// The step has had a checkpoint again since.
    pub written_again: bool,
}

/// What is kept of a committed step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) state: blake3::Hash,
    pub(super) samples: blake3::Hash,
    pub(super) line: u64,
}

impl Mark {
    pub(super) fn of(commit: &Commit, line: u64) -> Self {
        let mut samples = blake3::Hasher::new();
        for credit in &commit.micro_batches {
            samples.update(&credit.micro_batch.0.to_le_bytes());
            samples.update(&(credit.samples.len() as u64).to_le_bytes());
            for row in &credit.samples {
                samples.update(&row.to_le_bytes());
            }
        }
        Self {
            state: blake3::hash(commit.state_digest.as_bytes()),
            samples: samples.finalize(),
            line,
        }
    }
}

/// The sums of an evaluation.
pub(super) fn sums(evaluation: &Evaluation) -> Vec<SetSums> {
    evaluation.sets.iter().map(EvaluatedSet::sums).collect()
}

impl State {
    /// The state after the first line.
    pub(super) fn begin(run: Run) -> Self {
        Self {
            committed: run.begins_after,
            state_digest: run.parent.as_ref().map(|p| p.state_digest.clone()),
            run,
            leader: None,
            members: None,
            checkpoint: None,
            set_aside: BTreeMap::new(),
            complete: None,
            rewinds: 0,
            forks: 0,
            replayed: 0,
            evictions: 0,
            evaluations: BTreeMap::new(),
            evaluated: None,
            stopped: None,
            skipped: BTreeMap::new(),
            loss_scale: None,
            marks: Vec::new(),
        }
    }

    /// The newest term, 0 before the first.
    #[must_use]
    pub fn term(&self) -> Term {
        self.leader.as_ref().map_or(Term(0), |leader| leader.term)
    }

    /// The highest step that was committed and is not void; after a rewind more than
    /// [`Self::committed`].
    #[must_use]
    pub fn highest(&self) -> Step {
        Step(self.run.begins_after.0 + self.marks.len() as u64)
    }

    /// Whether this digest is that of the step's state; `None` for a step without a commit.
    #[must_use]
    pub fn agrees(&self, step: Step, state_digest: &str) -> Option<bool> {
        let same = |mark: &Mark| mark.state == blake3::hash(state_digest.as_bytes());
        self.mark(step).map(same).or_else(|| {
            let parent = self.run.parent.as_ref()?;
            (step == self.run.begins_after).then(|| parent.state_digest == state_digest)
        })
    }

    /// The line of the step's first commit, from 1.
    #[must_use]
    pub fn line_of(&self, step: Step) -> Option<u64> {
        self.mark(step).map(|mark| mark.line)
    }

    pub(super) fn mark(&self, step: Step) -> Option<&Mark> {
        let index = step.0.checked_sub(self.run.begins_after.0 + 1)?;
        self.marks.get(usize::try_from(index).ok()?)
    }

    /// Follows a record that stands in `line`.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`](crate::error::Code::LedgerContradiction) or
    /// [`Code::ReplayDiffers`](crate::error::Code::ReplayDiffers); the state is as before.
    pub fn fold(&mut self, record: &Record, line: u64) -> Result<()> {
        self.may_follow(record)?;
        match record {
            Record::Run(_) => {}
            Record::Term(leader) => self.leader = Some(leader.clone()),
            Record::Members(members) => self.members = Some(members.clone()),
            Record::Commit(commit) => {
                if commit.step > self.highest() {
                    self.marks.push(Mark::of(commit, line));
                } else {
                    self.replayed += 1;
                }
                if commit.skipped {
                    self.skipped.insert(commit.step, commit.is_non_finite());
                }
                let scale = commit.loss_scale;
                self.loss_scale = scale.map(|scale| scale.after(commit.skipped));
                self.committed = commit.step;
                self.state_digest = Some(commit.state_digest.clone());
            }
            Record::Evaluation(evaluation) => {
                self.evaluations.insert(evaluation.step, sums(evaluation));
                self.evaluated = Some(evaluation.step);
                if evaluation.stops {
                    self.stopped = Some(evaluation.step);
                } else if self.stopped == Some(evaluation.step) {
                    self.stopped = None;
                }
            }
            Record::Rewind(rewind) => {
                self.rewinds += 1;
                if !rewind.forked.is_empty() {
                    self.fork(rewind.step);
                }
                self.loss_scale = None;
                self.committed = rewind.step;
                self.evaluated = newest(&self.evaluations, rewind.step);
                self.state_digest.clone_from(&rewind.state_digest);
            }
            Record::Checkpoint(checkpoint) => self.checkpoint(checkpoint, line),
            Record::Evicted(_) => self.evictions += 1,
            Record::Complete(complete) => self.complete = Some(complete.clone()),
        }
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint, line: u64) {
        let step = checkpoint.step;
        if let Some(reason) = &checkpoint.set_aside {
            self.checkpoint.take_if(|newest| newest.step == step);
            let aside = SetAside {
                step,
                after: self.committed,
                line,
                folder: checkpoint.folder.clone(),
                reason: reason.clone(),
                written_again: false,
            };
            self.set_aside.insert(step, aside);
            return;
        }
        if let Some(aside) = self.set_aside.get_mut(&step) {
            aside.written_again = true;
        }
        self.checkpoint = Some(checkpoint.clone());
    }

    /// What was committed after this step is void: it may come out differently now.
    fn fork(&mut self, step: Step) {
        self.forks += 1;
        let kept = step.0.saturating_sub(self.run.begins_after.0);
        self.marks
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        // An evaluation of the committed state stands when this course has made it; otherwise it differs.
        let stands = self.evaluated;
        self.evaluations.retain(|at, _| Some(*at) <= stands);
        self.skipped.split_off(&step.next());
        self.stopped = self.stopped.filter(|stopped| *stopped <= step);
        self.checkpoint = self.checkpoint.take().filter(|c| c.step <= step);
    }
}
