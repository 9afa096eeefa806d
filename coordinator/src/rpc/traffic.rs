//! Counts the bytes of messages between the coordinator and all workers together.
//!
//! Keeps: two numbers, however many workers connect and however often.

use std::sync::atomic::{AtomicU64, Ordering};

/// Cumulative bytes of all sessions since this start, each way.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes so far, (received, sent).
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let load = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (load(&self.received), load(&self.sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_counted_apart() {
        let traffic = Traffic::default();
        traffic.received(3);
        traffic.sent(5);
        traffic.received(4);
        assert_eq!(traffic.totals(), (7, 5));
    }
}
