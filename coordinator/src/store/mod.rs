//! What survives a restart of the coordinator: the ledger, and what a start in its folder means.
//!
//! In: records, in the order in which they became true. Out: `ledger.jsonl` in the output folder,
//! and the state it folds to when it is opened again.
//! Keeps: a record that contradicts the ones before is refused before it is written; a line is
//! written whole or not at all; syncing to disk is beside the training, not before it.
//!
//! `file` the embedded store · `memory` the same for tests · `read` looks without touching · `replay`
//! what a restart needs beside the state · `sync` forces bytes to the disk · `decide` what a start means.
//! Several coordinators may open one ledger; who leads is said by its newest term, and behind [`Store`]
//! only the leader adds to it.

mod decide;
mod file;
mod memory;
mod read;
mod replay;
mod sync;

use std::collections::BTreeMap;

use shared::error::{Code, Error, Result};
use shared::ids::{RunId, Term};
use shared::ledger::{Leader, Parent, Record, State};

pub use decide::{Existing, Start, decide, refuse_other};
pub use file::FileStore;
pub use memory::{MemoryLedger, MemoryStore};
pub use read::{Reading, read, read_on};
pub use replay::{Replay, Since};

/// An open ledger. Every implementation has an `open` of its own, which gives an [`Opened`].
pub trait Store: Send {
    /// What the records fold to, `None` before the first.
    fn state(&self) -> Option<&State>;

    /// Reads every record again, from the first.
    ///
    /// # Errors
    /// Whatever keeps the ledger from being read.
    fn replay(&self, each: &mut dyn FnMut(&Record)) -> Result<()>;

    /// Adds a record. Nobody else adds one in between: whoever finds a record that is not its own has
    /// lost the lead. After an error nothing was added, and the same record may be tried again.
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

    /// Leads the run of this ledger under the next term, from `address`, where workers reach it. The line
    /// that says so is on the disk when this returns, and whoever led before adds nothing any more.
    ///
    /// # Errors
    /// As [`Self::append`] and [`Self::sync`].
    fn lead(&mut self, address: &str) -> Result<Leading> {
        let Some(state) = self.state() else {
            return Err(Error::new(Code::Internal, "the ledger has no run"));
        };
        let (run, term) = (state.run.clone(), state.term().next());
        self.append(&Record::Term(Leader {
            term,
            address: address.into(),
        }))?;
        self.sync()?;
        Ok(Leading {
            run_id: run.run_id,
            term,
            run_identity: run.run_identity,
            identity: run.identity,
            parent: run.parent,
        })
    }
}

/// A store, and what lay there before.
pub struct Opened<S> {
    /// The store, behind its last whole line.
    pub store: S,
    /// What its lines fold to, `None` for a new ledger.
    pub state: Option<State>,
    /// What a restart needs beside the state.
    pub replay: Replay,
    /// What was cut off, for people.
    pub notice: Option<String>,
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
