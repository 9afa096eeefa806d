//! The first half of a sample's walk: file to prepared dataset, once per run.
//!
//! `files`, `sources` which files · `renamed` their own names for things · `read` bytes to text ·
//! `dialogue`, `json`, `object`, `table`, `parquet`, `metadata`, `tokens` to conversations ·
//! `detected` how sure it is what a file is, `openings` its first samples · `privacy` personal data
//! out of them · `render` conversation to text and the spans that are learned · `mask` text to tokens
//! and targets · `overflow` rows that are too long · `split` rows that are kept out, `mixing` sources
//! by their weights · `report` what was found · `refusals` why a run cannot start with it · `doctor`
//! what a person should look at before · `preview` single samples as they are trained · `written` a
//! sample as JSON · `source` and `lines` the files piece by piece · `pipeline` all cores in order ·
//! `walk` the walk itself · `rows` its end · `prepare` its doors · `cache` once per run.
//! Keeps: nothing is dropped, cut or guessed without a line in the report. No side effect before
//! the last station. Not here: order of samples (`shared/plan`), padding (`worker`).

mod cache;
mod detected;
mod dialogue;
mod doctor;
mod excerpt;
mod file_report;
mod files;
mod json;
mod lines;
mod listed;
mod mask;
mod metadata;
mod mixing;
mod names;
mod object;
mod openings;
mod overflow;
mod parquet;
mod pipeline;
mod prepare;
mod preview;
pub mod privacy;
mod read;
mod refusals;
mod renamed;
mod render;
mod report;
mod rows;
mod sample;
mod source;
mod sources;
mod split;
mod table;
mod tokens;
mod walk;
mod written;

pub use cache::{Ready, dataset_path, ready, ready_of, source_digest};
pub use detected::Detected;
pub use doctor::{Diagnosis, Finding, Kind};
pub use file_report::{FileReport, Form, RoleCount};
pub use prepare::{Masked, Prepared, diagnose, masked, prepare, prepare_with, validation_config};
pub use preview::{Preview, Wanted, previews};
pub use report::{DataReport, LongRow, Row, SourceReport, Unlisted};
pub use sample::{Conversation, Tokens};
pub use source::{Keep, Sources};
pub use walk::Progress;
pub use written::written;

/// What one file gave.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub conversations: Vec<Conversation>,
    pub report: FileReport,
    pub notices: Vec<String>,
}

/// The readers find question and answer under these names by themselves.
pub(crate) fn knows_columns(question: &str, answer: &str) -> bool {
    names::Columns::find(&[question, answer])
        .is_ok_and(|found| (found.question, found.answer) == (Some(0), Some(1)))
}
