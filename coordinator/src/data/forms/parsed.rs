//! What the reader of a form makes of a file.

use crate::data::file_report::FileReport;
use crate::data::sample::Conversation;

/// The samples of a file, and what was found out about it on the way.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub conversations: Vec<Conversation>,
    pub report: FileReport,
    pub notices: Vec<String>,
}

impl Parsed {
    /// A file that gave nothing to speak of beside its samples.
    pub(super) fn new(conversations: Vec<Conversation>, report: FileReport) -> Self {
        Self {
            conversations,
            report,
            notices: Vec::new(),
        }
    }
}
