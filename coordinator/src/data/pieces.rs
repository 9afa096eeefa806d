//! The files of a run, one piece after another.
//!
//! In: the configuration's files. Out: pieces in order: blocks of lines not yet parsed, or samples,
//! and after each file what is known of it. Keeps: JSONL (also packed) is never in memory whole; the
//! other forms are, one file at a time. The same files give the same pieces.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::error::Result;

use super::config::DataConfig;
use super::file_report::{FileReport, Form};
use super::files::blocks::{Block, BlockReader};
use super::files::{self, SourceFile};
use super::forms::{Parsed, by_ending, json, metadata, plain};
use super::sample::Conversation;

/// A file that is read whole is cut into pieces of so many samples.
const SAMPLES: usize = 256;

/// A part of a file, small enough that several can be in memory.
pub(crate) enum Piece {
    /// Lines, each an object.
    Lines(Block),
    /// Samples of a file that was read whole.
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

/// The pieces of all files.
pub(crate) struct Pieces<'a> {
    config: &'a DataConfig,
    files: VecDeque<SourceFile>,
    metadata: bool,
    open: Option<BlockReader>,
    ready: VecDeque<Piece>,
    position: Position,
    ended: bool,
}

impl<'a> Pieces<'a> {
    /// Files in order, and the names of those that nobody knows how to read.
    pub(crate) fn new(config: &'a DataConfig) -> Result<(Self, Vec<String>)> {
        let (mut known, mut skipped) = (VecDeque::new(), Vec::new());
        match &config.metadata_path {
            Some(path) => known.push_back(SourceFile::single(path)),
            None => {
                for file in files::of_run(config)? {
                    let extension = file.extension();
                    let text = plain::said(config) && plain::is_whole(&extension);
                    if text || files::KNOWN.contains(&extension.as_str()) {
                        known.push_back(file);
                    } else {
                        skipped.push(file.name);
                    }
                }
            }
        }
        let size = |file: &SourceFile| std::fs::metadata(&file.path).map_or(0, |m| m.len());
        let position = Position {
            taken: Arc::default(),
            total: known.iter().map(size).sum(),
        };
        let pieces = Self {
            config,
            files: known,
            metadata: config.metadata_path.is_some(),
            open: None,
            ready: VecDeque::new(),
            position,
            ended: false,
        };
        Ok((pieces, skipped))
    }

    pub(crate) fn position(&self) -> Position {
        self.position.clone()
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if let Some(lines) = &mut self.open {
                if let Some(block) = lines.next()? {
                    return Ok(Some(Piece::Lines(block)));
                }
                let report = FileReport::new(&lines.file().name, Form::Messages);
                self.open = None;
                return Ok(Some(Piece::End {
                    report,
                    notices: Vec::new(),
                    parts: true,
                }));
            }
            let Some(file) = self.files.pop_front() else {
                return Ok(None);
            };
            self.begin(file)?;
        }
    }

    fn begin(&mut self, file: SourceFile) -> Result<()> {
        let parsed: Vec<Parsed> = if self.metadata {
            metadata::parse(self.config, &file.path)?
        } else if let Some(lines) = self.lines(&file)? {
            self.open = Some(lines);
            return Ok(());
        } else {
            by_ending::parse(self.config, &file)?.into_iter().collect()
        };
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
        match file.extension().as_str() {
            "jsonl" => BlockReader::open(&file, &self.position.taken).map(Some),
            "json" => {
                // What stands in the first block decides, read apart.
                let mut first = match BlockReader::open(&file, &Arc::default())?.next()? {
                    Some(block) => block,
                    None => return Ok(None),
                };
                match first.text() {
                    Ok(text) if json::is_lines(&file, &text) => {
                        BlockReader::open(&file, &self.position.taken).map(Some)
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
