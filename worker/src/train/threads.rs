//! Threads for what the host does of a step: integers, proofs, digests, the update.
//!
//! In: a name and a number. Out: a pool. The state thread runs inside one of its own, so that a device that is busy
//! never holds it up; the device thread asks another one. libtorch knows nothing of them.

use rayon::{ThreadPool, ThreadPoolBuilder};
use shared::error::{Code, Error, Result};

/// A pool of so many threads that sleep when there is nothing to do.
///
/// # Errors
/// [`Code::Io`] when no thread can be made.
pub(super) fn pool(name: &'static str, threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(move |index| format!("{name}-{index}"))
        .build()
        .map_err(|e| Error::new(Code::Io, format!("no {name} threads")).why(e.to_string()))
}
