//! What the bytes of a connection count for.
//!
//! In: bytes, as a connection carries them. Out: what one purpose has moved, all its connections together: the
//! exchange of a generation, a state on its way. Keeps: the bytes of a connection count for one purpose, all of them,
//! once it is known; whoever looks whether the port is open, or takes a state meanwhile, gives no other wait more time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::progress::Counters;

/// What one purpose has moved, told to the coordinator too.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    bytes: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    progress: Counters,
}

impl Tally {
    /// Counts in `progress` too.
    #[must_use]
    pub fn new(progress: &Counters) -> Self {
        Self {
            bytes: Arc::default(),
            over: Arc::default(),
            progress: progress.clone(),
        }
    }

    /// Ends the purpose: what its connections still carry is no progress of the run's.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Bytes that the purpose has moved, in both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if !self.over.load(Ordering::Acquire) {
            self.progress.moved(bytes);
        }
    }
}

/// The byte count of one connection, which counts for one purpose once that is known.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<ByteCount>);

#[derive(Debug, Default)]
struct ByteCount {
    /// Bytes that have moved and count for no purpose yet.
    open: AtomicU64,
    purpose: OnceLock<Tally>,
}

impl Traffic {
    /// A connection whose purpose is known when it is made.
    #[must_use]
    pub fn of(tally: Tally) -> Self {
        let traffic = Self::default();
        traffic.counts_for(tally);
        traffic
    }

    /// Sets the purpose that the connection's bytes count for, those before included; the first purpose stays.
    pub(super) fn counts_for(&self, tally: Tally) {
        let _ = self.0.purpose.set(tally);
        self.moved(0);
    }

    /// Counts bytes that have moved.
    pub(super) fn moved(&self, bytes: usize) {
        let open = &self.0.open;
        open.fetch_add(bytes as u64, Ordering::AcqRel);
        if let Some(tally) = self.0.purpose.get() {
            tally.count(open.swap(0, Ordering::AcqRel));
        }
    }
}
