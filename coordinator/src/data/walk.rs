//! The walk: files, conversations, rendered text, tokens and targets, rows.
//!
//! In: sources, tokenizer, template. Out: rows and the report. All cores parse, render and tokenize;
//! the order is that of the files and of the samples in them, whatever the number of threads; the
//! failure reported is that of the first sample that fails. Where personal data is looked for, all
//! cores look, placeholders are given in order, and then all cores render; placeholders that stand in
//! the data already are reserved in a reading of their own before. Keeps: in memory are a few blocks
//! per core. Every now and then what is done becomes durable, and a later walk over the same sources
//! goes on from there.

use std::path::Path;
use std::sync::mpsc;

use serde::{Deserialize, Serialize};
use shared::config::{PrivacyMode, RunConfig};
use shared::dataset::{DatasetWriter, RowOrigin};
use shared::error::{Code, Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::file_report::FileReport;
use super::listed::Places;
use super::mask::mask;
use super::pipeline::ordered;
use super::privacy::{Found, Privacy, Treatment};
use super::renamed::Naming;
use super::render::render;
use super::rows::{Noted, Rows, note_skipped};
use super::sample::{Conversation, Tokenized};
use super::source::{Piece, Pieces, Position, Sources};
use super::{files, json, lines, tokens};

/// How far the walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Samples done, those of an interrupted preparation too.
    pub samples: u64,
    /// Samples that an interrupted preparation had done.
    pub resumed: u64,
    /// Bytes of the files that were read.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// All is done.
    pub done: bool,
}

/// What makes rows of samples.
pub(crate) struct Way<'a> {
    pub sources: &'a Sources<'a>,
    pub tokenizer: &'a TextTokenizer,
    /// Not needed for samples that come as tokens.
    pub template: Option<&'a ChatTemplate>,
}

/// Who gets what a walk finds.
pub(crate) struct Ends<'a> {
    /// Sees each sample before it is cut to length.
    pub see: &'a mut dyn FnMut(&Conversation, &Tokenized),
    pub progress: &'a mut dyn FnMut(Progress),
    /// Rows are kept, not only counted.
    pub rows: bool,
    /// Folder and name under which an interrupted walk is continued.
    pub durable: Option<(&'a Path, &'a str)>,
}

/// What a durable point remembers.
#[derive(Serialize, Deserialize)]
struct Point {
    /// Pieces done, and what decides where they begin.
    pieces: u64,
    block: usize,
    noted: Noted,
}

/// A piece on its way.
#[derive(Default)]
struct Group {
    index: u64,
    samples: Vec<Conversation>,
    report: Option<(FileReport, bool)>,
    notices: Vec<String>,
    found: Vec<Found>,
    made: Vec<Tokenized>,
    /// What ends the walk behind these samples.
    error: Option<Error>,
}

/// From files to rows.
pub(crate) fn walk<'a>(way: &Way<'a>, ends: Ends<'a>) -> Result<Rows> {
    let config = way.sources.config;
    let (pieces, skipped) = Pieces::new(config)?;
    let mut end = End::begin(way, ends, pieces.position())?;
    if end.skip == 0 {
        note_skipped(&mut end.rows, &skipped);
    }
    end.say(false);
    let skip = end.skip;
    let numbered = (0_u64..).zip(pieces);
    let privacy = match config.privacy.mode {
        PrivacyMode::Off => None,
        PrivacyMode::Scan | PrivacyMode::Mask => Some(Privacy::new(&config.privacy)?),
    };
    match &privacy {
        None => {
            let work = |(index, piece): (u64, Result<Piece>)| match index < skip {
                true => Group {
                    index,
                    ..Group::default()
                },
                false => way.make(parse(way.sources, index, piece)),
            };
            ordered(numbered, work, &mut |group| end.take(group))?;
        }
        Some(privacy) => {
            let make = |group: Group| match group.index < skip {
                true => group,
                false => way.make(group),
            };
            let masked = config.privacy.mode == PrivacyMode::Mask;
            let treatment = reserved(way.sources, privacy, masked)?;
            end.rows.noted.report.privacy =
                Some(treated(way, treatment, numbered, make, &mut |group| {
                    end.take(group)
                })?);
        }
    }
    end.rows.read(config, &skipped)?;
    end.say(true);
    Ok(end.rows)
}

/// A treatment that knows the placeholders of the data; samples that come as tokens cannot be masked.
fn reserved<'p>(
    sources: &Sources<'_>,
    privacy: &'p Privacy,
    masked: bool,
) -> Result<Treatment<'p>> {
    let mut treatment = Treatment::new(privacy, masked);
    if masked {
        let pieces = (0_u64..).zip(Pieces::new(sources.config)?.0);
        let work = |(index, piece): (u64, Result<Piece>)| {
            let mut group = parse(sources, index, piece);
            let ready = group.samples.iter().filter(|s| s.tokens.is_some());
            let ready: Vec<String> = ready.map(Conversation::place).collect();
            let placeholders = group.samples.iter_mut();
            let placeholders: Vec<String> = placeholders
                .flat_map(|sample| privacy.reserved_in(sample))
                .collect();
            (placeholders, ready, group.error)
        };
        let mut came = Places::default();
        ordered(pieces, work, &mut |(placeholders, ready, error)| {
            placeholders.iter().for_each(|text| treatment.reserve(text));
            ready.into_iter().for_each(|place| came.add(|| place));
            error.map_or(Ok(()), Err)
        })?;
        if came.count > 0 {
            return Err(tokens::not_masked(sources.config, &came));
        }
    }
    Ok(treatment)
}

/// The walk with personal data: look, replace in order, then make rows.
fn treated<'p>(
    way: &Way<'_>,
    mut treatment: Treatment<'p>,
    pieces: impl Iterator<Item = (u64, Result<Piece>)> + Send,
    make: impl Fn(Group) -> Group + Sync,
    take: &mut dyn FnMut(Group) -> Result<()>,
) -> Result<super::privacy::PrivacyReport> {
    let sources = way.sources;
    let privacy = treatment.privacy();
    let look = |(index, piece): (u64, Result<Piece>)| {
        let mut group = parse(sources, index, piece);
        group.found = group.samples.iter_mut().map(|s| privacy.look(s)).collect();
        group
    };
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Group>(super::pipeline::threads());
        let treating = scope.spawn(move || {
            let ended = ordered(pieces, look, &mut |mut group| {
                for (sample, found) in group.samples.iter_mut().zip(group.found.drain(..)) {
                    treatment.treat(sample, found);
                }
                // Whoever took them has failed, and tells why.
                send.send(group)
                    .map_err(|_| Error::new(Code::Internal, "nobody takes samples"))
            });
            ended.map(|()| treatment.report())
        });
        let made = ordered(receive.into_iter(), make, take);
        let report = treating.join().map_err(|_| {
            Error::new(
                Code::Internal,
                "a thread that looks for personal data ended without a result",
            )
        })?;
        made.and(report)
    })
}

/// Samples of a piece, up to the first that cannot be read.
fn parse(sources: &Sources<'_>, index: u64, piece: Result<Piece>) -> Group {
    let mut group = Group {
        index,
        ..Group::default()
    };
    match piece {
        Err(error) => group.error = Some(error),
        Ok(Piece::Samples(samples)) => group.samples = samples,
        Ok(Piece::End {
            report,
            notices,
            parts,
        }) => {
            group.report = Some((report, parts));
            group.notices = notices;
        }
        Ok(Piece::Lines(mut block)) => match block.text() {
            Err(error) => group.error = Some(error),
            Ok(text) => {
                let found = json::lines(&block.file, &text, block.line, Naming::of(sources.config));
                group.samples = found.conversations;
                group.report = Some((found.report, true));
                group.error = found.error;
            }
        },
    }
    if let Some(keep) = &sources.keep {
        group.samples.retain(|sample| (keep.row)(sample));
    }
    group
}

impl Way<'_> {
    /// Renders, tokenizes and masks, up to the first sample that fails.
    fn make(&self, mut group: Group) -> Group {
        let config = self.sources.config;
        for sample in &group.samples {
            let made = match (&sample.tokens, self.template) {
                (Some(tokens), _) => tokens::row(tokens, self.tokenizer, config.learned()),
                (None, Some(template)) => render(template, sample, config.learned())
                    .and_then(|rendered| mask(self.tokenizer, rendered)),
                (None, None) => {
                    group.error = Some(ChatTemplate::missing(&config.base_model));
                    break;
                }
            };
            match made {
                Ok(made) => group.made.push(made),
                Err(error) => {
                    group.error = Some(at_sample(config, error, &sample.origin));
                    break;
                }
            }
        }
        group
    }
}

fn at_sample(config: &RunConfig, mut error: Error, origin: &RowOrigin) -> Error {
    let RowOrigin { file, line } = origin;
    if let Some(place) = error.place.take() {
        error = error.why(format!("template: {}", place.file));
    }
    let path = match &config.metadata_path {
        Some(metadata) if metadata.file_name().is_some_and(|n| n == file.as_str()) => {
            metadata.clone()
        }
        _ => files::folder(&config.train_data_dir).join(file),
    };
    error.at_line(path, *line)
}

/// The last station.
struct End<'a> {
    config: &'a RunConfig,
    ends: Ends<'a>,
    rows: Rows,
    position: Position,
    /// Pieces and samples that an interrupted walk has done.
    skip: u64,
    resumed: u64,
}

impl<'a> End<'a> {
    fn begin(way: &Way<'a>, ends: Ends<'a>, position: Position) -> Result<Self> {
        let config = way.sources.config;
        let mut end = Self {
            config,
            rows: Rows::new(config, ends.rows.then(DatasetWriter::new)),
            ends,
            position,
            skip: 0,
            resumed: 0,
        };
        let Some((folder, key)) = end.ends.durable else {
            return Ok(end);
        };
        if let Some((writer, state)) = DatasetWriter::resume(folder, key)?
            && let Ok(point) = serde_json::from_value::<Point>(state)
            && point.block == lines::BLOCK
        {
            end.skip = point.pieces;
            end.resumed = point.noted.seen;
            end.rows.noted = point.noted;
            end.rows.writer = Some(writer);
        }
        Ok(end)
    }

    fn take(&mut self, group: Group) -> Result<()> {
        if group.index < self.skip {
            // Its rows are there; what an error would be was none then.
            return Ok(());
        }
        if let Some((report, part)) = group.report {
            self.rows.file(report, part);
        }
        self.rows.noted.report.notices.extend(group.notices);
        for (sample, made) in group.samples.iter().zip(group.made) {
            (self.ends.see)(sample, &made);
            self.rows.add(self.config, sample, made);
        }
        if let Some(error) = group.error {
            return Err(error);
        }
        if let (Some(writer), Some((folder, key))) = (&mut self.rows.writer, self.ends.durable)
            && writer.is_due()
        {
            let point = Point {
                pieces: group.index + 1,
                block: lines::BLOCK,
                noted: self.rows.noted.clone(),
            };
            let state = serde_json::to_value(point)
                .map_err(|e| Error::new(Code::Internal, format!("a durable point: {e}")))?;
            writer.keep(folder, key, state)?;
        }
        self.say(false);
        Ok(())
    }

    fn say(&mut self, done: bool) {
        let progress = Progress {
            samples: self.rows.noted.seen,
            resumed: self.resumed,
            bytes: self.position.taken(),
            total_bytes: self.position.total,
            done,
        };
        (self.ends.progress)(progress);
    }
}

/// All samples with placeholders in the place of personal data, in order.
pub(crate) fn masked(
    sources: &Sources<'_>,
    privacy: &Privacy,
    see: &mut dyn FnMut(Conversation) -> Result<()>,
) -> Result<(super::privacy::PrivacyReport, Vec<String>)> {
    let (pieces, skipped) = Pieces::new(sources.config)?;
    let mut rows = Rows::new(sources.config, None);
    note_skipped(&mut rows, &skipped);
    let mut treatment = reserved(sources, privacy, true)?;
    let work = |(index, piece): (u64, Result<Piece>)| {
        let mut group = parse(sources, index, piece);
        group.found = group.samples.iter_mut().map(|s| privacy.look(s)).collect();
        group
    };
    ordered((0_u64..).zip(pieces), work, &mut |mut group| {
        if let Some((report, part)) = group.report {
            rows.file(report, part);
        }
        rows.noted.report.notices.extend(group.notices);
        for (mut sample, found) in group.samples.into_iter().zip(group.found.drain(..)) {
            rows.notice(&sample);
            treatment.treat(&mut sample, found);
            see(sample)?;
        }
        group.error.map_or(Ok(()), Err)
    })?;
    rows.read(sources.config, &skipped)?;
    Ok((treatment.report(), rows.noted.report.notices))
}
