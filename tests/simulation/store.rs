//! What survives a restart of the simulated coordinator, and what one that starts knows.
//!
//! In: lines and published states. Out: where a run goes on from, and what is remembered.
//! Keeps: a line that storage refused is lost with the process; a checkpoint keeps the digest that it was
//! published with, whatever becomes of its bytes.

use std::collections::BTreeMap;

use coordinator::engine::{Committed, Remembered, Restorable, StoredCheckpoint};
use shared::ids::{Step, Term};
use shared::numerics::{self, AdapterState};
use shared::wire::message::SyncSource;

use super::ledger::{Ledger, Line};

/// A checkpoint that has its name.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) state: AdapterState,
    /// What its manifest says.
    pub(crate) state_digest: String,
}

impl Checkpoint {
    /// Whether it holds what its manifest says.
    pub(crate) fn is_sound(&self) -> bool {
        numerics::state_digest(&self.state) == self.state_digest
    }
}

/// The adapter where loaders look for it.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    pub(crate) result: Step,
    pub(crate) last: Step,
    pub(crate) state: AdapterState,
}

/// The ledger and the checkpoints.
pub(crate) struct Store {
    ledger: Ledger,
    lines: Vec<Line>,
    /// Not on storage yet, because it refuses: lost when the coordinator is killed.
    waiting: Vec<Line>,
    /// A line that the ledger's rules refused.
    contradiction: Option<String>,
    pub(crate) refuses: bool,
    /// No checkpoint and no adapter can be written, by anybody.
    pub(crate) full: bool,
    pub(crate) checkpoints: BTreeMap<Step, Checkpoint>,
    /// Files that have no name yet, by their staging folder.
    pub(crate) staged: BTreeMap<String, AdapterState>,
    pub(crate) exported: Option<Exported>,
    /// The next checkpoint that is published rots.
    pub(crate) rots_next: bool,
}

impl Store {
    /// That of a run of so many steps.
    pub(crate) fn new(total_steps: u64) -> Self {
        Self {
            ledger: Ledger::begin(total_steps),
            lines: Vec::new(),
            waiting: Vec::new(),
            contradiction: None,
            refuses: false,
            full: false,
            checkpoints: BTreeMap::new(),
            staged: BTreeMap::new(),
            exported: None,
            rots_next: false,
        }
    }

    pub(crate) fn append(&mut self, line: Line) {
        self.waiting.push(line);
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        if self.refuses {
            return;
        }
        for line in std::mem::take(&mut self.waiting) {
            if let Err(error) = self.ledger.write(&line) {
                let what = format!("{error:?}");
                self.contradiction.get_or_insert(what);
            }
            self.lines.push(line);
        }
    }

    /// What was written against the ledger's rules.
    pub(crate) fn contradiction(&mut self) -> Option<String> {
        self.contradiction.take()
    }

    /// Storage is there again, and takes what waited.
    pub(crate) fn heal(&mut self) {
        self.refuses = false;
        self.full = false;
        self.flush();
    }

    /// Steps up to the last one committed, as the lines tell. A rewind forward makes those count
    /// again that a rewind before had made void; a fork makes void for good.
    pub(crate) fn committed(&self) -> BTreeMap<Step, &Committed> {
        let mut commits = BTreeMap::new();
        let mut stands = Step(0);
        for line in self.lines.iter().chain(&self.waiting) {
            match line {
                Line::Commit(commit) => {
                    commits.insert(commit.step, &**commit);
                    stands = commit.step;
                }
                Line::Rewind(rewind) => {
                    stands = rewind.step;
                    if !rewind.forked.is_empty() {
                        commits.retain(|step, _| *step <= rewind.step);
                    }
                }
                _ => {}
            }
        }
        commits.retain(|step, _| *step <= stands);
        commits
    }

    /// Digests of all steps ever committed that no fork made void, as the lines on storage tell.
    pub(crate) fn digests(&self) -> BTreeMap<Step, String> {
        let mut digests = BTreeMap::new();
        for line in &self.lines {
            match line {
                Line::Commit(commit) => {
                    digests.insert(commit.step, commit.state_digest.clone());
                }
                Line::Rewind(rewind) if !rewind.forked.is_empty() => {
                    digests.retain(|step, _| *step <= rewind.step);
                }
                _ => {}
            }
        }
        digests
    }

    /// Processes that a coordinator that starts now has to wait for.
    pub(crate) fn awaited(&self) -> Vec<String> {
        self.ledger.awaited()
    }

    /// A checkpoint changes, and no second time back; false when there is none.
    pub(crate) fn rot_newest(&mut self) -> bool {
        let newest = self.checkpoints.values_mut().next_back();
        newest.is_some_and(|checkpoint| {
            let value = &mut checkpoint.state.params[0];
            *value = f32::from_bits(value.to_bits().wrapping_add(2));
            true
        })
    }

    /// Every line up to this step is on storage: a checkpoint of it may get its name.
    pub(crate) fn is_written(&self, step: Step) -> bool {
        let commits = |line: &Line| matches!(line, Line::Commit(c) if c.step <= step);
        !self.waiting.iter().any(commits)
    }

    /// What a coordinator that starts now knows; it leads under this term.
    pub(crate) fn recall(&mut self, term: Term) -> (Restorable, Remembered) {
        self.waiting.clear();
        self.refuses = false;
        // A checkpoint whose state the ledger does not know is not trusted.
        let all = self.checkpoints.iter();
        let all = all.map(|(step, checkpoint)| (stored(*step, checkpoint), checkpoint));
        let mut known: Vec<_> = all.filter(|(s, _)| self.ledger.vouches_for(s)).collect();
        // The run begins with the newest one that holds what its manifest says.
        while known.pop_if(|(_, newest)| !newest.is_sound()).is_some() {}
        let stored: Vec<StoredCheckpoint> = known.into_iter().map(|(stored, _)| stored).collect();
        let from = match stored.last() {
            Some(newest) => Restorable {
                step: newest.step,
                source: SyncSource::Checkpoint(newest.folder.clone()),
                state_digest: Some(newest.state_digest.clone()),
            },
            None => Restorable {
                step: Step(0),
                source: SyncSource::Initial,
                state_digest: None,
            },
        };
        let remembered = self.ledger.recall(from.step, stored);
        self.append(Line::Leads(term));
        (from, remembered)
    }
}

/// The folder's name is the step.
pub(crate) fn stored(step: Step, checkpoint: &Checkpoint) -> StoredCheckpoint {
    StoredCheckpoint {
        step,
        folder: step.to_string(),
        state_digest: checkpoint.state_digest.clone(),
    }
}
