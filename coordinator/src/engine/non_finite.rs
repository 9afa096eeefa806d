//! Steps whose loss or gradient is not finite: how many in a row, and when they end the run.
//!
//! In: what all members agreed on about a step. Out: nothing, or an end: the state before the trouble is made safe
//! first, and the error names its checkpoint.
//! Keeps: decided from committed facts alone, so it is the same for any number of workers and after any restart. An
//! fp16 overflow that a smaller loss scale may cure does not count.

use shared::config::OnNonFinite;
use shared::error::{Code, Error};
use shared::ids::Step;
use shared::wire::message::Applied;

use super::Engine;
use super::event::Command;
use super::notice::Notice;
use super::state::Phase;

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
        self.ends_with(error, agreed.loss_scale.is_some());
        true
    }

    /// Notes whether a committed step applied nothing, and says so.
    pub(super) fn count_skipped(&mut self, step: Step, agreed: &Applied) {
        if !agreed.skipped {
            self.skipped.remove(&step);
            return;
        }
        self.skipped.insert(step, agreed.is_non_finite());
        if !agreed.is_non_finite() {
            return;
        }
        let (in_a_row, most) = (self.in_a_row(), self.options.stability.max_skipped_steps);
        self.notice(Notice::Skipped {
            step,
            in_a_row,
            most,
        });
    }

    /// Whether the newest steps that are not finite have reached `max_skipped_steps`. Asked at every boundary and after
    /// a restart, so that the committed steps end the run and not the moment in which they were heard of.
    pub(super) fn too_many_skipped(&self) -> bool {
        let most = u64::from(self.options.stability.max_skipped_steps);
        let in_a_row = self.in_a_row();
        in_a_row > 0 && in_a_row >= most
    }

    /// At a boundary: ends the run when too many steps in a row were not finite.
    pub(super) fn fail_when_too_many_are_skipped(&mut self) {
        if self.pending_failure.is_some() || !self.too_many_skipped() {
            return;
        }
        let what = format!(
            "{} steps in a row had values that are not finite",
            self.in_a_row()
        );
        let error = Error::new(Code::NotFinite, what)
            .why(format!(
                "the last one is step {}; none of them was applied",
                self.committed
            ))
            .why(format!(
                "`max_skipped_steps` is {}",
                self.options.stability.max_skipped_steps
            ));
        self.ends_with(error, self.is_scaled());
    }

    /// Whether the run scales its loss: only fp16 skips steps that a smaller scale may cure.
    fn is_scaled(&self) -> bool {
        self.skipped.values().any(|least| !least)
    }

    /// At the end: fails a run that skipped every step, because its adapter has learned nothing. Returns whether it
    /// did.
    pub(super) fn learned_nothing(&mut self) -> bool {
        let steps = self.committed.0;
        if steps == 0 || self.skipped.range(..=self.committed).count() as u64 != steps {
            return false;
        }
        let what = format!("none of the {steps} steps of the run was applied");
        let error = Error::new(Code::NotFinite, what)
            .why("each had a loss or gradient that was not finite or out of range");
        self.ends_with(error, self.is_scaled());
        true
    }

    /// Number of the newest steps, without a gap, that were not finite.
    fn in_a_row(&self) -> u64 {
        let back = (1..=self.committed.0).rev().map(Step);
        let non_finite = |step: &Step| self.skipped.get(step) == Some(&true);
        back.take_while(non_finite).count() as u64
    }

    /// Ends the run with `error` as soon as its state is on storage.
    fn ends_with(&mut self, error: Error, scaled: bool) {
        let mut error = error.fix("a new run with --set learning_rate=SMALLER");
        if scaled {
            error = error.fix("float16 has a small range: --set fp16=false --set bf16=true");
        }
        self.pending_failure = Some(error.fix("or look at the data of these steps"));
    }

    /// At a boundary: fails the run once its state is on storage or nobody holds it.
    pub(super) fn fail_safely(&mut self) {
        if !self.made_safe() {
            return;
        }
        let Some(error) = self.pending_failure.take() else {
            return;
        };
        let error = match self.checkpoints.stored.last_key_value() {
            Some((step, stored)) => error
                .why(format!(
                    "the state of step {step} is good, and lies in {}",
                    stored.folder
                ))
                .fix(format!("go on from it: --set parent={}", stored.folder)),
            None => error.why("no step was applied before: there is no checkpoint"),
        };
        self.fail(error);
    }

    /// At a boundary of an interrupted run: ends it once its state is on storage or nobody holds it.
    pub(super) fn stop_safely(&mut self) {
        if self.made_safe() {
            self.phase = Phase::Over;
            self.nobody_is_awaited();
            let safe = self.is_on_storage(self.committed).then_some(self.committed);
            let step = safe.or_else(|| self.restart_point().map(|point| point.step));
            self.out
                .push(Command::Interrupted(step.unwrap_or_default()));
        }
    }

    /// Whether every owed state is on storage or held by nobody; orders the others written.
    fn made_safe(&mut self) -> bool {
        self.store_owed();
        let waits = self.owed().iter().any(|step| self.anybody_holds(*step));
        !waits && self.checkpoints.writing.is_none() && !self.somebody_is_on_its_way()
    }
}
