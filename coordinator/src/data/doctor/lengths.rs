//! Samples far longer or shorter than the others.

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::counted;

/// Fewer samples have no usual length.
const SAMPLES: usize = 20;
/// A length is odd when it is so many times the upper quartile, or less than that part of the lower
/// one.
const TIMES: u32 = 5;

#[derive(Default)]
pub(super) struct Lengths(Vec<u32>);

impl Check for Lengths {
    fn see(&mut self, _: u32, sample: &Seen<'_>) {
        self.0
            .push(u32::try_from(sample.ids.len()).unwrap_or(u32::MAX));
    }

    fn findings(&self) -> Vec<Found> {
        if self.0.len() < SAMPLES {
            return Vec::new();
        }
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let (lower, upper) = (sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4]);
        let odd = |tokens: u32| {
            tokens > upper.saturating_mul(TIMES) || tokens.saturating_mul(TIMES) < lower
        };
        let places: Vec<u32> = (0..)
            .zip(&self.0)
            .filter(|(_, tokens)| odd(**tokens))
            .map(|(index, _)| index)
            .collect();
        if places.is_empty() {
            return Vec::new();
        }
        let what = format!(
            "{} of an odd length: half of all samples have {lower} to {upper} tokens",
            counted(places.len(), "sample is", "samples are"),
        );
        vec![Found::each(Kind::OddLengths, what, places)]
    }
}
