//! Why a run cannot start with this data: nothing there, too long, nothing to learn.
//!
//! Keeps: each lists the first rows with file and line, and the setting that would let them in.

use shared::config::RunConfig;
use shared::error::{Code, Error};

use super::report::{DataReport, Row};
use super::{LISTED, files, listed};

pub(crate) fn empty(config: &RunConfig, skipped: &[String]) -> Error {
    let place = config
        .metadata_path
        .as_ref()
        .unwrap_or(&config.train_data_dir);
    let mut error = Error::new(Code::EmptyData, "there is no sample in the training data")
        .in_file(place)
        .why(format!(
            "looked for files ending in .{}",
            files::KNOWN.join(", .")
        ));
    if !skipped.is_empty() {
        error = error.why(format!("not read: {}", listed(skipped)));
    }
    error.fix("put dialogues, JSONL, CSV or Parquet there, or --set train_data_dir=FOLDER")
}

pub(crate) fn too_long(config: &RunConfig, report: &DataReport) -> Error {
    let rows = &report.long_rows;
    let longest = rows.iter().map(|r| r.row.tokens).max().unwrap_or(0);
    Error::new(
        Code::TooLong,
        format!(
            "{} rows are longer than max_seq_length={}",
            rows.len(),
            report.max_seq_length
        ),
    )
    .in_file(&config.train_data_dir)
    .why(listed(rows))
    .fix(format!(
        "--set max_seq_length={longest} keeps all of them whole"
    ))
    .fix("or --set overflow=truncate, or --set overflow=drop")
}

pub(crate) fn nothing_to_learn(config: &RunConfig, rows: &[Row]) -> Error {
    let limit = u64::from(config.max_seq_length);
    let (cut, other): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|r| r.tokens > limit);
    let mut error = Error::new(
        Code::NothingToLearn,
        match rows.len() {
            1 => "a row has no token to learn from".to_owned(),
            many => format!("{many} rows have no token to learn from"),
        },
    )
    .in_file(&config.train_data_dir);
    for row in rows.iter().take(LISTED) {
        error = error.why(format!(
            "{}:{} has {} tokens",
            row.file, row.line, row.tokens
        ));
    }
    if rows.len() > LISTED {
        error = error.why(format!("and {} more", rows.len() - LISTED));
    }
    if let Some(longest) = cut.iter().map(|r| r.tokens).max() {
        error = error
            .why(format!(
                "the first max_seq_length={limit} tokens are all question"
            ))
            .fix(format!(
                "--set max_seq_length={longest} keeps these rows whole"
            ))
            .fix("or --set overflow=drop leaves out all rows that are too long");
    }
    if !other.is_empty() {
        error = error.fix("give each sample an answer, or --set train_on_inputs=true");
    }
    error
}
