//! The shipped ledger under the simulated coordinator: its lines, its rules, and what a start recalls of it.
//!
//! In: what the engine orders to be written. Out: the state and the replay that a start begins with.
//! Keeps: what a line contradicts is found by the shipped rules, when it is written.

use coordinator::engine::{Committed, Evaluated, MemberSet, Remembered, Rewind, StoredCheckpoint};
use coordinator::store::{MemoryStore, Replay, Store};
use shared::error::Result;
use shared::ids::{Step, Term};
use shared::ledger::{
    self, Credit, EvaluatedSet, EvaluationCredit, FORMAT, Leader, Record, Run, State,
};

/// What is written down.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Leads(Term),
    Commit(Box<Committed>),
    Evaluated(Box<Evaluated>),
    Members(MemberSet),
    Rewind(Rewind),
    Checkpoint(StoredCheckpoint),
    Complete(Step),
}

/// The ledger of a run.
#[derive(Default)]
pub(crate) struct Ledger {
    store: MemoryStore,
}

impl Ledger {
    /// Begins that of a run of so many steps.
    pub(crate) fn begin(total_steps: u64) -> Self {
        let mut ledger = Self::default();
        let run = Run {
            format: FORMAT,
            total_steps,
            ..Run::default()
        };
        ledger.store.append(&Record::Run(run)).unwrap();
        ledger
    }

    /// Writes a line, unless it contradicts those before.
    pub(crate) fn write(&mut self, line: &Line) -> Result<()> {
        self.store.append(&record(line))
    }

    fn state(&self) -> &State {
        self.store.state().unwrap()
    }

    /// Whether this is the state that was committed with a step.
    pub(crate) fn vouches_for(&self, stored: &StoredCheckpoint) -> bool {
        self.state().agrees(stored.step, &stored.state_digest) == Some(true)
    }

    /// The incarnations of the newest member set.
    pub(crate) fn awaited(&self) -> Vec<String> {
        let members = self.state().members.as_ref();
        members.map(|m| m.incarnations.clone()).unwrap_or_default()
    }

    /// What a coordinator remembers that goes on from a step, as `start/recall` tells it.
    pub(crate) fn recall(&self, from: Step, stored: Vec<StoredCheckpoint>) -> Remembered {
        let mut replay = Replay::after(from);
        for record in self.store.records() {
            replay.follow(record);
        }
        let state = self.state();
        let members = state.members.as_ref();
        Remembered {
            begins_after: state.run.begins_after,
            committed: state.committed,
            digests: replay.digests().clone(),
            generation: members.map(|m| m.generation).unwrap_or_default(),
            awaited: self.awaited().into_iter().collect(),
            stored,
            parts: replay.parts().clone(),
            evaluations: state.evaluations.clone(),
            evaluated: state.evaluated,
            skipped: state.skipped.clone(),
        }
    }
}

fn record(line: &Line) -> Record {
    match line {
        Line::Leads(term) => Record::Term(Leader {
            term: *term,
            ..Leader::default()
        }),
        Line::Commit(committed) => commit(committed),
        Line::Evaluated(evaluated) => evaluation(evaluated),
        Line::Members(set) => Record::Members(ledger::Members {
            generation: set.generation,
            workers: set.workers.clone(),
            incarnations: set.incarnations.clone(),
            device_classes: set.device_classes.iter().cloned().collect(),
        }),
        Line::Rewind(rewind) => Record::Rewind(ledger::Rewind {
            step: rewind.step,
            forked: rewind.forked.iter().cloned().collect(),
            state_digest: rewind.state_digest.clone(),
            ..ledger::Rewind::default()
        }),
        Line::Checkpoint(stored) => Record::Checkpoint(ledger::Checkpoint {
            step: stored.step,
            folder: stored.folder.clone(),
            state_digest: stored.state_digest.clone(),
            ..ledger::Checkpoint::default()
        }),
        Line::Complete(step) => Record::Complete(ledger::Complete {
            step: *step,
            ..ledger::Complete::default()
        }),
    }
}

fn commit(committed: &Committed) -> Record {
    let credits = committed.credits.iter().map(|(id, credited)| Credit {
        micro_batch: *id,
        worker: credited.worker.clone(),
        fingerprint: credited.fingerprint,
        samples: vec![id.0],
    });
    Record::Commit(ledger::Commit {
        step: committed.step,
        term: committed.term,
        generation: committed.generation,
        micro_batches: credits.collect(),
        loss: committed.loss,
        grad_norm_bits: committed.grad_norm.to_bits(),
        skipped: committed.skipped,
        loss_scale: committed.loss_scale,
        state_digest: committed.state_digest.clone(),
        ..ledger::Commit::default()
    })
}

fn evaluation(evaluated: &Evaluated) -> Record {
    let credits = evaluated.credits.iter();
    let credits = credits.map(|(id, credited)| EvaluationCredit {
        micro_batch: *id,
        worker: credited.worker.clone(),
        fingerprint: credited.fingerprint,
    });
    let sets = evaluated.sums.iter();
    Record::Evaluation(ledger::Evaluation {
        step: evaluated.step,
        term: evaluated.term,
        generation: evaluated.generation,
        micro_batches: credits.collect(),
        sets: sets
            .map(|sums| EvaluatedSet::new("validation", sums))
            .collect(),
        best: evaluated.standing.best.map(|(step, _)| step),
        without_improvement: evaluated.standing.without_improvement,
        stops: evaluated.standing.stops,
    })
}
