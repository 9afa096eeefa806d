//! Writes the ledger, and keeps the records that cannot be written until they can.
//!
//! In: records in the order in which they became true. Out: lines in the store.
//! Keeps: a full disk never stops the training: records wait, in order and bounded, and the run says
//! so once. A crash meanwhile costs compute, never correctness.

use std::collections::VecDeque;

use shared::error::{Code, Error, Result};
use shared::ledger::Record;

use super::publish::Synced;
use crate::store::Store;

/// Largest number of records that wait before the run ends.
const WAITING: usize = 100_000;

/// The ledger's only writer.
pub(super) struct Recorder {
    store: Box<dyn Store>,
    waiting: VecDeque<Record>,
}

impl Recorder {
    pub(super) fn new(store: Box<dyn Store>) -> Self {
        Self {
            store,
            waiting: VecDeque::new(),
        }
    }

    /// Adds a record; returns a line for people when the ledger begins to wait.
    ///
    /// # Errors
    /// When the record must not be added, or too many wait.
    pub(super) fn write(&mut self, record: Record) -> Result<Option<String>> {
        self.waiting.push_back(record);
        if self.waiting.len() > 1 {
            if self.waiting.len() > WAITING {
                return Err(Error::new(
                    Code::LedgerUnwritable,
                    format!("{WAITING} records wait for the ledger"),
                )
                .fix("make room and start again: the run goes on from its newest checkpoint"));
            }
            return Ok(None);
        }
        match self.store.append(&self.waiting[0]) {
            Ok(()) => {
                self.waiting.clear();
                Ok(None)
            }
            Err(error) if error.code == Code::LedgerUnwritable => Ok(Some(format!(
                "the run goes on, its ledger waits: {}",
                shared::error::render(&error)
            ))),
            Err(error) => Err(error),
        }
    }

    /// Tries to write the waiting records.
    ///
    /// # Errors
    /// When a record must not be added.
    pub(super) fn retry(&mut self) -> Result<Option<String>> {
        let behind = self.waiting.len();
        while let Some(record) = self.waiting.front() {
            match self.store.append(record) {
                Ok(()) => self.waiting.pop_front(),
                Err(error) if error.code == Code::LedgerUnwritable => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        Ok((behind > 0).then(|| format!("the ledger has caught up: {behind} records")))
    }

    /// A function that waits, on the thread that calls it, until every record written so far is on the disk; it fails
    /// at once where records still wait to be written.
    pub(super) fn synced(&self) -> Synced {
        let behind = self.waiting.len();
        if behind > 0 {
            return Box::new(move || Err(not_written(behind)));
        }
        self.store.synced()
    }

    /// Writes the waiting records and waits until all are on the disk.
    ///
    /// # Errors
    /// When a record cannot be written or forced to the disk.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.retry()?;
        if self.waiting.is_empty() {
            return self.store.sync();
        }
        Err(not_written(self.waiting.len()))
    }
}

fn not_written(records: usize) -> Error {
    Error::new(
        Code::LedgerUnwritable,
        format!("{records} records could not be written"),
    )
    .fix("make room and start again: the run goes on from its newest checkpoint")
}

#[cfg(test)]
mod tests {
    use shared::ids::Step;
    use shared::ledger::{Rewind, State};

    use super::*;

    /// Refuses so many times.
    struct Full(std::sync::Arc<std::sync::Mutex<(u32, Vec<Record>)>>);

    impl Store for Full {
        fn state(&self) -> Option<&State> {
            None
        }

        fn replay(&self, _: &mut dyn FnMut(&Record)) -> Result<()> {
            Ok(())
        }

        fn append(&mut self, record: &Record) -> Result<()> {
            let mut inner = self.0.lock().unwrap();
            if inner.0 > 0 {
                inner.0 -= 1;
                return Err(Error::new(Code::LedgerUnwritable, "no space left"));
            }
            inner.1.push(record.clone());
            Ok(())
        }

        fn sync(&mut self) -> Result<()> {
            Ok(())
        }

        fn synced(&self) -> Synced {
            Box::new(|| Ok(()))
        }
    }

    #[test]
    fn what_cannot_be_written_waits_in_order_is_said_once_and_keeps_checkpoints_from_their_name() {
        let seen = std::sync::Arc::new(std::sync::Mutex::new((2, Vec::new())));
        let mut recorder = Recorder::new(Box::new(Full(seen.clone())));
        let record = |step| {
            Record::Rewind(Rewind {
                step: Step(step),
                ..Rewind::default()
            })
        };
        assert!(
            recorder
                .write(record(1))
                .unwrap()
                .unwrap()
                .contains("waits")
        );
        assert_eq!(recorder.write(record(2)).unwrap(), None);
        let error = recorder.synced()().unwrap_err();
        assert_eq!(error.code, Code::LedgerUnwritable);
        assert_eq!(recorder.retry().unwrap(), None);
        assert!(recorder.retry().unwrap().unwrap().contains("2 records"));
        assert_eq!(seen.lock().unwrap().1, [record(1), record(2)]);
        recorder.synced()().unwrap();
        recorder.finish().unwrap();
    }
}
