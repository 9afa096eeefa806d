//! Which adapter is the result of a run: that of the best step, or that of the last.

use shared::ids::Step;

use super::Engine;

impl Engine {
    /// The step with the best evaluation so far.
    pub(super) fn best(&self) -> Option<Step> {
        self.evaluations.best(self.states.committed)
    }

    /// The step whose adapter is the result, once the run has ended.
    pub(super) fn result(&self) -> Step {
        let best = self.best().filter(|_| self.options.best_is_the_result);
        best.unwrap_or(self.states.committed)
    }
}
