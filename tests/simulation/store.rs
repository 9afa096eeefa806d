//! What the simulated coordinator has written down, and what it remembers of it.

use std::collections::{BTreeMap, BTreeSet};

use coordinator::engine::{Committed, Evaluated, Remembered, Restorable};
use shared::evaluation::newest;
use shared::ids::{Generation, Step, WorkerId};
use shared::numerics::{self, AdapterState};
use shared::wire::message::SyncSource;

/// A line.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Commit(Box<Committed>),
    Evaluated(Box<Evaluated>),
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

    /// Steps up to the last one committed, as the lines tell. A rewind forward makes those count
    /// again that a rewind before had made void.
    pub(crate) fn committed(&self) -> BTreeMap<Step, &Committed> {
        let mut commits = BTreeMap::new();
        let mut stands = Step(0);
        for line in self.lines.iter().chain(&self.waiting) {
            match line {
                Line::Commit(commit) => {
                    commits.insert(commit.step, &**commit);
                    stands = commit.step;
                }
                Line::Rewind(step) => stands = *step,
                Line::Members(..) | Line::Evaluated(_) => {}
            }
        }
        commits.retain(|step, _| *step <= stands);
        commits
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
                    if commit.skipped {
                        let least = commit.loss_scale.is_none_or(|scale| scale.is_least());
                        remembered.skipped.insert(commit.step, least);
                    }
                    digests.insert(commit.step, commit.state_digest.clone());
                }
                Line::Evaluated(evaluated) => {
                    let (step, sums) = (evaluated.step, evaluated.sums.clone());
                    remembered.evaluations.insert(step, sums);
                    remembered.evaluated = Some(step);
                }
                Line::Rewind(step) => {
                    remembered.committed = *step;
                    remembered.evaluated = newest(&remembered.evaluations, *step);
                }
                Line::Members(generation, workers) => {
                    remembered.generation = *generation;
                    remembered.members = workers.iter().cloned().collect::<BTreeSet<_>>();
                }
            }
        }
        // A checkpoint whose step the ledger does not know is not trusted.
        let highest = digests.keys().max().copied().unwrap_or_default();
        let known = |step: &Step| *step <= highest;
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
