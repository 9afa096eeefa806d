//! What survives a restart of the coordinator: the ledger, and whether a start in its folder begins, continues or is
//! refused.
//!
//! In: records, in the order in which they became true. Out: `ledger.jsonl` in the output folder, and on opening it
//! again the state that its records add up to.
//! Keeps: a record that contradicts the ones before is refused before it is written; a line is written whole or not at
//! all; the training does not wait for the disk.
//!
//! `file` the embedded store · `memory` a store for tests · `read` reads a ledger without changing it · `replay` what a
//! restart needs beside the state · `sync` forces bytes to the disk · `decide` whether a start begins, continues or is
//! refused. Several coordinators may open one ledger; the newest term names the leader, and behind [`Store`] only the
//! leader adds records.

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
pub use replay::{CommitsAfter, Replay};

/// An open ledger. Every implementation has an `open` of its own, which gives an [`Opened`].
pub trait Store: Send {
    /// The state that all records add up to, `None` before the first record.
    fn state(&self) -> Option<&State>;

    /// Reads every record again, from the first.
    ///
    /// # Errors
    /// The reason why the ledger cannot be read.
    fn replay(&self, each: &mut dyn FnMut(&Record)) -> Result<()>;

    /// Adds a record. No other process may add one in between: a coordinator that finds a record that is not its own
    /// has lost the lead. After an error nothing was added, and the same record may be tried again.
    ///
    /// # Errors
    /// [`Code::LedgerUnwritable`](shared::error::Code::LedgerUnwritable) when the record cannot be written,
    /// [`Code::Locked`](shared::error::Code::Locked) when another process writes here: the run ends,
    /// [`Code::LedgerContradiction`](shared::error::Code::LedgerContradiction) and
    /// [`Code::ReplayDiffers`](shared::error::Code::ReplayDiffers) when the ledger's rules forbid the record.
    fn append(&mut self, record: &Record) -> Result<()>;

    /// Waits until every record is on the disk.
    ///
    /// # Errors
    /// [`Code::LedgerUnwritable`](shared::error::Code::LedgerUnwritable).
    fn sync(&mut self) -> Result<()>;

    /// A function that waits, on whatever thread calls it, until every record added so far is on the disk; it returns
    /// what [`Self::sync`] would have.
    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send>;

    /// Takes the lead of this ledger's run under the next term, from `address`, where workers reach this coordinator.
    /// When this returns, the term's line is on the disk, and the leader before can add nothing any more.
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

/// A store, and what its ledger held when it was opened.
pub struct Opened<S> {
    /// The store, ready to append after its last whole line.
    pub store: S,
    /// The state that its lines add up to, `None` for a new ledger.
    pub state: Option<State>,
    /// What a restart needs beside the state.
    pub replay: Replay,
    /// What was cut off the ledger's end, in words for people.
    pub notice: Option<String>,
}

/// The run that this start leads, and under which term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leading {
    /// Identifier of the run, from the ledger's first record.
    pub run_id: RunId,
    /// Term of this start: one more than that of the leader before.
    pub term: Term,
    /// Digest over everything that decides the adapter's bytes.
    pub run_identity: String,
    /// The inputs of that digest by name, readable.
    pub identity: BTreeMap<String, String>,
    /// The checkpoint of another run that the run began with; `None` where it began from the seed.
    pub parent: Option<Parent>,
}
