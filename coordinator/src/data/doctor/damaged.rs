//! Texts that were damaged before they came here.

use super::check::{Check, Found, Seen};
use super::finding::Kind;
use super::text::counted;
use crate::data::damage::{Damage, Damages};

/// Samples with each kind of damage, in the order of [`Damage::ALL`].
#[derive(Default)]
pub(super) struct Damaged([Vec<u32>; Damage::ALL.len()]);

const fn kind(damage: Damage) -> Kind {
    match damage {
        Damage::Mojibake => Kind::Mojibake,
        Damage::Replacements => Kind::LostCharacters,
        Damage::Controls => Kind::ControlCharacters,
        Damage::SpreadsheetErrors => Kind::SpreadsheetErrors,
        Damage::NoValues => Kind::NoValues,
    }
}

impl Check for Damaged {
    fn see(&mut self, index: u32, sample: &Seen<'_>) {
        let texts = sample.messages.iter().map(|m| Damages::of(&m.content));
        let found = texts.fold(Damages::default(), Damages::and);
        for (samples, damage) in self.0.iter_mut().zip(Damage::ALL) {
            if found.has(*damage) {
                samples.push(index);
            }
        }
    }

    fn findings(&self) -> Vec<Found> {
        let found = self
            .0
            .iter()
            .zip(Damage::ALL)
            .filter(|(samples, _)| !samples.is_empty());
        let found = found.map(|(samples, damage)| {
            let count = counted(samples.len(), "sample has", "samples have");
            Found::each(kind(*damage), format!("{count} {damage}"), samples.clone())
        });
        found.collect()
    }
}
