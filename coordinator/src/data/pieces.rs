//! The files of a run, one piece after another.
//!
//! In: the configuration's files. Out: pieces in order: blocks of lines not yet parsed, or samples,
//! and after each file what is known of it. Keeps: no file is in memory whole that its form allows to
//! read batch by batch. The same files give the same pieces.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::error::{Error, Result};

use super::config::DataConfig;
use super::file_report::{FileReport, Form};
use super::files::blocks::{Block, BlockReader};
use super::files::elements::{self, ElementReader, Elements, Met};
use super::files::{self, Beside, SourceFile};
use super::forms::{Batches, Parsed, by_ending, json, json_array, metadata, plain};
use super::listed::listed;
use super::sample::Conversation;

/// A metadata file's samples are cut into pieces of so many.
const SAMPLES: usize = 256;

/// A part of a file, small enough that several can be in memory.
pub(crate) enum Piece {
    /// Lines, each an object.
    Lines(Block),
    /// Elements of an array, each an object.
    Elements(Elements),
    /// Samples of a file that is read in order.
    Samples(Vec<Conversation>),
    /// A file ends; `parts` says that its lines have been counted already.
    End {
        report: FileReport,
        notices: Vec<String>,
        parts: bool,
    },
}

/// How far the files are read; every clone sees it move.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    taken: Arc<AtomicU64>,
    /// Bytes of all files.
    pub total: u64,
}

impl Position {
    /// Bytes that were read so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A file that is being read.
enum Open {
    Lines(BlockReader),
    Elements(ElementReader),
    Batches(Box<dyn Batches>),
}

/// The pieces of all files.
pub(crate) struct Pieces<'a> {
    config: &'a DataConfig,
    files: VecDeque<SourceFile>,
    skipped: Vec<String>,
    metadata: bool,
    open: Option<Open>,
    ready: VecDeque<Piece>,
    position: Position,
    ended: bool,
}

impl<'a> Pieces<'a> {
    /// Files in order, and what lies beside them.
    pub(crate) fn new(config: &'a DataConfig) -> Result<(Self, Beside)> {
        let (known, beside) = match &config.metadata_path {
            Some(path) => (vec![SourceFile::single(path)], Beside::default()),
            None => {
                let whole = |ending: &str| plain::said(config) && plain::is_whole(ending);
                files::sort_out(files::of_run(config)?, &whole)?
            }
        };
        let size = |file: &SourceFile| std::fs::metadata(&file.path).map_or(0, |m| m.len());
        let position = Position {
            taken: Arc::default(),
            total: known.iter().map(size).sum(),
        };
        let pieces = Self {
            config,
            files: known.into(),
            skipped: beside.skipped.clone(),
            metadata: config.metadata_path.is_some(),
            open: None,
            ready: VecDeque::new(),
            position,
            ended: false,
        };
        Ok((pieces, beside))
    }

    pub(crate) fn position(&self) -> Position {
        self.position.clone()
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if let Some(open) = self.open.take() {
                return self.read_on(open).map(Some);
            }
            let Some(file) = self.files.pop_front() else {
                return Ok(None);
            };
            self.begin(file).map_err(|error| self.beside(error))?;
        }
    }

    /// The next piece of the open file, the last of which tells what it was.
    fn read_on(&mut self, mut open: Open) -> Result<Piece> {
        let piece = match &mut open {
            Open::Lines(lines) => lines.next()?.map(Piece::Lines),
            Open::Elements(array) => match array.next()? {
                Met::Elements(elements) => Some(Piece::Elements(elements)),
                Met::End => None,
                Met::NoArray => return Err(json_array::error(array.file(), self.config)),
            },
            Open::Batches(batches) => {
                let batch = batches.next()?;
                (!batch.is_empty()).then_some(Piece::Samples(batch))
            }
        };
        if let Some(piece) = piece {
            self.open = Some(open);
            return Ok(piece);
        }
        let (report, notices, parts) = match open {
            Open::Lines(lines) => {
                let report = FileReport::new(&lines.file().name, Form::Messages);
                (report, lines.notices(), true)
            }
            Open::Elements(array) => {
                let report = FileReport::new(&array.file().name, Form::Messages);
                (report, array.notices(), true)
            }
            Open::Batches(batches) => {
                let (report, notices) = batches.finish();
                (report, notices, false)
            }
        };
        Ok(Piece::End {
            report,
            notices,
            parts,
        })
    }

    /// Who has to mend a file learns of those that are not read, too.
    fn beside(&self, mut error: Error) -> Error {
        if !self.skipped.is_empty() {
            error = error.why(format!(
                "beside it, and not read: {}",
                listed(&self.skipped)
            ));
        }
        files::ways_out(&self.skipped)
            .into_iter()
            .fold(error, Error::fix)
    }

    fn begin(&mut self, file: SourceFile) -> Result<()> {
        if !self.metadata {
            let encoding = self.config.formats.encoding;
            if file.extension() == "json" && elements::is_array(&file, encoding)? {
                let array = ElementReader::open(&Arc::new(file), encoding, &self.position.taken)?;
                self.open = Some(Open::Elements(array));
            } else if let Some(lines) = self.lines(&file)? {
                self.open = Some(Open::Lines(lines));
            } else if let Some(batches) = by_ending::open(self.config, &file, &self.position.taken)?
            {
                self.open = Some(Open::Batches(batches));
            }
            return Ok(());
        }
        let parsed: Vec<Parsed> = metadata::parse(self.config, &file.path)?;
        let size = std::fs::metadata(&file.path).map_or(0, |m| m.len());
        self.position.taken.fetch_add(size, Ordering::Relaxed);
        for Parsed {
            mut conversations,
            report,
            notices,
        } in parsed
        {
            while !conversations.is_empty() {
                let rest = conversations.split_off(SAMPLES.min(conversations.len()));
                self.ready.push_back(Piece::Samples(conversations));
                conversations = rest;
            }
            self.ready.push_back(Piece::End {
                report,
                notices,
                parts: false,
            });
        }
        Ok(())
    }

    /// The file as lines, when each is an object.
    fn lines(&mut self, file: &SourceFile) -> Result<Option<BlockReader>> {
        let file = Arc::new(file.clone());
        let encoding = self.config.formats.encoding;
        match file.extension().as_str() {
            "jsonl" => BlockReader::open(&file, encoding, &self.position.taken).map(Some),
            "json" => {
                // What stands in the first block decides, read apart.
                let mut first = match BlockReader::open(&file, encoding, &Arc::default())?.next()? {
                    Some(block) => block,
                    None => return Ok(None),
                };
                match first.text() {
                    Ok(text) if json::is_lines(&file, &text) => {
                        BlockReader::open(&file, encoding, &self.position.taken).map(Some)
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        if self.ended {
            return None;
        }
        let piece = self.advance().transpose();
        self.ended = !matches!(piece, Some(Ok(_)));
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn the_first_samples_come_before_a_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut csv, mut json) = ("question,answer\n".to_owned(), String::from("["));
        for n in 0..60_000 {
            let comma = if n == 0 { "" } else { "," };
            writeln!(csv, "{n}问怎么办？,\"{n}如下，\n应当依法办理。\"").unwrap();
            write!(
                json,
                "{comma}{{\"question\": \"{n}\", \"answer\": \"如下。\"}}"
            )
            .unwrap();
        }
        json.push(']');
        for (name, text) in [("a.csv", csv), ("a.json", json)] {
            let path = folder.path().join(name);
            std::fs::write(&path, &text).unwrap();
            let config = shared::config::testing::config("max_seq_length: 77\n").unwrap();
            let mut config = DataConfig::from(&config);
            config.train_data_dir = path;
            let (mut pieces, _) = Pieces::new(&config).unwrap();
            let position = pieces.position();
            pieces.next().unwrap().unwrap();
            let (taken, total) = (position.taken(), position.total);
            assert!(taken > 0 && taken * 2 < total, "{name}: {taken} of {total}");
            let rest: Vec<_> = pieces.collect::<Result<_>>().unwrap();
            assert_eq!(position.taken(), total);
            let samples: usize = rest.iter().map(samples_in).sum();
            assert!(samples > 50_000, "{samples}");
        }
    }

    fn samples_in(piece: &Piece) -> usize {
        match piece {
            Piece::Samples(samples) => samples.len(),
            Piece::Elements(elements) => elements.objects.len(),
            Piece::Lines(_) | Piece::End { .. } => 0,
        }
    }
}
