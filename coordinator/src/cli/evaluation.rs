//! What a run evaluates: the validation data, and a sample of the rows it trains on.

use std::path::Path;

use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::Result;
use shared::evaluation::{EvaluationPlan, EvaluationSet, TRAIN_SAMPLE, VALIDATION};
use shared::plan::Plan;

pub(super) use crate::data::validation_config;

/// Rows of the training data that are evaluated beside the validation data, at most.
const SAMPLE: usize = 64;

/// The sets of a run: the validation data first, for it decides.
pub(super) fn sets(
    training: (&Path, &PreparedDataset),
    validation: Option<&Path>,
) -> Result<Vec<EvaluationSet>> {
    let Some(path) = validation else {
        return Ok(Vec::new());
    };
    let validation = PreparedDataset::open(path)?;
    let (trained, rows) = (training.1, training.1.len());
    let sample = rows.min(SAMPLE);
    // Spread over the whole data, the same whatever the seed.
    let spread = (0..sample).map(|at| u32::try_from(at * rows / sample).unwrap_or(u32::MAX));
    Ok(vec![
        EvaluationSet {
            name: VALIDATION.into(),
            dataset_path: path.display().to_string(),
            dataset_digest: validation.digest(),
            rows: Vec::new(),
        },
        EvaluationSet {
            name: TRAIN_SAMPLE.into(),
            dataset_path: training.0.display().to_string(),
            dataset_digest: trained.digest(),
            rows: spread.collect(),
        },
    ])
}

/// Every evaluation of these sets.
pub(super) fn plan(
    config: &RunConfig,
    plan: &Plan,
    sets: &[EvaluationSet],
) -> Result<EvaluationPlan> {
    let rows = |set: &EvaluationSet| {
        let dataset = PreparedDataset::open(Path::new(&set.dataset_path))?;
        set.rows_of(&dataset)
    };
    let rows: Vec<_> = sets.iter().map(rows).collect::<Result<_>>()?;
    Ok(EvaluationPlan::new(
        config,
        plan.steps_per_epoch(),
        plan.total_steps(),
        &rows,
    ))
}
