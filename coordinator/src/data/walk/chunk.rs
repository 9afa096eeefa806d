//! Some samples on their way through the stations, and what each station leaves with them.

use shared::error::{Error, Result};

use crate::data::damage::Damages;
use crate::data::file_report::FileReport;
use crate::data::forms::{Renaming, json, json_array};
use crate::data::pieces::Piece;
use crate::data::privacy::{Found, Privacy, Treatment};
use crate::data::sample::{Conversation, Tokenized};
use crate::data::sources::Sources;

/// The samples of one piece of a file.
#[derive(Default)]
pub(super) struct Chunk {
    /// Number of the piece, from 0.
    pub index: u64,
    pub samples: Vec<Conversation>,
    /// What is known of the file, and whether this is only a further part of it.
    pub report: Option<(FileReport, bool)>,
    pub notices: Vec<String>,
    /// What is damaged in each sample.
    pub damages: Vec<Damages>,
    /// Personal data of each sample, until it is treated.
    pub found: Vec<Found>,
    /// The rows of each sample, in their order.
    pub rows: Vec<Vec<Tokenized>>,
    /// The failure that ends the walk behind these samples.
    pub error: Option<Error>,
}

impl Chunk {
    /// A piece whose rows are there already.
    pub(super) fn done(index: u64) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// Samples of a piece that are rows, up to the first that cannot be read.
    pub(super) fn parse(sources: &Sources<'_>, index: u64, piece: Result<Piece>) -> Self {
        let mut chunk = Self::done(index);
        match piece {
            Err(error) => chunk.error = Some(error),
            Ok(Piece::Samples(samples)) => chunk.samples = samples,
            Ok(Piece::Elements(elements)) => {
                let found = json_array::read(&elements, sources.config);
                chunk.samples = found.conversations;
                chunk.report = Some((found.report, true));
                chunk.error = found.error;
            }
            Ok(Piece::End {
                report,
                notices,
                parts,
            }) => {
                chunk.report = Some((report, parts));
                chunk.notices = notices;
            }
            Ok(Piece::Lines(mut block)) => match block.text() {
                Err(error) => chunk.error = Some(error),
                Ok(text) => {
                    let renaming = Renaming::of(sources.config);
                    let found = json::lines(&block.file, &text, block.line, renaming);
                    chunk.samples = found.conversations;
                    chunk.report = Some((found.report, true));
                    chunk.error = found.error;
                }
            },
        }
        if let Some(keep) = &sources.keep {
            chunk.samples.retain(|sample| (keep.row)(sample));
        }
        let of = |sample: &Conversation| {
            let texts = sample.messages.iter().map(|m| Damages::of(&m.content));
            texts.fold(Damages::default(), Damages::and)
        };
        chunk.damages = chunk.samples.iter().map(of).collect();
        chunk
    }

    /// Looks for personal data, which stays where it is.
    pub(super) fn look(&mut self, privacy: &Privacy) {
        self.found = self.samples.iter_mut().map(|s| privacy.look(s)).collect();
    }

    /// Counts what was found, and replaces it where that is asked.
    pub(super) fn treat(&mut self, treatment: &mut Treatment<'_>) {
        for (sample, found) in self.samples.iter_mut().zip(self.found.drain(..)) {
            treatment.treat(sample, found);
        }
    }
}
