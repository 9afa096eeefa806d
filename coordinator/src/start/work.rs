//! All that a run will compute: its steps, and its evaluations.
//!
//! In: configuration, base model, prepared datasets. Out: a [`Work`], the same on every machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::Result;
use shared::evaluation::{EvaluationPlan, EvaluationSet, Prompts};
use shared::objective::{NextToken, Objective};
use shared::plan::Plan;

use super::run_data::Datasets;
use super::{bounds, evaluation_sets};

/// Steps and evaluations of a run.
pub(super) struct Work {
    /// The prepared dataset; the file's name is its digest.
    pub(super) dataset: PathBuf,
    pub(super) plan: Arc<Plan>,
    pub(super) evaluation_sets: Vec<EvaluationSet>,
    pub(super) evaluation: EvaluationPlan,
}

impl Work {
    /// Plans the run over its datasets. `parent_rows` are a sample of what its parent was trained on.
    ///
    /// # Errors
    /// [`Code::OutOfRange`](shared::error::Code::OutOfRange) for more micro-batches than can be led, and
    /// what is wrong with a dataset.
    pub(super) fn plan(
        config: &RunConfig,
        prompts: &Prompts,
        datasets: Datasets,
        parent_rows: Option<&Path>,
    ) -> Result<Self> {
        let samples = PreparedDataset::open(&datasets.train)?;
        let plan = Plan::new(config, NextToken.units_of(&samples), samples.lengths());
        let trained = (datasets.train.as_path(), &samples);
        let validation = datasets.validation.as_deref();
        let sets = evaluation_sets::sets(trained, validation, parent_rows)?;
        let evaluation = evaluation_sets::plan(config, &plan, &sets, prompts)?;
        bounds::micro_batches("an evaluation", evaluation.count() as u64)?;
        Ok(Self {
            dataset: datasets.train,
            plan: Arc::new(plan),
            evaluation_sets: sets,
            evaluation,
        })
    }
}
