//! A store that keeps its lines in memory, for tests of whatever writes to one.

use shared::error::Result;
use shared::ledger::{Book, Record, State};

use super::Store;

/// Records in memory, under the same rules as on disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    book: Book,
    records: Vec<Record>,
}

impl MemoryStore {
    /// What was added, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// What the records fold to, `None` before the first.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.book.state()
    }
}

impl Store for MemoryStore {
    fn append(&mut self, record: &Record) -> Result<()> {
        let sealed = self.book.seal(record)?;
        self.book.accept(record, &sealed)?;
        self.records.push(record.clone());
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send> {
        Box::new(|| Ok(()))
    }
}
