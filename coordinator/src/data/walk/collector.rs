//! The end of a walk: rows are counted and kept, and every now and then become durable.
//!
//! In: chunks in order. Out: rows and their report. Keeps: a later walk over the same sources goes on
//! from the last durable point.

use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::dataset::DatasetWriter;
use shared::error::{Code, Error, Result};
use shared::text::TextTokenizer;

use super::chunk::Chunk;
use super::progress::Progress;
use crate::data::config::DataConfig;
use crate::data::files::Beside;
use crate::data::files::blocks::BLOCK;
use crate::data::pieces::Position;
use crate::data::privacy::PrivacyReport;
use crate::data::rows::{RowStats, Rows};
use crate::data::sample::{Conversation, Tokenized};

const REBUILT: &str = "transformers 5 builds the tokenizer of this folder (LlamaTokenizer) anew and gives prompts other ids than \
    its tokenizer.json, which this run, transformers 4 and SentencePiece follow; answers have the same ids. Ask the adapter \
    with one of these, or load the tokenizer with PreTrainedTokenizerFast";

/// What is done with the rows of a walk, and who is told.
pub(crate) struct WalkOptions<'a> {
    /// Sees each sample with its rows before they are cut to length.
    pub see: &'a mut dyn FnMut(&Conversation, &[Tokenized]),
    pub progress: &'a mut dyn FnMut(Progress),
    /// Rows are kept, not only counted.
    pub rows: bool,
    /// Folder and name under which an interrupted walk is continued.
    pub durable: Option<(&'a Path, &'a str)>,
}

/// Where an interrupted walk goes on.
#[derive(Serialize, Deserialize)]
struct DurablePoint {
    /// Pieces whose rows are durable.
    pieces: u64,
    /// Bytes of a block then: they decide where pieces begin.
    block: usize,
    #[serde(rename = "noted")]
    stats: RowStats,
}

/// Takes chunks in order.
pub(super) struct RowCollector<'a> {
    config: &'a DataConfig,
    options: WalkOptions<'a>,
    rows: Rows,
    position: Position,
    /// Pieces that an interrupted walk has done.
    skip: u64,
    /// Samples that it has done.
    resumed: u64,
}

impl<'a> RowCollector<'a> {
    /// Begins a walk, or goes on with one that was interrupted.
    ///
    /// # Errors
    /// [`Code::Io`], [`Code::Locked`].
    pub(super) fn begin(
        config: &'a DataConfig,
        options: WalkOptions<'a>,
        position: Position,
        beside: &Beside,
    ) -> Result<Self> {
        let mut collector = Self {
            config,
            rows: Rows::new(config, options.rows.then(DatasetWriter::new)),
            options,
            position,
            skip: 0,
            resumed: 0,
        };
        collector.resume()?;
        if collector.skip == 0 {
            collector.rows.note_beside(beside);
        }
        collector.tell(false);
        Ok(collector)
    }

    /// Notes what is to be said of the tokenizer, once.
    pub(super) fn note_tokenizer(&mut self, tokenizer: &TextTokenizer) {
        if self.skip == 0 && tokenizer.is_rebuilt_by_transformers() {
            self.rows.stats.report.notices.push(REBUILT.to_owned());
        }
    }

    fn resume(&mut self) -> Result<()> {
        let Some((folder, key)) = self.options.durable else {
            return Ok(());
        };
        if let Some((writer, state)) = DatasetWriter::resume(folder, key)?
            && let Ok(point) = serde_json::from_value::<DurablePoint>(state)
            && point.block == BLOCK
        {
            self.skip = point.pieces;
            self.resumed = point.stats.seen;
            self.rows.stats = point.stats;
            self.rows.writer = Some(writer);
        }
        Ok(())
    }

    /// So many pieces need no rows.
    pub(super) fn skip(&self) -> u64 {
        self.skip
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// The chunk's own; [`Code::Io`] when rows cannot be written.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<()> {
        if chunk.index < self.skip {
            // Its rows are there; what an error would be was none then.
            return Ok(());
        }
        self.rows.note_file(chunk.report, chunk.notices);
        for (sample, damages) in chunk.samples.iter().zip(&chunk.damages) {
            self.rows.stats.damaged.add(sample, *damages);
        }
        for (sample, rows) in chunk.samples.iter().zip(chunk.rows) {
            (self.options.see)(sample, &rows);
            self.rows.add(self.config, sample, rows);
        }
        if let Some(error) = chunk.error {
            return Err(error);
        }
        if let (Some(writer), Some((folder, key))) = (&mut self.rows.writer, self.options.durable)
            && writer.is_due()
        {
            let point = DurablePoint {
                pieces: chunk.index + 1,
                block: BLOCK,
                stats: self.rows.stats.clone(),
            };
            let state = serde_json::to_value(point)
                .map_err(|e| Error::new(Code::Internal, format!("a durable point: {e}")))?;
            writer.keep(folder, key, state)?;
        }
        self.tell(false);
        Ok(())
    }

    /// All chunks came: what only the whole tells.
    ///
    /// # Errors
    /// Those of [`Rows::end`].
    pub(super) fn finish(
        mut self,
        privacy: Option<PrivacyReport>,
        beside: &Beside,
    ) -> Result<Rows> {
        self.rows.stats.report.privacy = privacy;
        self.rows.end(self.config, beside)?;
        self.tell(true);
        Ok(self.rows)
    }

    fn tell(&mut self, done: bool) {
        let progress = Progress {
            samples: self.rows.stats.seen,
            resumed: self.resumed,
            bytes: self.position.taken(),
            total_bytes: self.position.total,
            done,
        };
        (self.options.progress)(progress);
    }
}
