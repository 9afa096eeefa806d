//! What must hold in every run, one property a file.
//!
//! `bytes` the same states whatever happens · `ledger` gapless, every micro-batch once ·
//! `evaluations` each one due, once, with the same numbers · `culprits` only who is faulty is called faulty · `endings` nobody ends by an internal error ·
//! that a run completes after the faults, `world` sees itself.

mod bytes;
mod culprits;
mod endings;
mod evaluations;
mod ledger;

use std::collections::BTreeSet;

use coordinator::engine::{Committed, Evaluated, Notice, Remembered};
use shared::ids::{Step, WorkerId};
use shared::wire::message::{Envelope, ToWorker};
use worker::session::Ending;

use super::evaluation::Reference;
use super::store::Store;

/// A property that did not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) property: &'static str,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(property: &'static str, what: impl Into<String>) -> Self {
        Self {
            property,
            what: what.into(),
        }
    }
}

/// Watches a run.
pub(crate) struct Judge {
    reference: Reference,
    micro_batches: u32,
    committed: Step,
    /// Steps whose evaluations are on storage or on their way to it.
    evaluations: BTreeSet<Step>,
    /// The newest one that counts.
    evaluated: Option<Step>,
    planted: BTreeSet<String>,
    /// Something struck that can make a reduce fail.
    spoiled: bool,
    pub(crate) corrupt: u64,
    pub(crate) recomputed: u64,
}

impl Judge {
    pub(crate) fn new(reference: Reference, micro_batches: u32) -> Self {
        Self {
            reference,
            micro_batches,
            committed: Step(0),
            evaluations: BTreeSet::new(),
            evaluated: None,
            planted: BTreeSet::new(),
            spoiled: false,
            corrupt: 0,
            recomputed: 0,
        }
    }

    pub(crate) fn planted(&mut self, machine: usize) {
        self.planted.insert(machine.to_string());
        self.spoiled = true;
    }

    /// A step was committed.
    pub(crate) fn has_begun(&self) -> bool {
        self.committed > Step(0)
    }

    /// Something was damaged on purpose.
    pub(crate) fn is_planted(&self) -> bool {
        !self.planted.is_empty()
    }

    pub(crate) fn spoiled(&mut self) {
        self.spoiled = true;
    }

    pub(crate) fn rewound(&mut self, step: Step) {
        self.committed = step;
        self.evaluated = self.evaluations.range(..=step).next_back().copied();
    }

    /// A coordinator came back with what was on storage.
    pub(crate) fn recalled(&mut self, remembered: &Remembered) {
        self.committed = remembered.committed;
        self.evaluations = remembered.evaluations.keys().copied().collect();
        self.evaluated = remembered.evaluated;
    }

    pub(crate) fn evaluated(&mut self, evaluated: &Evaluated) -> Result<(), Violation> {
        let (committed, before) = (self.committed, self.evaluated);
        evaluations::evaluation(&self.reference, committed, before, evaluated)?;
        self.evaluations.insert(evaluated.step);
        self.evaluated = Some(evaluated.step);
        Ok(())
    }

    pub(crate) fn committed(&mut self, commit: &Committed) -> Result<(), Violation> {
        bytes::step(&self.reference.digests, commit)?;
        evaluations::none_missing(&self.reference, commit.step, self.evaluated)?;
        ledger::step(self.committed, self.micro_batches, commit)?;
        self.committed = commit.step;
        self.recomputed += u64::from(commit.recomputed);
        Ok(())
    }

    pub(crate) fn notice(&mut self, notice: &Notice) -> Result<(), Violation> {
        self.corrupt += u64::from(matches!(notice, Notice::Corrupt { .. }));
        culprits::notice(self.is_planted(), notice)
    }

    pub(crate) fn sent(
        &mut self,
        to: &WorkerId,
        message: &Envelope<ToWorker>,
    ) -> Result<(), Violation> {
        culprits::refused(self.is_planted(), self.spoiled, to, message)
    }

    pub(crate) fn ended(&mut self, machine: usize, ending: &Ending) -> Result<(), Violation> {
        endings::ended(machine, ending)
    }

    pub(crate) fn end(&self, store: &Store, steps: u64) -> Result<(), Violation> {
        evaluations::none_missing(&self.reference, Step(steps).next(), self.evaluated)?;
        ledger::whole(store, steps, self.micro_batches)
    }
}
