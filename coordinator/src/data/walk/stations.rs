//! The stations between the files of a run and whoever collects its samples.
//!
//! In: pieces of files. Out: chunks in the order of the files, to one collector. All cores parse and
//! look for personal data; placeholders are given in order; all cores render and tokenize. A station
//! that is absent lets every sample pass, and costs neither a thread nor a queue: its neighbours
//! become one.

use std::sync::mpsc;

use shared::error::{Code, Error, Result};

use super::chunk::Chunk;
use super::preparer::Preparer;
use crate::data::parallel::{ordered, threads};
use crate::data::pieces::{Piece, Pieces};
use crate::data::privacy::{Privacy, Treatment};
use crate::data::sources::Sources;

/// A piece and its number.
type Numbered = (u64, Result<Piece>);

/// What is done with every sample.
pub(super) struct Stations<'a, 'p> {
    pub sources: &'a Sources<'a>,
    /// Looks for personal data.
    pub privacy: Option<&'a Privacy>,
    /// Counts what was found, and replaces it; in order, because placeholders are numbered.
    pub treatment: Option<&'a mut Treatment<'p>>,
    /// Renders and tokenizes; without it samples stay conversations.
    pub preparer: Option<&'a Preparer<'a>>,
    /// So many pieces need no rows: an interrupted walk has made them.
    pub skip: u64,
}

impl Stations<'_, '_> {
    /// Sends all pieces through the stations.
    ///
    /// # Errors
    /// The collector's first; [`Code::Internal`] when a thread panics.
    pub(super) fn pass(
        self,
        pieces: Pieces<'_>,
        collect: &mut dyn FnMut(Chunk) -> Result<()>,
    ) -> Result<()> {
        let Self {
            sources,
            privacy,
            treatment,
            preparer,
            skip,
        } = self;
        let read = |(index, piece): Numbered| {
            // Placeholders are numbered from the first sample on: where they are given, all are read.
            if index < skip && privacy.is_none() {
                return Chunk::done(index);
            }
            let mut chunk = Chunk::parse(sources, index, piece);
            if let Some(privacy) = privacy {
                chunk.look(privacy);
            }
            chunk
        };
        let prepare = |chunk: Chunk| match preparer {
            Some(preparer) if chunk.index >= skip => preparer.prepare(chunk),
            _ => chunk,
        };
        let pieces = (0_u64..).zip(pieces);
        match treatment {
            None => ordered(pieces, |piece| prepare(read(piece)), collect),
            Some(treatment) => treated(pieces, read, treatment, prepare, collect),
        }
    }
}

/// All stations, with one in the middle that takes chunks in order.
fn treated(
    pieces: impl Iterator<Item = Numbered> + Send,
    read: impl Fn(Numbered) -> Chunk + Sync + Send,
    treatment: &mut Treatment<'_>,
    prepare: impl Fn(Chunk) -> Chunk + Sync,
    collect: &mut dyn FnMut(Chunk) -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Chunk>(threads());
        let treating = scope.spawn(move || {
            ordered(pieces, read, &mut |mut chunk| {
                chunk.treat(treatment);
                // Whoever took them has failed, and tells why.
                send.send(chunk)
                    .map_err(|_| Error::new(Code::Internal, "nobody takes samples"))
            })
        });
        let collected = ordered(receive.into_iter(), prepare, collect);
        let treated = treating.join().map_err(|_| {
            Error::new(
                Code::Internal,
                "a thread that looks for personal data ended without a result",
            )
        })?;
        collected.and(treated)
    })
}
