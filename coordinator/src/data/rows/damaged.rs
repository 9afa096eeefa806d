//! Samples whose texts were damaged before, counted.

use serde::{Deserialize, Serialize};

use crate::data::damage::{Damage, Damages};
use crate::data::listed::Places;
use crate::data::sample::Conversation;

/// Where each kind of damage is, in the order of [`Damage::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damaged([Places; Damage::ALL.len()]);

impl Damaged {
    /// Counts a sample.
    pub(crate) fn add(&mut self, sample: &Conversation, damages: Damages) {
        for (places, damage) in self.0.iter_mut().zip(Damage::ALL) {
            if damages.has(*damage) {
                places.add(|| sample.place());
            }
        }
    }

    /// A line for each kind that there is.
    pub(super) fn notices(&self) -> Vec<String> {
        let found = self
            .0
            .iter()
            .zip(Damage::ALL)
            .filter(|(places, _)| places.count > 0);
        let line = |(places, damage): (&Places, &Damage)| {
            let have = if places.count == 1 {
                "sample has"
            } else {
                "samples have"
            };
            format!("{} {have} {damage}: {places}", places.count)
        };
        found.map(line).collect()
    }
}
