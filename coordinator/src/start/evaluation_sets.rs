//! What a run evaluates: the validation data, and a sample of the rows it trains on and of those its
//! parent was trained on.

use std::path::Path;

use shared::config::RunConfig;
use shared::dataset::PreparedDataset;
use shared::error::Result;
use shared::evaluation::{
    EvaluationPlan, EvaluationSet, PARENT, Prompts, TRAIN_SAMPLE, VALIDATION,
};
use shared::plan::Plan;

/// Rows of the training data that are evaluated beside the validation data, at most; as many of the
/// parent's.
pub(super) const SAMPLE: usize = 64;

/// At most `wanted` of so many rows, spread over all of them, the same whatever the seed.
pub(super) fn spread(rows: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let sample = rows.min(wanted);
    (0..sample).map(move |at| at * rows / sample)
}

/// The sets of a run: the validation data first, for it decides. `old` are rows of the parent's.
pub(super) fn sets(
    training: (&Path, &PreparedDataset),
    validation: Option<&Path>,
    old: Option<&Path>,
) -> Result<Vec<EvaluationSet>> {
    let Some(path) = validation else {
        return Ok(Vec::new());
    };
    let trained = training.1;
    let sample = spread(trained.len(), SAMPLE).map(|at| u32::try_from(at).unwrap_or(u32::MAX));
    let mut sets = vec![
        EvaluationSet {
            name: VALIDATION.into(),
            dataset_path: path.display().to_string(),
            rows: Vec::new(),
        },
        EvaluationSet {
            name: TRAIN_SAMPLE.into(),
            dataset_path: training.0.display().to_string(),
            rows: sample.collect(),
        },
    ];
    if let Some(path) = old {
        sets.push(EvaluationSet {
            name: PARENT.into(),
            dataset_path: path.display().to_string(),
            rows: Vec::new(),
        });
    }
    Ok(sets)
}

/// Every evaluation of these sets and prompts.
pub(super) fn plan(
    config: &RunConfig,
    plan: &Plan,
    sets: &[EvaluationSet],
    prompts: &Prompts,
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
        prompts,
    ))
}
