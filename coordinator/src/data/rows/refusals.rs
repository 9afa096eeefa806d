//! Why a run cannot start with this data: nothing there, too long, nothing to learn.
//!
//! Keeps: each lists the first rows with file and line, and the setting that would let them in.

use shared::error::{Code, Error};
use shared::text::ChatTemplate;

use crate::data::files::{self, Beside};
use crate::data::listed::{Places, listed, listed_of};
use crate::data::report::{DataReport, Unlearnable};

use crate::data::config::DataConfig;
use crate::data::file_report::FileReport;

pub(crate) fn empty(config: &DataConfig, beside: &Beside, files: &[FileReport]) -> Error {
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
    if !beside.skipped.is_empty() {
        error = error.why(format!("not read: {}", listed(&beside.skipped)));
    }
    let left_out: u64 = files.iter().map(|file| file.left_out).sum();
    if left_out > 0 {
        let first: Vec<&String> = files.iter().flat_map(|f| &f.first_left_out).collect();
        return error
            .why(format!(
                "{left_out} samples say of themselves that they are not to be learned: {}",
                listed_of(&first, left_out)
            ))
            .fix("give samples that are to be learned, or take the marks out");
    }
    error = beside.notices.iter().fold(error, Error::why);
    error = files::ways_out(&beside.skipped)
        .into_iter()
        .fold(error, Error::fix);
    error.fix(
        "put dialogues, JSONL, CSV, Excel or Parquet files there, or --set train_data_dir=FOLDER",
    )
}

pub(crate) fn too_long(config: &DataConfig, report: &DataReport) -> Error {
    let (rows, _) = report.too_long();
    let longest = report.longest.as_ref().map_or(0, |row| row.tokens);
    Error::new(
        Code::TooLong,
        format!(
            "{rows} rows are longer than max_seq_length={}",
            report.max_seq_length
        ),
    )
    .in_file(&config.train_data_dir)
    .why(listed_of(&report.long_rows, rows))
    .fix(format!(
        "--set max_seq_length={longest} keeps all of them whole"
    ))
    .fix("or --set overflow=truncate, or --set overflow=drop")
}

/// Answers of these samples end without a special token.
pub(crate) fn no_stop_token(template: &ChatTemplate, places: &Places) -> Error {
    let what = match places.count {
        1 => "an answer's end is not learned, so the model would not stop".to_owned(),
        many => {
            format!("in {many} samples an answer's end is not learned, so the model would not stop")
        }
    };
    let mut error = Error::new(Code::NoStopToken, what)
        .in_file(template.file())
        .why(format!("samples: {places}"));
    if template.marks_answers() {
        error = error
            .why("a {% generation %} block of the chat template ends before a special token")
            .fix("put the token that ends an answer inside the block, such as {{ eos_token }}");
    } else {
        error = error
            .why("the chat template writes no special token of the tokenizer after an answer")
            .fix("write it there, such as {{ eos_token }}, in the folder's chat_template.jinja")
            .fix("or make the token that the template writes special in tokenizer_config.json");
    }
    error
}

/// Answers of these samples say nothing, and would be learned.
pub(crate) fn silent(config: &DataConfig, places: &Places) -> Error {
    let what = match places.count {
        1 => "a sample has an empty answer".to_owned(),
        many => format!("{many} samples have an empty answer"),
    };
    Error::new(Code::NothingToLearn, what)
        .in_file(&config.train_data_dir)
        .why(format!("samples: {places}"))
        .why("a model that learns it learns to say nothing")
        .fix("write the answers, or take the samples out")
        .fix("in a list of turns, `weight: 0` leaves an answer out of what is learned")
}

pub(crate) fn nothing_to_learn(config: &DataConfig, rows: &Unlearnable) -> Error {
    let mut error = Error::new(
        Code::NothingToLearn,
        match rows.count {
            1 => "a row has no token to learn from".to_owned(),
            many => format!("{many} rows have no token to learn from"),
        },
    )
    .in_file(&config.train_data_dir);
    for row in &rows.first {
        error = error.why(format!(
            "{}:{} has {} tokens",
            row.file, row.line, row.tokens
        ));
    }
    let more = rows.count.saturating_sub(rows.first.len() as u64);
    if more > 0 {
        error = error.why(format!("and {more} more"));
    }
    if rows.longest_cut > 0 {
        error = error
            .why(format!(
                "the first max_seq_length={} tokens are all question",
                config.max_seq_length
            ))
            .fix(format!(
                "--set max_seq_length={} keeps these rows whole",
                rows.longest_cut
            ))
            .fix("or --set overflow=drop leaves out all rows that are too long");
    }
    if rows.weighted_out {
        error = error
            .why("all answers that would count have weight 0")
            .fix("give one of them weight 1, or take the sample out");
    } else if rows.whole {
        error = error.fix("give each sample an answer, or --set train_on_inputs=true");
    }
    error
}

/// Samples that came as tokens are to be masked, and nobody can look into them.
pub(crate) fn tokens_not_masked(config: &DataConfig, came: &Places) -> Error {
    Error::new(
        Code::TokensNotMasked,
        format!(
            "{} samples come as tokens, which `privacy: mask` cannot look into",
            came.count
        ),
    )
    .in_file(&config.train_data_dir)
    .why(format!("samples: {came}"))
    .fix("give them as texts, or take them out")
    .fix("or --set privacy=off when they hold nothing personal")
}
