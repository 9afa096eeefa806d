//! The integers of one vector, wherever they lie.
//!
//! In: what a transport takes and gives back. Out: the same, for whoever computes with it. Keeps: what passes a buffer
//! on never looks inside, so that one in a GPU's memory can go the same way.

use std::sync::Arc;

/// A vector of integers: a sum, a total, or memory for one.
#[derive(Clone, Debug)]
pub enum Buffer {
    /// In the machine's memory; shared, and then never written to.
    Host(Arc<Vec<i64>>),
}

impl Buffer {
    /// The integers in the machine's memory.
    #[must_use]
    pub fn into_host(self) -> Arc<Vec<i64>> {
        let Self::Host(values) = self;
        values
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Host(Arc::default())
    }
}

impl From<Arc<Vec<i64>>> for Buffer {
    fn from(values: Arc<Vec<i64>>) -> Self {
        Self::Host(values)
    }
}

impl From<Vec<i64>> for Buffer {
    fn from(values: Vec<i64>) -> Self {
        Self::Host(Arc::new(values))
    }
}
