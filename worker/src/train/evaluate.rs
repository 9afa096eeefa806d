//! One micro-batch of an evaluation: losses of the committed state, without a gradient, or its answer
//! to a prompt.
//!
//! In: which micro-batch, the evaluation's datasets and plan. Out: the integers of that micro-batch.
//! Keeps: no dropout, nothing of a torch reduction: every number is summed up as an integer here.

use std::path::Path;
use std::sync::Arc;

use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::{Code, Error, Result};
use shared::evaluation::{EvaluationPlan, EvaluationSet, Prompts, SetSums, WIDTH};
use shared::ids::{MicroBatchId, Step};
use shared::plan::Plan;

use super::collate::collate;
use super::forward_backward::Trainer;

/// What is evaluated, ready to be computed.
#[derive(Debug)]
pub struct Evaluation {
    sets: Vec<Arc<PreparedDataset>>,
    prompts: Prompts,
    plan: Arc<EvaluationPlan>,
}

impl Evaluation {
    /// Opens the datasets of the sets; that of the training is not opened twice.
    ///
    /// # Errors
    /// As [`PreparedDataset::open`]; [`Code::Internal`] for a row that is not there.
    pub fn open(
        config: &RunConfig,
        plan: &Plan,
        named: &[EvaluationSet],
        prompts: &Prompts,
        training: (&str, &Arc<PreparedDataset>),
    ) -> Result<Self> {
        let mut sets = Vec::with_capacity(named.len());
        let mut rows = Vec::with_capacity(named.len());
        for set in named {
            let dataset = if set.dataset_path == training.0 {
                Arc::clone(training.1)
            } else {
                Arc::new(PreparedDataset::open(Path::new(&set.dataset_path))?)
            };
            rows.push(set.rows_of(&dataset)?);
            sets.push(dataset);
        }
        let (per_epoch, total) = (plan.steps_per_epoch(), plan.total_steps());
        let plan = EvaluationPlan::new(config, per_epoch, total, &rows, prompts);
        Ok(Self {
            sets,
            prompts: prompts.clone(),
            plan: Arc::new(plan),
        })
    }

    /// All evaluations of the run.
    #[must_use]
    pub fn plan(&self) -> &Arc<EvaluationPlan> {
        &self.plan
    }

    /// The integers of one micro-batch.
    ///
    /// # Errors
    /// [`Code::Internal`] when there is no such micro-batch, [`Code::OutOfMemory`], libtorch's.
    pub fn compute(&self, trainer: &Trainer, step: Step, id: MicroBatchId) -> Result<Vec<i64>> {
        let unknown = || {
            let what = format!("the evaluation before step {step} has no micro-batch {id}");
            Error::new(Code::Internal, what)
        };
        let index = usize::try_from(id.0).map_err(|_| unknown())?;
        let mut integers = vec![0; self.plan.width()];
        if let Some(count) = integers.last_mut() {
            *count = 1;
        }
        let of_sets = self.plan.micro_batches().len();
        if let Some(prompt) = index.checked_sub(of_sets) {
            let ids = self.prompts.ids.get(prompt).ok_or_else(unknown)?;
            let longest = usize::try_from(self.prompts.max_new_tokens).unwrap_or(usize::MAX);
            let answer = trainer.answer(ids, longest, &self.prompts.stop)?;
            let slots = integers.get_mut(self.plan.slots()).ok_or_else(unknown)?;
            self.prompts.write(prompt, &answer, slots);
            return Ok(integers);
        }
        let planned = self.plan.micro_batches().get(index).ok_or_else(unknown)?;
        let dataset = self.sets.get(planned.set).ok_or_else(unknown)?;
        let samples = planned.rows.samples.iter().map(|row| {
            let row = usize::try_from(*row).ok();
            row.and_then(|row| dataset.sample(row)).ok_or_else(unknown)
        });
        let samples: Vec<_> = samples.collect::<Result<_>>()?;
        let batch = collate(&samples, &planned.rows, step.0, 1)?;
        let (losses, correct) = trainer.evaluate(&batch)?;
        let mut sums = SetSums::default();
        let mut first: usize = 0;
        for sample in &samples {
            let targets = usize::try_from(trainer.objective().units(sample)).unwrap_or(usize::MAX);
            let all = first..first.saturating_add(targets);
            let (of, hits) = (losses.get(all.clone()), correct.get(all.clone()));
            let (of, hits) = of.zip(hits).ok_or_else(unknown)?;
            sums.add(of, hits);
            first = all.end;
        }
        let parts = self.plan.micro_batches().iter();
        let sums = sums.bounded(parts.filter(|part| part.set == planned.set).count());
        let from = planned.set * WIDTH;
        integers[from..from + WIDTH].copy_from_slice(&sums.to_array());
        Ok(integers)
    }
}
