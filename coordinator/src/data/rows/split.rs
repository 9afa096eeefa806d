//! `validation_split`: which rows are kept out of the training.
//!
//! In: all rows, a share, the seed. Out: the rows that are trained on and those that are evaluated,
//! each in their order. Keeps: equal rows and those of one sample stay on one side, or the validation would praise what was
//! learned by heart; the same rows and seed give the same split, whatever order they are in.

use std::path::Path;

use shared::dataset::{DatasetWriter, RowOrigin};
use shared::error::{Code, Error, Result};

use crate::data::report::DataReport;

use crate::data::config::DataConfig;

/// The rows to train on, those that are evaluated when there is a share, and a word about it. Many
/// rows are put into files of the folder in `durable`.
///
/// # Errors
/// [`Code::EmptyData`] when nothing would be left to train on, [`Code::Io`].
pub(crate) fn keep_out(
    config: &DataConfig,
    rows: DatasetWriter,
    report: &mut DataReport,
    durable: Option<(&Path, &str)>,
) -> Result<(DatasetWriter, Option<DatasetWriter>)> {
    let share = config.validation_split;
    if share <= 0.0 {
        return Ok((rows, None));
    }
    let (training, validation) = split(config, &rows, durable)?;
    report.notices.push(format!(
        "validation_split {share}: {} rows are kept out and evaluated, {} are trained on",
        validation.rows(),
        training.rows()
    ));
    Ok((training, Some(validation)))
}

fn split(
    config: &DataConfig,
    rows: &DatasetWriter,
    durable: Option<(&Path, &str)>,
) -> Result<(DatasetWriter, DatasetWriter)> {
    let share = config.validation_split;
    let total = rows.rows();
    let mut keyed: Vec<(Key, u32)> = Vec::with_capacity(total);
    // A sample of several rows goes with its first: each of them begins with that one's question.
    let mut first: Option<(RowOrigin, Vec<u32>, Key)> = None;
    for row in 0..total {
        let (ids, targets, origin) = rows.row(row)?;
        let number = u32::try_from(row).unwrap_or(u32::MAX);
        let known = first
            .take()
            .filter(|(place, question, _)| *place == origin && ids.starts_with(question));
        let question = targets.iter().take_while(|target| **target == 0).count();
        let first = first.insert(known.unwrap_or_else(|| {
            let key = key(config.seed, &ids, &targets);
            (origin, ids[..question].to_vec(), key)
        }));
        keyed.push((first.2, number));
    }
    keyed.sort_unstable();
    let groups = || keyed.chunk_by(|a, b| a.0 == b.0);
    let wanted = ((total as f64 * share).round() as usize).max(1);
    let mut kept_out = vec![false; total];
    let mut count = 0;
    for group in groups() {
        if count >= wanted {
            break;
        }
        count += group.len();
        for (_, row) in group {
            kept_out[*row as usize] = true;
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
            groups().count()
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
    let part = |out: bool, name: &str| {
        let key = durable.map(|(folder, all)| (folder, format!("{all}-{name}")));
        let durable = key.as_ref().map(|(folder, key)| (*folder, key.as_str()));
        rows.reordered(&side(out), durable)
    };
    Ok((part(false, "training")?, part(true, "validation")?))
}

/// Half a digest: equal rows have equal ones, and no two others will.
type Key = [u8; 16];

fn key(seed: u64, ids: &[u32], targets: &[u8]) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"validation-split-1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(ids.len() as u64).to_le_bytes());
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
    hasher.update(targets);
    let digest = hasher.finalize();
    digest.as_bytes().first_chunk().copied().unwrap_or_default()
}
