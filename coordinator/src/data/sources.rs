//! What is prepared: the files of a run, and which of their samples are rows.

use std::sync::Arc;

use super::config::DataConfig;
use super::sample::Conversation;

/// Which samples of the files are rows.
#[derive(Clone)]
pub struct Keep {
    /// Says which, for the digest of the sources.
    pub name: String,
    /// The choice; the same for the same sample, on any thread.
    pub row: Arc<dyn Fn(&Conversation) -> bool + Send + Sync>,
}

/// The data of a preparation.
#[derive(Clone)]
pub struct Sources<'a> {
    /// Names the files and how they are read.
    pub config: &'a DataConfig,
    /// Not all samples are rows.
    pub keep: Option<Keep>,
}

impl<'a> Sources<'a> {
    /// All samples of the run's files.
    #[must_use]
    pub fn all(config: &'a DataConfig) -> Self {
        Self { config, keep: None }
    }
}
