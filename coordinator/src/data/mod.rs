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
mod files;
mod json;
mod lines;
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
mod source;
mod sources;
mod split;
mod table;
mod tokens;
mod walk;
mod written;

use shared::dataset::RowOrigin;
use shared::text::Message;

pub use cache::{Ready, dataset_path, ready, ready_of, source_digest};
pub use detected::Detected;
pub use doctor::{Diagnosis, Finding, Kind};
pub use prepare::{Masked, Prepared, diagnose, masked, prepare, prepare_with, validation_config};
pub use preview::{Preview, Wanted, previews};
pub use report::{DataReport, FileReport, Form, LongRow, RoleCount, Row, Unlisted};
pub use source::{Keep, Sources};
pub use sources::SourceReport;
pub use tokens::Tokens;
pub use walk::Progress;
pub use written::written;

/// What a file's records become: turns, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The turns in order.
    pub messages: Vec<Message>,
    /// File and line of the first turn.
    pub origin: RowOrigin,
    /// The tools it may call, a list, as the template sees them.
    pub tools: Option<serde_json::Value>,
    /// Which messages are answers of weight 0, not to be learned.
    pub unlearned: Vec<usize>,
    /// A sample that comes as tokens has these and no turns.
    pub tokens: Option<Tokens>,
}

impl Conversation {
    /// Turns without tools, all of weight 1.
    pub(crate) fn new(messages: Vec<Message>, origin: RowOrigin) -> Self {
        Self {
            messages,
            origin,
            tools: None,
            unlearned: Vec::new(),
            tokens: None,
        }
    }
}

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

/// At most this many lines are listed in a message; the report's JSON has [`KEPT`].
pub(crate) const LISTED: usize = 20;

/// At most this many places of one kind are kept; what lies behind is counted.
pub(crate) const KEPT: usize = 10_000;

/// `3, 5, 9 and 4 more`.
pub(crate) fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    listed_of(items, items.len() as u64)
}

/// [`listed`] of the first of `all`.
pub(crate) fn listed_of<T: std::fmt::Display>(items: &[T], all: u64) -> String {
    let shown: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    let more = all.saturating_sub(shown.len() as u64);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}
