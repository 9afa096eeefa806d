//! `validation_split`: which rows are kept out of the training.
//!
//! In: all rows, a share, the seed. Out: the rows that are trained on and those that are evaluated,
//! each in their order. Keeps: equal rows stay on one side, or the validation would praise what was
//! learned by heart; the same rows and seed give the same split, whatever order they are in.

use std::collections::BTreeMap;

use shared::config::RunConfig;
use shared::dataset::{DatasetWriter, Sample};
use shared::error::{Code, Error, Result};

use super::report::DataReport;

/// The rows to train on, those that are evaluated when there is a share, and a word about it.
///
/// # Errors
/// [`Code::EmptyData`] when nothing would be left to train on.
pub(crate) fn keep_out(
    config: &RunConfig,
    rows: DatasetWriter,
    report: &mut DataReport,
) -> Result<(DatasetWriter, Option<DatasetWriter>)> {
    let share = config.evaluation.split;
    if share <= 0.0 {
        return Ok((rows, None));
    }
    let (training, validation) = split(config, &rows)?;
    report.notices.push(format!(
        "validation_split {share}: {} rows are kept out and evaluated, {} are trained on",
        validation.rows(),
        training.rows()
    ));
    Ok((training, Some(validation)))
}

fn split(config: &RunConfig, rows: &DatasetWriter) -> Result<(DatasetWriter, DatasetWriter)> {
    let share = config.evaluation.split;
    let total = rows.rows();
    let mut groups: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for row in 0..total {
        let Some(Sample { ids, targets }) = rows.sample(row) else {
            continue;
        };
        let group = groups.entry(key(config.seed, ids, targets)).or_default();
        group.push(row);
    }
    let wanted = ((total as f64 * share).round() as usize).max(1);
    let mut kept_out = vec![false; total];
    let mut count = 0;
    for group in groups.values() {
        if count >= wanted {
            break;
        }
        count += group.len();
        for row in group {
            kept_out[*row] = true;
        }
    }
    if count >= total {
        return Err(Error::new(
            Code::EmptyData,
            format!("`validation_split: {share}` leaves nothing to train on"),
        )
        .in_file(&config.train_data_dir)
        .why(format!(
            "there are {total} rows, {} of them different",
            groups.len()
        ))
        .fix(
            "--set validation_split=SMALLER, or --set validation_dir=FOLDER with data of its own",
        ));
    }
    let side = |out: bool| -> Vec<u32> {
        let numbered = (0..).zip(&kept_out);
        let chosen = numbered.filter(|(_, is_out)| **is_out == out);
        chosen.map(|(row, _)| row).collect()
    };
    Ok((rows.reordered(&side(false)), rows.reordered(&side(true))))
}

fn key(seed: u64, ids: &[u32], targets: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"validation-split-1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(ids.len() as u64).to_le_bytes());
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
    hasher.update(targets);
    *hasher.finalize().as_bytes()
}
