//! What moves on this worker, counted by whoever moves it.
//!
//! In: units of work and bytes. Out: the counters that every sign of life carries to the coordinator, whose
//! deadlines restart when one of those they are about has grown. Keeps: counters only grow; counting never
//! waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::wire::message::Progress;

/// The counters of one process, shared by its threads.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    device: AtomicU64,
    moved: AtomicU64,
    stored: AtomicU64,
}

impl Counters {
    /// The device thread has finished so many units: layers forward or backward, tokens, tensors.
    pub fn device(&self, units: u64) {
        self.0.device.fetch_add(units, Ordering::Relaxed);
    }

    /// So many bytes were sent to peers or came from them.
    pub fn moved(&self, bytes: u64) {
        self.0.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes were written to storage or read from it.
    pub fn stored(&self, bytes: u64) {
        self.0.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What they have come to.
    #[must_use]
    pub fn read(&self) -> Progress {
        Progress {
            device: self.0.device.load(Ordering::Relaxed),
            moved: self.0.moved.load(Ordering::Relaxed),
            stored: self.0.stored.load(Ordering::Relaxed),
        }
    }
}
