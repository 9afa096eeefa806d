//! Work on fixed chunks by the threads of the pool that the caller runs in (`rayon`).
//!
//! In: vectors of so many elements. Out: how long the shares are that threads take, whole chunks all, and the work done
//! on each. Keeps: results never depend on the number of threads, because each chunk is computed by one thread and
//! chunks are joined in their order. A short vector is one share, computed where the caller is.

/// Elements per chunk: part of what `grad_norm` means, never changed.
pub(super) const CHUNK: usize = 4096;
/// Below this many elements threads cost more than they bring.
const WORTHWHILE: usize = 1 << 20;
/// Shares per thread: who is late leaves some to the others.
const SHARES: usize = 4;

/// Whether so many elements are worth more than one thread.
pub(super) fn is_worthwhile(elements: usize) -> bool {
    elements >= WORTHWHILE
}

/// Elements per share: whole chunks, at least one.
pub(super) fn share(elements: usize) -> usize {
    let shares = if is_worthwhile(elements) {
        SHARES * rayon::current_num_threads()
    } else {
        1
    };
    elements.div_ceil(CHUNK).div_ceil(shares).max(1) * CHUNK
}

/// Does the work on each share.
pub(super) fn each<Share: Send>(
    mut shares: impl Iterator<Item = Share>,
    work: impl Fn(Share) + Sync,
) {
    let Some(first) = shares.next() else { return };
    let Some(second) = shares.next() else {
        return work(first);
    };
    let work = &work;
    rayon::in_place_scope(|scope| {
        for share in std::iter::once(second).chain(shares) {
            scope.spawn(move |_| work(share));
        }
        work(first);
    });
}

/// Runs `work` in pools of several sizes.
#[cfg(test)]
pub(super) fn in_pools<Found: Send>(work: impl Fn() -> Found + Sync) -> Vec<Found> {
    let within = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(&work)
    };
    [1, 2, 3, 7].map(within).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_chunks_of_everything() {
        for elements in [
            0,
            1,
            CHUNK,
            CHUNK + 1,
            WORTHWHILE - 1,
            WORTHWHILE,
            40_000_003,
        ] {
            for share in in_pools(|| share(elements)) {
                assert!(share > 0 && share.is_multiple_of(CHUNK), "{share}");
                let shares = elements.div_ceil(share);
                assert!(
                    shares <= 1 || elements >= WORTHWHILE,
                    "{elements}: {shares}"
                );
            }
        }
        let shares = in_pools(|| (1usize << 24).div_ceil(share(1 << 24)));
        assert_eq!(shares, [4, 8, 12, 28]);
    }

    #[test]
    fn every_share_is_worked_on_once() {
        let done = in_pools(|| {
            let mut values = vec![0u32; 2_000_000];
            let share = share(values.len());
            each(values.chunks_mut(share), |part| {
                part.iter_mut().for_each(|value| *value += 1);
            });
            values.iter().all(|value| *value == 1)
        });
        assert_eq!(done, [true; 4]);
    }
}
