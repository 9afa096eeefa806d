//! What storage is owed: the states that must be on storage before the members may let go of them.
//!
//! In: what is committed, evaluated and stored, and who holds which state. Out: the steps that are owed, in the order
//! in which they are written; where the run can begin again.
//! Keeps: the owed steps are derived anew at every question, from facts that survive a restart, so no death and no lost
//! message can make the run forget an owed state. Not here: who writes it, and what follows (`write`).

use std::collections::BTreeSet;

use shared::ids::{Step, WorkerId};

use super::state::Phase;
use super::{Engine, Restorable};

impl Engine {
    /// Steps whose states are owed, oldest first.
    pub(super) fn owed(&self) -> BTreeSet<Step> {
        let last = self.must_be_safe().then_some(self.states.committed);
        // A worker that leaves cannot wait for an evaluation: the state is evaluated when the run takes it up again.
        let last = last.filter(|step| !self.checkpoints.is_on_storage(*step));
        let alone = self.boundary.short_of_workers && matches!(self.phase, Phase::Gathering);
        let committed = self.states.committed;
        let paused = (alone && !self.checkpoints.is_on_storage(committed)).then_some(committed);
        let paused = paused.filter(|step| !self.checkpoints.unwritable.contains(step));
        [self.best_owed(), self.due(), last, paused]
            .into_iter()
            .flatten()
            .collect()
    }

    /// The best state so far, unless it is on storage. Where the best state is not the result, it is owed only as long
    /// as a worker holds it.
    fn best_owed(&self) -> Option<Step> {
        let best = self
            .best()
            .filter(|step| !self.checkpoints.is_on_storage(*step))?;
        let wanted = self.options.best_is_the_result || self.holders().anybody(best);
        wanted.then_some(best)
    }

    /// The newest step that `save_steps` asks for, unless it was given up, or a checkpoint of it or of a later step is
    /// there.
    fn due(&self) -> Option<Step> {
        let every = self.options.save_steps.max(1);
        let due = Step(self.states.committed.0 - self.states.committed.0 % every);
        // In a replay the newest checkpoint may lie ahead of the committed step.
        let newest = self.checkpoints.stored.keys().next_back();
        let newest = newest.copied().unwrap_or_default();
        // A checkpoint holds its state's evaluation, which comes first; the last state is owed as the run's end.
        let later = due == self.states.committed && (self.evaluation_due() || self.ends());
        let begun = self.checkpoints.origin.as_ref().map_or(Step(0), |o| o.step);
        (due > newest.max(begun) && !later && !self.checkpoints.unwritable.contains(&due))
            .then_some(due)
    }

    /// Whether the committed state must be on storage before the run ends or its last holders leave.
    pub(super) fn must_be_safe(&self) -> bool {
        // A run that ends soon ends at the boundary, with the state that is committed then.
        let ends = matches!(self.phase, Phase::Gathering) && self.stopping.is_near();
        matches!(self.phase, Phase::Finishing) || ends || self.holders().only_drain()
    }

    /// Whether the worker holds an owed state that no staying worker holds.
    pub(super) fn is_the_last_holder(&self, worker: &WorkerId) -> bool {
        let committed = (!self.checkpoints.is_on_storage(self.states.committed))
            .then_some(self.states.committed);
        let owed = self.owed().into_iter().chain(committed);
        let mut owed: Vec<_> = owed.collect();
        owed.dedup();
        let alone = |step| self.holders().is_the_last(worker, step);
        owed.into_iter().any(alone)
    }

    /// The step of the best state, when that state is lost and must be computed again.
    pub(super) fn lost_best(&self) -> Option<Step> {
        self.best().filter(|best| self.must_come_again(*best))
    }

    /// Whether the run could not stay at this step, although a worker holds its state, because an earlier best state is
    /// lost.
    pub(super) fn goes_back_from(&self, step: Step) -> bool {
        let best = self.evaluations.best_of(step);
        best.is_some_and(|best| best < step && self.must_come_again(best))
    }

    fn must_come_again(&self, best: Step) -> bool {
        let writing = self.checkpoints.writing.as_ref();
        let on_its_way = writing.is_some_and(|w| w.step == best);
        let safe =
            self.checkpoints.is_on_storage(best) || on_its_way || self.holders().anybody(best);
        self.options.best_is_the_result && !safe
    }

    /// The state that the run goes back to when nobody holds the committed one: the newest checkpoint that is not after
    /// an owed best state, or else the run's beginning.
    pub(super) fn restart_point(&self) -> Option<Restorable> {
        let best = self.best_owed().filter(|_| self.options.best_is_the_result);
        let most = best.unwrap_or(Step(u64::MAX));
        self.checkpoints.newest_up_to(most)
    }
}
