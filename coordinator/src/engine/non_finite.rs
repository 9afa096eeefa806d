//! Steps whose loss or gradient is not finite: how many in a row, and when they end the run.
//!
//! In: what all members agreed on about a step. Out: nothing, or an end: the state before the trouble is made safe
//! first, and the error names its checkpoint.
//! Keeps: decided from committed facts alone, so it is the same for any number of workers and after any restart. An
//! fp16 overflow that a smaller loss scale may cure does not count.

use std::collections::BTreeMap;

use shared::config::OnNonFinite;
use shared::error::{Code, Error};
use shared::ids::Step;
use shared::wire::message::Applied;

use super::Engine;
use super::notice::Notice;
use super::state::Phase;

/// Committed steps that applied nothing, steps after a rewind included.
#[derive(Debug)]
pub(super) struct SkippedSteps {
    /// The value is true where no smaller loss scale could have helped.
    by_step: BTreeMap<Step, bool>,
}

impl SkippedSteps {
    pub(super) fn new(by_step: BTreeMap<Step, bool>) -> Self {
        Self { by_step }
    }

    /// Notes whether a committed step applied nothing.
    fn note(&mut self, step: Step, agreed: &Applied) {
        if agreed.skipped {
            self.by_step.insert(step, agreed.is_non_finite());
        } else {
            self.by_step.remove(&step);
        }
    }

    /// Number of the newest steps, without a gap, that were not finite.
    fn in_a_row(&self, committed: Step) -> u64 {
        let back = (1..=committed.0).rev().map(Step);
        let non_finite = |step: &Step| self.by_step.get(step) == Some(&true);
        back.take_while(non_finite).count() as u64
    }

    /// Whether the run scales its loss: only fp16 skips steps that a smaller scale may cure.
    fn are_scaled(&self) -> bool {
        self.by_step.values().any(|least| !least)
    }

    /// Whether these are all steps that were committed, and there is one.
    fn are_all(&self, committed: Step) -> bool {
        let skipped = self.by_step.range(..=committed).count() as u64;
        committed.0 > 0 && skipped == committed.0
    }

    /// Forgets what came after `step`: the run takes another course.
    pub(super) fn void_after(&mut self, step: Step) {
        self.by_step.retain(|at, _| *at <= step);
    }
}

impl Engine {
    /// Under `on_non_finite: fail` a step that is not finite is not committed: the run ends with the state before.
    /// Returns whether it ends.
    pub(super) fn fails_at(&mut self, step: Step, agreed: &Applied) -> bool {
        let fails = self.options.stability.on_non_finite == OnNonFinite::Fail;
        if !fails || !agreed.is_non_finite() {
            return false;
        }
        let what = format!("step {step}: a loss or gradient is not finite or out of range");
        let error = Error::new(Code::NotFinite, what)
            .why("`on_non_finite: fail` ends the run before the step is applied")
            .fix("--set on_non_finite=skip leaves such steps out");
        self.phase = Phase::Gathering;
        let scaled = agreed.loss_scale.is_some();
        self.stopping.fail_later(at_smaller_steps(error, scaled));
        true
    }

    /// Notes whether a committed step applied nothing, and says so.
    pub(super) fn count_skipped(&mut self, step: Step, agreed: &Applied) {
        self.skipped.note(step, agreed);
        if !agreed.skipped || !agreed.is_non_finite() {
            return;
        }
        let most = self.options.stability.max_skipped_steps;
        let in_a_row = self.skipped.in_a_row(self.states.committed);
        self.outbox.notice(Notice::Skipped {
            step,
            in_a_row,
            most,
        });
    }

    /// Whether the newest steps that are not finite have reached `max_skipped_steps`. Asked at every boundary and after
    /// a restart, so that the committed steps end the run and not the moment in which they were heard of.
    pub(super) fn too_many_skipped(&self) -> bool {
        let most = u64::from(self.options.stability.max_skipped_steps);
        let in_a_row = self.skipped.in_a_row(self.states.committed);
        in_a_row > 0 && in_a_row >= most
    }

    /// At a boundary: ends the run when too many steps in a row were not finite.
    pub(super) fn fail_when_too_many_are_skipped(&mut self) {
        if self.stopping.pending_failure.is_some() || !self.too_many_skipped() {
            return;
        }
        let what = format!(
            "{} steps in a row had values that are not finite",
            self.skipped.in_a_row(self.states.committed)
        );
        let error = Error::new(Code::NotFinite, what)
            .why(format!(
                "the last one is step {}; none of them was applied",
                self.states.committed
            ))
            .why(format!(
                "`max_skipped_steps` is {}",
                self.options.stability.max_skipped_steps
            ));
        let scaled = self.skipped.are_scaled();
        self.stopping.fail_later(at_smaller_steps(error, scaled));
    }

    /// At the end: fails a run that skipped every step, because its adapter has learned nothing. Returns whether it
    /// did.
    pub(super) fn learned_nothing(&mut self) -> bool {
        let committed = self.states.committed;
        if !self.skipped.are_all(committed) {
            return false;
        }
        let steps = committed.0;
        let what = format!("none of the {steps} steps of the run was applied");
        let error = Error::new(Code::NotFinite, what)
            .why("each had a loss or gradient that was not finite or out of range");
        let scaled = self.skipped.are_scaled();
        self.stopping.fail_later(at_smaller_steps(error, scaled));
        true
    }
}

/// Adds what may help where numbers are not finite.
fn at_smaller_steps(error: Error, scaled: bool) -> Error {
    let mut error = error.fix("a new run with --set learning_rate=SMALLER");
    if scaled {
        error = error.fix("float16 has a small range: --set fp16=false --set bf16=true");
    }
    error.fix("or look at the data of these steps")
}
