//! Samples that say nearly the same.
//!
//! MinHash over character trigrams (Broder 1997, "On the resemblance and containment of documents"),
//! candidates by banding (Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4): 64
//! hashes in 16 bands of 4. Two samples are near when at least 70 % of the hashes agree, which
//! estimates the Jaccard similarity of their trigrams. Keeps: 256 bytes per sample, no text.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::{counted, folded, key, said};

const HASHES: usize = 64;
const ROWS: usize = 4;
const GRAM: usize = 3;
/// Of the hashes, so many must agree.
const NEAR: usize = HASHES * 7 / 10;
/// Shorter samples have too few trigrams to say anything.
const SHORTEST: usize = 12;

#[derive(Default)]
pub(super) struct NearDuplicates {
    signatures: Vec<Option<Box<[u32; HASHES]>>>,
    exact: BTreeSet<[u8; 16]>,
}

impl Check for NearDuplicates {
    fn see(&mut self, _: u32, sample: &Seen<'_>) {
        let text: String = sample.messages.iter().map(|m| folded(&said(m))).collect();
        let chars: Vec<char> = text.chars().collect();
        // What is there twice in full is told elsewhere.
        let fresh = self.exact.insert(key(std::iter::once(text.as_str())));
        if chars.len() < SHORTEST || !fresh {
            self.signatures.push(None);
            return;
        }
        let signature = signature(&chars);
        self.signatures.push(Some(Box::new(signature)));
    }

    fn findings(&self) -> Vec<Found> {
        let signature = |i: u32| self.signatures.get(i as usize)?.as_deref();
        let near = |a: u32, b: u32| match (signature(a), signature(b)) {
            (Some(a), Some(b)) => a.iter().zip(b).filter(|(a, b)| a == b).count() >= NEAR,
            _ => false,
        };
        let mut leader: Vec<u32> = (0..).take(self.signatures.len()).collect();
        for band in 0..HASHES / ROWS {
            let rows = |i: u32| signature(i)?.as_chunks::<ROWS>().0.get(band).copied();
            let all = (0..).take(self.signatures.len());
            let mut keyed: Vec<_> = all.filter_map(|i| Some((rows(i)?, i))).collect();
            keyed.sort_unstable();
            for candidates in keyed.chunk_by(|a, b| a.0 == b.0) {
                // Each is compared with the first of its band: who is near to it is of its group.
                let first = candidates[0].1;
                for (_, other) in &candidates[1..] {
                    let (a, b) = (root(&leader, first), root(&leader, *other));
                    if a != b && near(first, *other) {
                        leader[a.max(b) as usize] = a.min(b);
                    }
                }
            }
        }
        let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for index in (0..).take(leader.len()) {
            groups.entry(root(&leader, index)).or_default().push(index);
        }
        let groups: Vec<_> = groups.into_values().filter(|g| g.len() > 1).collect();
        if groups.is_empty() {
            return Vec::new();
        }
        let close = groups.iter().map(|g| g.len() - 1).sum();
        let what = counted(close, "sample says", "samples say");
        vec![Found {
            kind: Kind::NearDuplicates,
            what: format!("{what} nearly the same as an earlier one"),
            groups,
        }]
    }
}

fn root(leader: &[u32], mut index: u32) -> u32 {
    while leader[index as usize] != index {
        index = leader[index as usize];
    }
    index
}

fn signature(chars: &[char]) -> [u32; HASHES] {
    let mut least = [u32::MAX; HASHES];
    for gram in chars.windows(GRAM) {
        let seed = gram
            .iter()
            .fold(0, |hash: u64, c| mixed(hash ^ u64::from(u32::from(*c))));
        for (n, slot) in (1..).zip(&mut least) {
            let hash = mixed(seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n)));
            *slot = (*slot).min((hash >> 32) as u32);
        }
    }
    least
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
const fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
