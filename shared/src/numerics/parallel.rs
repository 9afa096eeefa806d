//! Work on fixed chunks by a few threads.
//!
//! In: a number of elements and of threads. Out: how many elements each thread takes, in whole
//! chunks. Keeps: results never depend on the number of threads, because each chunk is computed by
//! one thread and chunks are joined in their order.

/// Elements per chunk: part of what `grad_norm` means, never changed.
pub(super) const CHUNK: usize = 4096;
/// Below this many elements threads cost more than they bring.
const WORTHWHILE: usize = 1 << 20;

/// How many threads the machine offers for this many elements.
pub(super) fn threads_for(elements: usize) -> usize {
    if elements < WORTHWHILE {
        return 1;
    }
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(elements / (WORTHWHILE / 2))
}

/// Elements per thread: whole chunks, at least one.
pub(super) fn share(elements: usize, threads: usize) -> usize {
    elements.div_ceil(CHUNK).div_ceil(threads.max(1)).max(1) * CHUNK
}
