//! What the simulated coordinator has written down, and what it remembers of it.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::engine::{Committed, Remembered, Restorable};
use shared::ids::{Generation, Step, WorkerId};
use shared::numerics::{self, AdapterState};
use shared::wire::message::SyncSource;

/// A line.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Commit(Box<Committed>),
    Members(Generation, Vec<WorkerId>),
    Rewind(Step),
}

/// The ledger and the checkpoints.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) lines: Vec<Line>,
    /// Not on storage yet, because it refuses: lost when the coordinator is killed.
    pub(crate) waiting: Vec<Line>,
    pub(crate) refuses: bool,
    pub(crate) checkpoints: BTreeMap<Step, AdapterState>,
}

impl Store {
    pub(crate) fn append(&mut self, line: Line) {
        self.waiting.push(line);
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        if !self.refuses {
            self.lines.append(&mut self.waiting);
        }
    }

    /// Steps committed and not void, as the lines tell.
    pub(crate) fn committed(&self) -> BTreeMap<Step, &Committed> {
        let mut committed = BTreeMap::new();
        for line in self.lines.iter().chain(&self.waiting) {
            match line {
                Line::Commit(commit) => {
                    committed.insert(commit.step, &**commit);
                }
                Line::Rewind(step) => committed.retain(|s, _| s <= step),
                Line::Members(..) => {}
            }
        }
        committed
    }

    /// What a coordinator that starts now knows.
    pub(crate) fn recall(&mut self) -> (Restorable, Remembered) {
        self.waiting.clear();
        self.refuses = false;
        let mut digests: BTreeMap<Step, String> = BTreeMap::new();
        let mut remembered = Remembered::default();
        for line in &self.lines {
            match line {
                Line::Commit(commit) => {
                    remembered.committed = commit.step;
                    digests.insert(commit.step, commit.state_digest.clone());
                }
                Line::Rewind(step) => remembered.committed = *step,
                Line::Members(generation, workers) => {
                    remembered.generation = *generation;
                    remembered.members = workers.iter().cloned().collect::<BTreeSet<_>>();
                }
            }
        }
        // A checkpoint whose step the ledger does not know is not trusted.
        let known = |step: &Step| *step <= remembered.committed;
        let newest = self.checkpoints.iter().rev().find(|(step, _)| known(step));
        let from = match newest {
            Some((step, state)) => Restorable {
                step: *step,
                source: SyncSource::Checkpoint(step.to_string()),
                state_digest: Some(numerics::state_digest(state)),
            },
            None => Restorable {
                step: Step(0),
                source: SyncSource::Initial,
                state_digest: None,
            },
        };
        digests.retain(|step, _| *step > from.step && *step <= remembered.committed);
        remembered.digests = digests;
        (from, remembered)
    }
}
