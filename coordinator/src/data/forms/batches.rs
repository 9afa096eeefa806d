//! A file that is read batch by batch: never whole in memory, where its form allows it.

use std::collections::VecDeque;

use shared::error::Result;

use super::parsed::Parsed;
use crate::data::file_report::FileReport;
use crate::data::sample::Conversation;

/// So many samples are a batch.
pub(super) const BATCH: usize = 256;

/// The samples of a file, some at a time.
pub(crate) trait Batches: Send {
    /// The next samples; none at the end.
    ///
    /// # Errors
    /// `E03..` with file and line.
    fn next(&mut self) -> Result<Vec<Conversation>>;

    /// What the file was found to be, and what a person should know; complete behind the last batch.
    fn finish(self: Box<Self>) -> (FileReport, Vec<String>);
}

/// Reads all of it.
pub(super) fn whole(mut batches: Box<dyn Batches>) -> Result<Parsed> {
    let mut conversations = Vec::new();
    loop {
        let mut batch = batches.next()?;
        if batch.is_empty() {
            break;
        }
        conversations.append(&mut batch);
    }
    let (report, notices) = batches.finish();
    Ok(Parsed {
        conversations,
        report,
        notices,
    })
}

/// A file that had to be read whole.
pub(super) struct Whole {
    rest: VecDeque<Conversation>,
    report: FileReport,
    notices: Vec<String>,
}

impl Whole {
    pub(super) fn new(parsed: Parsed) -> Self {
        Self {
            rest: parsed.conversations.into(),
            report: parsed.report,
            notices: parsed.notices,
        }
    }
}

impl Batches for Whole {
    fn next(&mut self) -> Result<Vec<Conversation>> {
        Ok(self.rest.drain(..BATCH.min(self.rest.len())).collect())
    }

    fn finish(self: Box<Self>) -> (FileReport, Vec<String>) {
        (self.report, self.notices)
    }
}
