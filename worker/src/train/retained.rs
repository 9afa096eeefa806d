//! Committed states that stay in memory beside the newest until they are on storage.
//!
//! In: which steps are wanted, each committed state as it is passed by. Out: the states of wanted steps, with the
//! digests agreed on. Keeps: what is wanted and was committed here is never let go, also when another state is adopted:
//! the one in memory may be the last copy, and whoever writes it compares digests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::ids::Step;
use shared::numerics::AdapterState;

/// Earlier states of one worker.
#[derive(Debug, Default)]
pub(super) struct Retained {
    wanted: BTreeSet<Step>,
    states: BTreeMap<Step, (String, Arc<AdapterState>)>,
}

impl Retained {
    /// Only these steps are wanted from here on; the states of others are let go.
    pub(super) fn want(&mut self, steps: &[Step]) {
        self.wanted = steps.iter().copied().collect();
        let wanted = &self.wanted;
        self.states.retain(|step, _| wanted.contains(step));
    }

    /// A committed state is not the newest any more: it is kept where it is wanted. The digest is that of the moment it
    /// was committed.
    pub(super) fn passed(&mut self, state: &Arc<AdapterState>, digest: &str) {
        // Without a digest nothing was ever committed or adopted here.
        if self.wanted.contains(&state.step) && !digest.is_empty() {
            let kept = (digest.to_owned(), Arc::clone(state));
            self.states.insert(state.step, kept);
        }
    }

    /// The state of a step.
    pub(super) fn get(&self, step: Step) -> Option<&Arc<AdapterState>> {
        self.states.get(&step).map(|(_, state)| state)
    }

    /// Steps and digests of what is kept.
    pub(super) fn digests(&self) -> BTreeMap<Step, String> {
        let all = self.states.iter();
        all.map(|(step, (digest, _))| (*step, digest.clone()))
            .collect()
    }
}
