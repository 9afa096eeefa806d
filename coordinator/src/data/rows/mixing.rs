//! Rows of several sources in the shares that their weights say.
//!
//! In: how many rows each source has, weights, seed. Out: which row stands where. Keeps: a pure
//! function of its arguments; sources alternate as evenly as their shares allow, so any stretch of
//! the order holds about these shares, shuffled or not. With `repeat` every row is there at least
//! once, with `subsample` at most once; which rows come once more, or stay out, is drawn from `seed`.

use shared::config::Mixing;
use shared::plan::permutation;

/// How many rows of each source: the smallest whole that holds every row, or the largest that repeats
/// none, divided by the weights; what is left over goes to the largest remainders.
pub(crate) fn counts(rows: &[u64], weights: &[u64], mixing: Mixing) -> Vec<u64> {
    if mixing == Mixing::Concatenate {
        return rows.to_vec();
    }
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    let wholes = rows.iter().zip(weights).map(|(&rows, &weight)| {
        let (rows, weight) = (u128::from(rows) * sum, u128::from(weight.max(1)));
        match mixing {
            Mixing::Repeat => rows.div_ceil(weight),
            Mixing::Subsample | Mixing::Concatenate => rows / weight,
        }
    });
    let total = match mixing {
        Mixing::Repeat => wholes.max(),
        Mixing::Subsample | Mixing::Concatenate => wholes.min(),
    }
    .unwrap_or(0);
    let shares = weights.iter().map(|&w| {
        let exact = total * u128::from(w);
        (exact / sum.max(1), exact % sum.max(1))
    });
    let shares: Vec<(u128, u128)> = shares.collect();
    let given: u128 = shares.iter().map(|(count, _)| count).sum();
    let mut counts: Vec<u128> = shares.iter().map(|(count, _)| *count).collect();
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(shares[i].1), i));
    let mut left = total.saturating_sub(given);
    for source in order {
        let room = mixing == Mixing::Repeat || counts[source] < u128::from(rows[source]);
        if left > 0 && room {
            counts[source] += 1;
            left -= 1;
        }
    }
    let narrow = |count| u64::try_from(count).unwrap_or(u64::MAX);
    counts.into_iter().map(narrow).collect()
}

/// The order of the mixed rows; a source's rows are numbered behind those of the sources before it.
pub(crate) fn order(rows: &[u64], counts: &[u64], seed: u64) -> Vec<u32> {
    let mut start = 0;
    let mut picks: Vec<Vec<u32>> = Vec::new();
    for (source, (&rows, &count)) in rows.iter().zip(counts).enumerate() {
        let drawn = chosen(rows, count, seed.wrapping_add(source as u64));
        picks.push(drawn.into_iter().map(|row| start + row).collect());
        start += u32::try_from(rows).unwrap_or(u32::MAX);
    }
    // A row stands at the middle of its share of the whole: (2k + 1) / 2n, compared without division.
    let mut next = vec![0_u64; picks.len()];
    let total: u64 = counts.iter().sum();
    let mut order = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for _ in 0..total {
        let open = (0..picks.len()).filter(|&s| next[s] < counts[s]);
        let first = open.min_by(|&a, &b| {
            let at =
                |s: usize, other: usize| u128::from(2 * next[s] + 1) * u128::from(counts[other]);
            at(a, b).cmp(&at(b, a)).then(a.cmp(&b))
        });
        let Some(source) = first else { break };
        let place = usize::try_from(next[source]).unwrap_or(usize::MAX);
        order.extend(picks[source].get(place));
        next[source] += 1;
    }
    order
}

/// Whole rounds of a source in its own order, and a drawn part of a last one, in its order too.
fn chosen(rows: u64, count: u64, seed: u64) -> Vec<u32> {
    let n = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    if n == 0 {
        return all;
    }
    for _ in 0..count / rows {
        all.extend(0..u32::try_from(n).unwrap_or(u32::MAX));
    }
    let rest = usize::try_from(count % rows).unwrap_or(0);
    if rest > 0 {
        let mut part = permutation(seed, 0, n, true);
        part.truncate(rest);
        part.sort_unstable();
        all.extend(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1_000_000;

    #[test]
    fn three_to_one_is_three_to_one() {
        let repeat = |rows: &[u64], weights: &[u64]| counts(rows, weights, Mixing::Repeat);
        assert_eq!(repeat(&[100, 100], &[3 * M, M]), [300, 100]);
        assert_eq!(repeat(&[100, 200], &[3 * M, M]), [600, 200]);
        assert_eq!(repeat(&[1000, 100], &[3 * M, M]), [1001, 333]);
        assert_eq!(repeat(&[7], &[M / 2]), [7]);
        let fewer = |rows: &[u64], weights: &[u64]| counts(rows, weights, Mixing::Subsample);
        assert_eq!(fewer(&[100, 100], &[3 * M, M]), [100, 33]);
        assert_eq!(fewer(&[300, 7], &[3 * M, M]), [21, 7]);
        assert_eq!(fewer(&[10, 10, 10], &[M, M, M]), [10, 10, 10]);
        let whole = counts(&[100, 7], &[3 * M, M], Mixing::Concatenate);
        assert_eq!(whole, [100, 7]);
    }

    #[test]
    fn every_row_is_there_at_least_once_or_at_most_once() {
        for (rows, weights) in [
            ([5_u64, 17, 90], [3 * M, M, M / 3]),
            ([1, 1, 1], [M, 2 * M, 4 * M]),
            ([31, 2, 8], [7, 11, 13]),
        ] {
            for mixing in [Mixing::Repeat, Mixing::Subsample] {
                let counts = counts(&rows, &weights, mixing);
                let order = order(&rows, &counts, 42);
                let mut times = vec![0; rows.iter().sum::<u64>() as usize];
                for row in order {
                    times[row as usize] += 1;
                }
                match mixing {
                    Mixing::Repeat => assert!(times.iter().all(|&t| t > 0), "{counts:?}"),
                    _ => assert!(times.iter().all(|&t| t < 2), "{counts:?}"),
                }
            }
        }
    }

    #[test]
    fn any_stretch_holds_the_shares() {
        let order = order(&[100, 100], &[300, 100], 7);
        for four in order.chunks(4) {
            let first = four.iter().filter(|&&row| row < 100).count();
            assert_eq!(first, 3, "{four:?}");
        }
    }

    #[test]
    fn the_seed_draws_what_comes_once_more() {
        let draw = |seed| order(&[100, 10], &[110, 10], seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).len(), 120);
    }
}
