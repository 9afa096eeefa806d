//! What must hold in every run, one property a file.
//!
//! `bytes` the same states whatever happens, and the same result · `ledger` gapless, every micro-batch once ·
//! `evaluations` each one due, once, with the same numbers · `culprits` only who is faulty is called faulty,
//! only who was struck is missed · `storage` what has a name is what was agreed on · `safety` nothing is given
//! up that somebody still holds · `endings` nobody ends by an internal error ·
//! that a run completes after the faults, `world` sees itself.

mod bytes;
mod culprits;
mod endings;
mod evaluations;
mod ledger;
mod safety;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use coordinator::engine::{Committed, Evaluated, Notice, Remembered, Rewind};
use shared::ids::{Step, WorkerId};
use shared::numerics::AdapterState;
use shared::wire::message::{Envelope, Hello, ToWorker};
use worker::session::Ending;

use super::evaluation::{self, Reference};
use super::plan::{Kind, Setting};
use super::store::{Checkpoint, Store};
pub(crate) use safety::Holder;

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

/// Who may be accused of what.
#[derive(Default)]
struct Suspects {
    /// Which machine a session is of.
    owners: BTreeMap<WorkerId, usize>,
    /// Machines in which something was damaged on purpose, and those that took a damaged state from them.
    planted: BTreeSet<usize>,
    /// Machines that a fault struck which explains that they are missed.
    struck: BTreeSet<usize>,
    /// Any peer may be called the one that did not move: who is behind a cut line sees all others stand still.
    any_peer: bool,
    /// A checkpoint rotted.
    rotted: bool,
}

/// Watches a run.
pub(crate) struct Judge {
    setting: Setting,
    reference: Reference,
    committed: Step,
    /// Digests of committed steps that stand, or may come again.
    digests: BTreeMap<Step, String>,
    /// Steps whose evaluations are on storage or on their way to it.
    evaluations: BTreeSet<Step>,
    /// The newest one that counts.
    evaluated: Option<Step>,
    suspects: Suspects,
    /// The state that a session began with, as it said, since the run stands where it stands.
    told: BTreeMap<WorkerId, (Step, String)>,
    /// The engine has said that nobody has the best state; or it begins, and nobody is awaited.
    may_go_back: bool,
    pub(crate) corrupt: u64,
    pub(crate) recomputed: u64,
    pub(crate) forks: u64,
}

impl Judge {
    pub(crate) fn new(setting: &Setting) -> Self {
        Self {
            setting: setting.clone(),
            reference: evaluation::reference(setting),
            committed: Step(0),
            digests: BTreeMap::new(),
            evaluations: BTreeSet::new(),
            evaluated: None,
            suspects: Suspects::default(),
            told: BTreeMap::new(),
            may_go_back: false,
            corrupt: 0,
            recomputed: 0,
            forks: 0,
        }
    }

    /// A session opened, by a process that calls itself `m` and its number.
    pub(crate) fn opened(&mut self, worker: &WorkerId, hello: &Hello) {
        if let Some(position) = &hello.resume
            && position.step == self.committed
        {
            let told = (position.step, position.state_digest.clone());
            self.told.insert(worker.clone(), told);
        }
        let number = hello.name.strip_prefix('m').and_then(|n| n.parse().ok());
        if let Some(number) = number {
            self.suspects.owners.insert(worker.clone(), number);
        }
    }

    /// The machine that a session is of.
    pub(crate) fn owner(&self, worker: &WorkerId) -> Option<usize> {
        self.suspects.owners.get(worker).copied()
    }

    /// The state that a session began with, as it said; its digest is the agreed one.
    pub(crate) fn told(&self, worker: &WorkerId) -> Option<(Step, &String)> {
        let (step, digest) = self.told.get(worker)?;
        (self.digest(*step) == Some(digest)).then_some((*step, digest))
    }

    /// A fault struck this machine.
    pub(crate) fn struck(&mut self, kind: Kind, machine: usize) {
        if kind.plants() {
            self.planted(machine);
        }
        if kind.explains_absence() {
            self.suspects.struck.insert(machine);
        }
    }

    /// It holds what is damaged.
    pub(crate) fn planted(&mut self, machine: usize) {
        self.suspects.planted.insert(machine);
    }

    /// A checkpoint on storage was damaged.
    pub(crate) fn rotted(&mut self) {
        self.suspects.rotted = true;
    }

    /// From now on a reduce that stands still may be called anybody's.
    pub(crate) fn any_peer(&mut self) {
        self.suspects.any_peer = true;
    }

    /// A step was committed.
    pub(crate) fn has_begun(&self) -> bool {
        self.committed > Step(0)
    }

    /// What the state of a committed step hashes to.
    pub(crate) fn digest(&self, step: Step) -> Option<&String> {
        self.digests.get(&step)
    }

    /// A machine takes a state from a peer: when it is spoiled, so is the machine.
    pub(crate) fn handed_over(&mut self, machine: usize, state: &AdapterState) {
        let digest = self.digest(state.step);
        if digest.is_some_and(|known| *known != shared::numerics::state_digest(state)) {
            self.planted(machine);
        }
    }

    /// The run goes on elsewhere, while these hold a state.
    pub(crate) fn rewound(&mut self, rewind: &Rewind, holders: &[Holder]) -> Result<(), Violation> {
        let lost = std::mem::take(&mut self.may_go_back);
        safety::rewind(self.committed, rewind, lost, holders)?;
        self.told.clear();
        if !rewind.forked.is_empty() {
            bytes::fork(self.setting.mixed, rewind)?;
            self.forks += 1;
            self.digests.retain(|step, _| *step <= rewind.step);
            // An evaluation of the committed state stands when this course has made it.
            let stands = self.evaluated;
            self.evaluations.retain(|step| Some(*step) <= stands);
        }
        self.committed = rewind.step;
        self.evaluated = self.evaluations.range(..=rewind.step).next_back().copied();
        Ok(())
    }

    /// The newest committed step.
    pub(crate) fn committed_step(&self) -> Step {
        self.committed
    }

    /// A worker is let go, while others hold a state.
    pub(crate) fn released(
        &self,
        worker: &WorkerId,
        others: &[Holder],
        store: &Store,
    ) -> Result<(), Violation> {
        safety::release(self.committed, worker, others, store)
    }

    /// A coordinator came back with what was on storage.
    pub(crate) fn recalled(&mut self, remembered: &Remembered, store: &Store) {
        self.committed = remembered.committed;
        self.may_go_back = remembered.awaited.is_empty();
        self.digests = store.digests();
        self.evaluations = remembered.evaluations.keys().copied().collect();
        self.evaluated = remembered.evaluated;
    }

    pub(crate) fn evaluated(&mut self, evaluated: &Evaluated) -> Result<(), Violation> {
        let (committed, before) = (self.committed, self.evaluated);
        evaluations::in_order(committed, before, evaluated.step)?;
        if !self.setting.mixed {
            evaluations::same_numbers(&self.reference, evaluated)?;
        }
        self.evaluations.insert(evaluated.step);
        self.evaluated = Some(evaluated.step);
        Ok(())
    }

    pub(crate) fn committed(&mut self, commit: &Committed) -> Result<(), Violation> {
        if !self.setting.mixed {
            bytes::step(&self.reference.digests, commit)?;
        }
        bytes::replay(&self.digests, commit)?;
        evaluations::none_missing(&self.setting, commit.step, self.evaluated)?;
        let micro_batches = self.setting.micro_batches(commit.step);
        ledger::step(self.committed, micro_batches, commit)?;
        self.committed = commit.step;
        self.told.clear();
        let digest = commit.state_digest.clone();
        self.digests.insert(commit.step, digest);
        self.recomputed += u64::from(commit.recomputed);
        Ok(())
    }

    /// A checkpoint got its name, with the digest that it was ordered with.
    pub(crate) fn published(
        &self,
        step: Step,
        ordered: &String,
        checkpoint: &Checkpoint,
    ) -> Result<(), Violation> {
        // One that was ordered before a fork may come late; it is set aside.
        let agreed = if self.forks > 0 {
            Some(ordered)
        } else {
            self.digest(step)
        };
        storage::published(agreed, step, checkpoint)
    }

    /// A checkpoint may go.
    pub(crate) fn removed(&self, step: Step, store: &Store) -> Result<(), Violation> {
        let best = self.best().filter(|_| self.setting.best_is_the_result());
        storage::removed(best, step, store)
    }

    /// A checkpoint is taken out of the run.
    pub(crate) fn set_aside(&self, step: Step, store: &Store) -> Result<(), Violation> {
        storage::set_aside(step, self.digests.get(&step), store)
    }

    /// The best step of the evaluations that stand.
    pub(crate) fn best(&self) -> Option<Step> {
        let newest = self.evaluated?;
        let known = self.reference.evaluations.range(..=newest);
        let known = known.map(|(step, sums)| (*step, sums.clone())).collect();
        let course = shared::evaluation::Course::new(evaluation::patience(&self.setting), known);
        course.standing(newest).best.map(|(step, _)| step)
    }

    pub(crate) fn notice(&mut self, notice: &Notice) -> Result<(), Violation> {
        self.corrupt += u64::from(matches!(notice, Notice::Corrupt { .. }));
        self.may_go_back |= matches!(notice, Notice::BestLost { .. });
        culprits::notice(&self.suspects, notice)
    }

    pub(crate) fn sent(
        &mut self,
        to: &WorkerId,
        message: &Envelope<ToWorker>,
    ) -> Result<(), Violation> {
        culprits::refused(&self.suspects, to, message)
    }

    pub(crate) fn ended(&mut self, machine: usize, ending: &Ending) -> Result<(), Violation> {
        endings::ended(&self.suspects, machine, ending)
    }

    pub(crate) fn end(&self, store: &Store) -> Result<(), Violation> {
        let last = Step(self.setting.steps);
        evaluations::none_missing(&self.setting, last.next(), self.evaluated)?;
        ledger::whole(store, &self.setting)?;
        let expected = if self.setting.mixed {
            (last, self.digest(last))
        } else {
            let result = self.reference.result;
            (result, self.reference.digests.get(&result))
        };
        storage::result(last, expected, store)
    }
}
