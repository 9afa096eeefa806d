//! Which record may come next: steps without gap or repeat, replays that come out the same.
//!
//! In: a state and a record. Out: yes, or what the record contradicts. Changes nothing, so a
//! record is refused before it is written.

use super::record::{Commit, Evaluation, Record};
use super::state::{Mark, State, sums};
use crate::error::{Code, Error, Result};
use crate::ids::Step;

impl State {
    /// Whether the record may come next.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`] or [`Code::ReplayDiffers`], without a place.
    pub fn may_follow(&self, record: &Record) -> Result<()> {
        if self.complete.is_some()
            && matches!(
                record,
                Record::Commit(_) | Record::Evaluation(_) | Record::Rewind(_) | Record::Complete(_)
            )
        {
            return Err(contradiction("a finished run goes on"));
        }
        match record {
            Record::Run(_) => Err(contradiction("a second run begins in the same ledger")),
            Record::Term(leader) if leader.term <= self.term() => Err(contradiction(
                "a term does not grow",
            )
            .why(format!("term {} after term {}", leader.term, self.term()))),
            Record::Commit(commit) => self.commit_fits(commit),
            Record::Evaluation(evaluation) => self.evaluation_fits(evaluation),
            Record::Rewind(rewind) => {
                self.is_known(
                    rewind.step,
                    "the run goes on from a step it never committed",
                )?;
                match &rewind.state_digest {
                    Some(digest) => self.is_state_of(rewind.step, digest),
                    None => Ok(()),
                }
            }
            // What is set aside may be of a step that a fork made void.
            Record::Checkpoint(checkpoint) if checkpoint.set_aside.is_some() => Ok(()),
            Record::Checkpoint(checkpoint) => {
                self.is_known(checkpoint.step, "a checkpoint of a step without a commit")?;
                self.is_state_of(checkpoint.step, &checkpoint.state_digest)
            }
            Record::Complete(complete) => {
                let last = self.stopped.unwrap_or(Step(self.run.total_steps));
                if complete.step == last && self.committed == last {
                    return Ok(());
                }
                Err(contradiction("the run ends before its last step")
                    .why(format!("step {} of {last} is committed", self.committed)))
            }
            Record::Term(_) | Record::Members(_) | Record::Evicted(_) => Ok(()),
        }
    }

    fn commit_fits(&self, commit: &Commit) -> Result<()> {
        let (step, committed) = (commit.step, self.committed);
        if step <= committed {
            return Err(contradiction(&format!("step {step} is committed twice"))
                .why(format!("step {committed} is committed already")));
        }
        if step != committed.next() {
            return Err(contradiction(&format!(
                "step {} is missing before step {step}",
                committed.next()
            ))
            .why(format!("step {committed} is the last one committed")));
        }
        if self.stopped == Some(committed) {
            return Err(contradiction(&format!("step {step} follows the end"))
                .why(format!("the evaluation of step {committed} ended the run")));
        }
        if step.0 > self.run.total_steps {
            return Err(contradiction(&format!("step {step} is past the end"))
                .why(format!("the run has {} steps", self.run.total_steps)));
        }
        if commit.term != self.term() {
            return Err(
                contradiction("a commit under a term that does not lead").why(format!(
                    "step {step} says term {}, term {} leads",
                    commit.term,
                    self.term()
                )),
            );
        }
        if let Some(expected) = self.loss_scale
            && commit.loss_scale != Some(expected)
        {
            return Err(contradiction(&format!(
                "step {step} was computed with another loss scale than its turn"
            ))
            .why(format!("it says {:?}", commit.loss_scale))
            .why(format!("after step {committed} it is {expected:?}")));
        }
        let Some(first) = self.mark(step) else {
            return Ok(());
        };
        let now = Mark::of(commit, 0);
        if first.samples != now.samples {
            return Err(differs(step, first).why("it used other samples"));
        }
        if first.state != now.state {
            return Err(differs(step, first)
                .why(format!("its state digest is now {}", commit.state_digest))
                .why("equal bytes are promised on one device class only"));
        }
        Ok(())
    }

    fn evaluation_fits(&self, evaluation: &Evaluation) -> Result<()> {
        let (step, committed) = (evaluation.step, self.committed);
        if step != committed {
            return Err(
                contradiction("an evaluation of another state than the newest").why(format!(
                    "step {step} is evaluated, step {committed} is committed"
                )),
            );
        }
        if self.evaluated == Some(step) {
            return Err(contradiction(&format!("step {step} is evaluated twice")));
        }
        if evaluation.term != self.term() {
            let (term, leads) = (evaluation.term, self.term());
            return Err(
                contradiction("an evaluation under a term that does not lead")
                    .why(format!("step {step} says term {term}, term {leads} leads")),
            );
        }
        match self.evaluations.get(&step) {
            Some(first) if *first != sums(evaluation) => Err(Error::new(
                Code::ReplayDiffers,
                format!("the evaluation of step {step} came out differently than before"),
            )
            .why("equal numbers are promised on one device class only")
            .fix("--overwrite to start anew")),
            _ => Ok(()),
        }
    }

    fn is_known(&self, step: Step, what: &str) -> Result<()> {
        if (self.run.begins_after..=self.highest()).contains(&step) {
            return Ok(());
        }
        Err(contradiction(what).why(format!(
            "step {step}, but the ledger knows steps {} to {}",
            self.run.begins_after,
            self.highest()
        )))
    }

    fn is_state_of(&self, step: Step, digest: &str) -> Result<()> {
        if self.agrees(step, digest) != Some(false) {
            return Ok(());
        }
        let mut error = Error::new(
            Code::LedgerContradiction,
            format!("the state of step {step} is not the one that was committed"),
        )
        .why(format!("its state digest is {digest}"));
        if let Some(line) = self.line_of(step) {
            error = error.why(format!("line {line} committed another"));
        }
        Err(error)
    }
}

fn contradiction(what: &str) -> Error {
    Error::new(Code::LedgerContradiction, what)
}

fn differs(step: Step, first: &Mark) -> Error {
    Error::new(
        Code::ReplayDiffers,
        format!("step {step} came out differently than before"),
    )
    .why(format!("line {} committed it first", first.line))
    .fix("go on with workers of the device class that began the run, or --overwrite to start anew")
}
