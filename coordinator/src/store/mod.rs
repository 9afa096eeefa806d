//! What survives a restart of the coordinator: the ledger, and what a start in its folder means.
//!
//! In: records, in the order in which they became true. Out: `ledger.jsonl` in the output folder,
//! and the state it folds to when it is opened again.
//! Keeps: a record that contradicts the ones before is refused before it is written; a line is
//! written whole or not at all; syncing to disk is beside the training, not before it.
//!
//! `file` the embedded store · `memory` the same for tests · `read` looks without touching · `replay`
//! what a restart needs beside the state · `sync` forces bytes to the disk · `decide` what a start means. A store that several coordinators
//! share would stand behind [`Store`] too.

mod decide;
mod file;
mod memory;
mod read;
mod replay;
mod sync;

use std::collections::BTreeMap;

use shared::error::Result;
use shared::ids::{RunId, Term};
use shared::ledger::{Parent, Record};

pub use decide::{Existing, Start, decide, refuse_other};
pub use file::{FileStore, Opened};
pub use memory::MemoryStore;
pub use read::{Reading, read, read_on};
pub use replay::{Replay, Since};

/// Where records are kept.
pub trait Store: Send {
    /// Adds a record. After an error nothing was added, and the same record may be tried again.
    ///
    /// # Errors
    /// [`Code::LedgerUnwritable`](shared::error::Code::LedgerUnwritable) when it cannot be written,
    /// [`Code::Locked`](shared::error::Code::Locked) when somebody else writes here: the run ends,
    /// [`Code::LedgerContradiction`](shared::error::Code::LedgerContradiction) and
    /// [`Code::ReplayDiffers`](shared::error::Code::ReplayDiffers) when it must not be.
    fn append(&mut self, record: &Record) -> Result<()>;

    /// Waits until every record is on the disk.
    ///
    /// # Errors
    /// [`Code::LedgerUnwritable`](shared::error::Code::LedgerUnwritable).
    fn sync(&mut self) -> Result<()>;

    /// What waits until every record that was added so far is on the disk; it may wait on another
    /// thread, and ends with what [`Self::sync`] would have said.
    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send>;
}

/// The run that this start leads, and under which term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leading {
    /// The run.
    pub run_id: RunId,
    /// Version of the leadership: grows with every start.
    pub term: Term,
    /// Digest over everything that decides the adapter.
    pub run_identity: String,
    /// What that digest was made of, readable.
    pub identity: BTreeMap<String, String>,
    /// The checkpoint it began with, when not from the seed.
    pub parent: Option<Parent>,
}
