//! Bytes of messages between coordinator and each worker.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use shared::ids::WorkerId;

/// Cumulative (received, sent) bytes per worker.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes: Mutex<BTreeMap<WorkerId, (u64, u64)>>,
}

impl Traffic {
    pub(super) fn received(&self, worker: &WorkerId, bytes: usize) {
        self.entry(worker, |(received, _)| *received += bytes as u64);
    }

    pub(super) fn sent(&self, worker: &WorkerId, bytes: usize) {
        self.entry(worker, |(_, sent)| *sent += bytes as u64);
    }

    /// What has passed so far, (received, sent).
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes
            .values()
            .fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
    }

    fn entry(&self, worker: &WorkerId, change: impl FnOnce(&mut (u64, u64))) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        change(bytes.entry(worker.clone()).or_default());
    }
}
