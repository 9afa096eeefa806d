//! A loaded configuration: its values, where they came from, what is worth saying.

use std::collections::BTreeMap;

use super::keys::RunConfig;

/// Key to where its value came from: `default`, `file:line`, `--set`, `derived from ...`.
pub type Origins = BTreeMap<String, String>;

/// A configuration, where each value came from, and what is worth saying about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The resolved configuration: every key has its value.
    pub config: RunConfig,
    /// Where they came from, for every key.
    pub origins: Origins,
    /// Advice; nothing of it stops a run.
    pub notices: Vec<String>,
}
