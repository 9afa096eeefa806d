//! The first half of a sample's walk: file to prepared dataset, once per run.
//!
//! In walking order: `files` which files, and their bytes as text · `forms` text to conversations ·
//! `detection` how sure it is what a file is · `sample` what a sample is · `pieces` all files piece by
//! piece · `privacy` personal data out of them · `tokenize` conversations to tokens and targets ·
//! `rows` what is kept of them · `report` what was found · `walk` the way through all of these ·
//! `prepare` a run's rows · `cache` once per run.
//! Beside the way: `diagnosis` with `doctor` and `first_samples` what a person should look at before ·
//! `preview` single samples as they are trained · `to_json` a sample as JSON.
//! Below all: `config` what rows depend on · `damage` texts that were damaged before · `excerpt`, `listed`, `of_a_kind` parts of messages · `file_report` what one file gave · `parallel` all
//! cores in order · `sources` what is prepared.
//! Keeps: no room imports from this file; nothing is dropped, cut or guessed without a line in the
//! report. No side effect before the last station. Not here: order of samples (`shared/plan`), padding
//! (`worker`).

mod cache;
mod config;
mod damage;
mod detection;
mod diagnosis;
mod doctor;
mod excerpt;
mod file_report;
mod files;
mod first_samples;
mod forms;
mod listed;
mod of_a_kind;
mod parallel;
mod pieces;
mod prepare;
mod preview;
pub mod privacy;
mod report;
mod rows;
mod sample;
mod sources;
mod to_json;
mod tokenize;
mod walk;

pub use cache::{Ready, dataset_path, ready, ready_of, source_digest};
pub use config::DataConfig;
pub use detection::Detected;
pub use diagnosis::{Diagnosis, diagnose};
pub use doctor::{Finding, Kind};
pub(crate) use excerpt::visible;
pub use file_report::{FileReport, Form, RoleCount};
pub(crate) use forms::knows_columns;
pub use prepare::{Masked, Prepared, masked, prepare, prepare_with};
pub use preview::{Preview, Wanted, previews};
pub use report::{DataReport, LongRow, Row, SourceReport, Unlisted};
pub use sample::{Conversation, Tokens};
pub use sources::{Keep, Sources};
pub use to_json::to_json;
pub use walk::Progress;
