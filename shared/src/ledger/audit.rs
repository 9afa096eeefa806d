//! The proof that a run used every sample as planned, from the lines of its ledger.
//!
//! In: the plan, computed anew from configuration and data, and every record in order. Out: a
//! [`Report`], or the first record that breaks a promise.
//! Keeps: gaps, repeated steps and replays are the business of the `rules`, which every record
//! passed before it comes here; here each credit is held against the plan, and the samples of each
//! epoch are counted. What a fork made void is counted apart. Errors have no place: the caller knows file and line.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::book::Book;
use super::epoch::EpochUse;
use super::record::{Commit, Record, Run};
use super::report::Report;
use crate::error::{Code, Error, Result};
use crate::hex::hex;
use crate::ids::{MicroBatchId, Step, Term, WorkerId};
use crate::plan::{Plan, StepPlan};

/// What is counted while the records go by.
#[derive(Debug)]
pub struct Auditor {
    plan: Plan,
    epoch: EpochUse,
    column: Sha256,
    begins_after: Step,
    highest: Step,
    samples: u64,
    micro_batches: BTreeMap<WorkerId, u64>,
    /// Micro-batches of steps that a fork made void.
    void: u64,
    terms: u64,
    newest_term: Term,
}

impl Auditor {
    /// Begins with the ledger's first record and the plan of the same run.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`] when the plan is not that of the run.
    pub fn new(run: &Run, plan: Plan) -> Result<Self> {
        if run.total_steps != plan.total_steps() {
            return Err(contradiction("the run is not the one that is planned")
                .why(format!("the ledger says {} steps", run.total_steps))
                .why(format!(
                    "configuration and data give {}",
                    plan.total_steps()
                )));
        }
        Ok(Self {
            epoch: taken_over(&plan, run.begins_after)?,
            column: Sha256::new(),
            begins_after: run.begins_after,
            highest: run.begins_after,
            samples: 0,
            micro_batches: BTreeMap::new(),
            void: 0,
            terms: 0,
            newest_term: Term(0),
            plan,
        })
    }

    /// The next record, which passed the rules.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`] naming step, micro-batch or row.
    pub fn see(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Term(leader) => {
                self.terms += 1;
                self.newest_term = leader.term;
            }
            Record::Commit(commit) => {
                let planned = self.plan.step(commit.step);
                credited_once(commit, &planned)?;
                if commit.step > self.highest {
                    self.count(commit)?;
                }
                as_planned(commit, &planned, self.plan.epoch_of(commit.step))?;
            }
            Record::Rewind(rewind) if !rewind.forked.is_empty() => self.fork(rewind.step)?,
            Record::Run(_)
            | Record::Members(_)
            | Record::Evaluation(_)
            | Record::Rewind(_)
            | Record::Checkpoint(_)
            | Record::Evicted(_)
            | Record::Complete(_) => {}
        }
        Ok(())
    }

    /// A step that is committed for the first time; a replay was held against it by the rules.
    fn count(&mut self, commit: &Commit) -> Result<()> {
        let credits = &commit.micro_batches;
        for credit in credits {
            *self.micro_batches.entry(credit.worker.clone()).or_insert(0) += 1;
        }
        let rows = credits.iter().flat_map(|c| c.samples.iter().copied());
        self.use_rows(commit.step, &rows.collect::<Vec<_>>())
    }

    fn use_rows(&mut self, step: Step, rows: &[u32]) -> Result<()> {
        self.highest = step;
        self.epoch.take(step, rows.iter().copied())?;
        if step.0.is_multiple_of(self.plan.steps_per_epoch()) {
            self.epoch.end(step)?;
        }
        self.samples += rows.len() as u64;
        let rows: Vec<String> = rows.iter().map(u32::to_string).collect();
        self.column
            .update(format!("{step}: {}\n", rows.join(",")).as_bytes());
        Ok(())
    }

    /// What was committed after this step is void and comes again. Up to it every commit used the rows
    /// that are planned, so the plan tells again what they were.
    fn fork(&mut self, step: Step) -> Result<()> {
        for void in (step.0 + 1..=self.highest.0).map(Step) {
            self.void += self.plan.step(void).micro_batches.len() as u64;
        }
        self.epoch = taken_over(&self.plan, self.begins_after)?;
        self.column = Sha256::new();
        self.samples = 0;
        self.highest = self.begins_after;
        for step in (self.begins_after.0 + 1..=step.0).map(Step) {
            let rows: Vec<u32> = planned_rows(&self.plan.step(step)).collect();
            self.use_rows(step, &rows)?;
        }
        Ok(())
    }

    /// All records of `book` went by.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`] when they did not.
    pub fn finish(self, book: &Book) -> Result<Report> {
        let Some(state) = book.state().filter(|state| state.highest() == self.highest) else {
            return Err(contradiction("the ledger was not seen to its end"));
        };
        Ok(Report {
            run_id: state.run.run_id.clone(),
            version: state.run.version.clone(),
            lines: book.lines(),
            head: book.head().to_owned(),
            total_steps: state.run.total_steps,
            begins_after: state.run.begins_after,
            parent: state.run.parent.clone(),
            steps: self.highest,
            goes_on_after: state.committed,
            samples: self.samples,
            lost: 0,
            repeated: 0,
            rows: self.plan.samples() as u64,
            epochs_finished: self.epoch.finished(),
            begun_epoch: self.epoch.begun() as u64,
            micro_batches: self.micro_batches,
            void: self.void,
            skipped: state.skipped.len() as u64,
            terms: self.terms,
            newest_term: self.newest_term,
            rewinds: state.rewinds,
            forks: state.forks,
            replayed: state.replayed,
            evictions: state.evictions,
            checkpoints: Vec::new(),
            not_recomputed: Vec::new(),
            set_aside: state.set_aside.values().cloned().collect(),
            damaged: Vec::new(),
            proved: true,
            adapter_differs: false,
            adapter_sha256: state.complete.as_ref().map(|c| c.adapter_sha256.clone()),
            sample_column: hex(&self.column.finalize()),
        })
    }
}

/// The epoch in work where a run begins: what it took over from elsewhere is used already, as planned.
fn taken_over(plan: &Plan, begins_after: Step) -> Result<EpochUse> {
    let mut epoch = EpochUse::new(plan.samples());
    let first = begins_after.0 / plan.steps_per_epoch().max(1) * plan.steps_per_epoch();
    for step in (first + 1..=begins_after.0).map(Step) {
        epoch.take(step, planned_rows(&plan.step(step)))?;
    }
    Ok(epoch)
}

fn planned_rows(planned: &StepPlan) -> impl Iterator<Item = u32> + '_ {
    let micro_batches = planned.micro_batches.iter();
    micro_batches.flat_map(|micro_batch| micro_batch.samples.iter().copied())
}

/// Every planned micro-batch has one credit, in order.
fn credited_once(commit: &Commit, planned: &StepPlan) -> Result<()> {
    let step = commit.step;
    let mut expected = (0u32..).map(MicroBatchId);
    for credit in &commit.micro_batches {
        let (found, next) = (credit.micro_batch, expected.next().unwrap_or_default());
        if found < next {
            return Err(contradiction(&format!(
                "micro-batch {found} of step {step} is credited twice"
            )));
        }
        if found > next {
            return Err(contradiction(&format!(
                "micro-batch {next} of step {step} is never credited"
            )));
        }
    }
    let (found, wanted) = (commit.micro_batches.len(), planned.micro_batches.len());
    if found < wanted {
        return Err(contradiction(&format!(
            "micro-batch {found} of step {step} is never credited"
        ))
        .why(format!("{wanted} are planned")));
    }
    if found > wanted {
        return Err(contradiction(&format!(
            "micro-batch {wanted} of step {step} is credited, but not planned"
        ))
        .why(format!("{wanted} are planned")));
    }
    Ok(())
}

/// Every credit is for exactly the planned rows, and the step's numbers are the planned ones.
fn as_planned(commit: &Commit, planned: &StepPlan, epoch: u64) -> Result<()> {
    let step = commit.step;
    for (credit, wanted) in commit.micro_batches.iter().zip(&planned.micro_batches) {
        if credit.samples != wanted.samples {
            return Err(contradiction(&format!(
                "micro-batch {} of step {step} used other rows than planned",
                credit.micro_batch
            ))
            .why(format!("credited: {:?}", credit.samples))
            .why(format!("planned: {:?}", wanted.samples)));
        }
    }
    if commit.loss_units != planned.loss_units {
        return Err(
            contradiction(&format!("step {step} counts other target tokens")).why(format!(
                "it says {}, planned are {}",
                commit.loss_units, planned.loss_units
            )),
        );
    }
    if commit.epoch != epoch {
        return Err(contradiction(&format!("step {step} is in another epoch"))
            .why(format!("it says {}, planned is {epoch}", commit.epoch)));
    }
    Ok(())
}

fn contradiction(what: &str) -> Error {
    Error::new(Code::LedgerContradiction, what)
}
