//! Chain and state together: what every store holds beside its bytes.
//!
//! Keeps: a record is first checked and sealed, then written by the store, then accepted. A write
//! that failed leaves the book as it was, so the same record can be written later.

use super::chain::{Chain, Sealed};
use super::record::Record;
use super::state::State;
use crate::error::{Code, Error, Result};

/// A ledger up to its last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    chain: Chain,
    state: Option<State>,
}

impl Book {
    /// The state, `None` before the first line.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The state, `None` before the first line.
    #[must_use]
    pub fn into_state(self) -> Option<State> {
        self.state
    }

    /// Hash of the last line.
    #[must_use]
    pub fn head(&self) -> &str {
        self.chain.head()
    }

    /// Lines so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.chain.lines()
    }

    /// Reads the next line, given without its line feed.
    ///
    /// # Errors
    /// [`Code::LedgerBroken`], [`Code::LedgerUnknown`], [`Code::LedgerContradiction`],
    /// [`Code::ReplayDiffers`], without a place; the book is of no use afterwards.
    pub fn read(&mut self, line: &[u8]) -> Result<Record> {
        let record = self.chain.follow(line)?;
        self.fold(&record)?;
        Ok(record)
    }

    /// The line that the record would be, if it may come next.
    ///
    /// # Errors
    /// [`Code::LedgerContradiction`], [`Code::ReplayDiffers`]; nothing was changed.
    pub fn seal(&self, record: &Record) -> Result<Sealed> {
        match (&self.state, record) {
            (Some(state), _) => state.may_follow(record)?,
            (None, Record::Run(_)) => {}
            (None, _) => return Err(no_run()),
        }
        self.chain.seal(record)
    }

    /// The sealed line of this record is written.
    ///
    /// # Errors
    /// As [`Self::seal`], which was asked before.
    pub fn accept(&mut self, record: &Record, sealed: &Sealed) -> Result<()> {
        self.chain.advance(sealed);
        self.fold(record)
    }

    fn fold(&mut self, record: &Record) -> Result<()> {
        match (&mut self.state, record) {
            (Some(state), _) => state.fold(record, self.chain.lines()),
            (None, Record::Run(run)) => {
                self.state = Some(State::begin(run.clone()));
                Ok(())
            }
            (None, _) => Err(no_run()),
        }
    }
}

fn no_run() -> Error {
    Error::new(
        Code::LedgerContradiction,
        "the ledger does not begin with its run",
    )
}
