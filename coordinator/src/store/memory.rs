//! A ledger in memory, for tests of code that writes to a store.
//!
//! Keeps: the rules of the ledger on disk. Several handles may open one ledger; as soon as one handle has added a
//! record, the others can add none any more.

use std::sync::{Arc, Mutex, PoisonError};

use shared::error::{Code, Error, Result};
use shared::ledger::{Book, Record, State};

use super::{Opened, Replay, Store};

/// The records of a ledger, shared by all its handles.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger(Arc<Mutex<Vec<Record>>>);

/// A handle to a [`MemoryLedger`]; by default to a ledger of its own.
#[derive(Debug, Default)]
pub struct MemoryStore {
    ledger: MemoryLedger,
    book: Book,
    /// Records that this handle has read or added.
    records: Vec<Record>,
}

impl MemoryStore {
    /// Opens a ledger that other handles may have open too.
    ///
    /// # Errors
    /// The errors of the ledger's rules.
    pub fn open(ledger: &MemoryLedger) -> Result<Opened<Self>> {
        let mut store = Self {
            ledger: ledger.clone(),
            ..Self::default()
        };
        let mut replay = Replay::default();
        for record in ledger
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            store.keep(record)?;
            replay.follow(record);
        }
        Ok(Opened {
            state: store.state().cloned(),
            store,
            replay,
            notice: None,
        })
    }

    /// Records that this handle has read or added, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    fn keep(&mut self, record: &Record) -> Result<()> {
        let sealed = self.book.seal(record)?;
        self.book.accept(record, &sealed)?;
        self.records.push(record.clone());
        Ok(())
    }
}

impl Store for MemoryStore {
    fn state(&self) -> Option<&State> {
        self.book.state()
    }

    fn replay(&self, each: &mut dyn FnMut(&Record)) -> Result<()> {
        self.records.iter().for_each(each);
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        let ledger = self.ledger.clone();
        let mut all = ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() != self.records.len() {
            return Err(Error::new(Code::Locked, "somebody else leads this ledger")
                .why("it has records that are not this coordinator's"));
        }
        self.keep(record)?;
        all.push(record.clone());
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send> {
        Box::new(|| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{Step, Term};
    use shared::ledger::{Commit, Run};

    use super::*;

    fn commit(step: u64, term: Term) -> Record {
        Record::Commit(Commit {
            step: Step(step),
            term,
            ..Commit::default()
        })
    }

    #[test]
    fn who_led_before_adds_nothing_any_more() {
        let ledger = MemoryLedger::default();
        let mut first = MemoryStore::open(&ledger).unwrap().store;
        let run = Run {
            total_steps: 9,
            ..Run::default()
        };
        first.append(&Record::Run(run)).unwrap();
        let led = first.lead("one").unwrap();
        first.append(&commit(1, led.term)).unwrap();
        let mut second = MemoryStore::open(&ledger).unwrap().store;
        // Until the second one leads, the first one does.
        first.append(&commit(2, led.term)).unwrap();
        assert_eq!(second.lead("two").unwrap_err().code, Code::Locked);
        let opened = MemoryStore::open(&ledger).unwrap();
        assert_eq!(opened.state.unwrap().committed, Step(2));
        let mut second = opened.store;
        assert_eq!(second.lead("two").unwrap().term, led.term.next());
        let refused = first.append(&commit(3, led.term)).unwrap_err();
        assert_eq!(refused.code, Code::Locked);
        second.append(&commit(3, led.term.next())).unwrap();
        let mut replay = Replay::after(Step(1));
        second.replay(&mut |record| replay.follow(record)).unwrap();
        assert_eq!(replay.since(Step(1)).unwrap().commits.len(), 2);
    }
}
