//! The one random draw of a step: which inputs of an adapter are dropped.
//!
//! In: seed, step, the sample's position in the step, the site (which adapted linear). Out: 1 keep or 0 drop for every
//! token and feature. A pure function of those numbers: never of worker, order, clock or padding.
//!
//! The formula, 32-bit unsigned throughout, so that int64 tensors masked with `& 0xffffffff` give
//! the same (`>>` is logical, products keep their low 32 bits):
//!
//! ```text
//! mix(x)  = x ^= x >> 16; x *= 0x85ebca6b; x ^= x >> 13; x *= 0xc2b2ae35; x ^= x >> 16
//! next(k, word) = mix(k ^ word) + 0x9e3779b9
//! words   = seed low, seed high, step low, step high, position, site, token
//! a, b    = fold of next over words, from 0x243f6a88 and from 0x85a308d3
//! h       = a + feature * 0x9e3779b9
//!           h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h += b; h *= 0xc2b2ae35; h ^= h >> 16
//! keep    = h >= round_half_even(p * 2^32)
//! ```

const STRIDE: u32 = 0x9e37_79b9;
const FIRST: u32 = 0x85eb_ca6b;
const SECOND: u32 = 0xc2b2_ae35;

/// `round_half_even(p * 2^32)`, what the hash is compared with; 2^32 and more drops everything.
#[must_use]
pub fn dropout_threshold(p: f64) -> u64 {
    let scaled = p.clamp(0.0, 1.0) * 4_294_967_296.0;
    scaled.round_ties_even() as u64
}

/// Writes the mask of one sample at one site, `length` rows of `features`: 1 keep, 0 drop.
///
/// Row t depends on t alone, so padding a sample changes none of its rows. `out` holds
/// `length * features` bytes.
#[allow(clippy::too_many_arguments)]
pub fn dropout_mask(
    seed: u64,
    step: u64,
    position: u32,
    site: u32,
    length: usize,
    features: usize,
    p: f64,
    out: &mut [u8],
) {
    debug_assert_eq!(out.len(), length * features);
    let threshold = dropout_threshold(p);
    let (Ok(threshold), true) = (u32::try_from(threshold), features > 0) else {
        out.fill(0);
        return;
    };
    let key = [
        seed as u32,
        (seed >> 32) as u32,
        step as u32,
        (step >> 32) as u32,
        position,
        site,
    ];
    let absorb = |start: u32| key.iter().fold(start, |k, &word| next(k, word));
    let (a, b) = (absorb(0x243f_6a88), absorb(0x85a3_08d3));
    for (token, row) in out.chunks_exact_mut(features).take(length).enumerate() {
        fill_row(next(a, token as u32), next(b, token as u32), threshold, row);
    }
}

fn fill_row(a: u32, b: u32, threshold: u32, row: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: `fill_row_avx2` needs AVX2, and the line above asked this processor for it.
        unsafe { fill_row_avx2(a, b, threshold, row) };
        return;
    }
    fill(a, b, threshold, row);
}

/// [`fill`] compiled for AVX2: the same integers in wider registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_row_avx2(a: u32, b: u32, threshold: u32, row: &mut [u8]) {
    fill(a, b, threshold, row);
}

#[inline(always)]
fn fill(a: u32, b: u32, threshold: u32, row: &mut [u8]) {
    for (feature, keep) in row.iter_mut().enumerate() {
        let mut h = a.wrapping_add((feature as u32).wrapping_mul(STRIDE));
        h = (h ^ (h >> 16)).wrapping_mul(FIRST);
        h = (h ^ (h >> 13)).wrapping_add(b).wrapping_mul(SECOND);
        *keep = u8::from(h ^ (h >> 16) >= threshold);
    }
}

fn next(key: u32, word: u32) -> u32 {
    let mut x = key ^ word;
    x = (x ^ (x >> 16)).wrapping_mul(FIRST);
    x = (x ^ (x >> 13)).wrapping_mul(SECOND);
    (x ^ (x >> 16)).wrapping_add(STRIDE)
}

#[cfg(test)]
#[path = "dropout_tests.rs"]
mod tests;
