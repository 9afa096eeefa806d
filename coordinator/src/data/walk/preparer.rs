//! Conversations to rows: render, tokenize, mask.

use shared::dataset::RowOrigin;
use shared::error::{Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::chunk::Chunk;
use crate::data::config::DataConfig;
use crate::data::files;
use crate::data::sample::{Conversation, Tokenized};
use crate::data::sources::Sources;
use crate::data::tokenize::{fields, given, mask, render};

/// Everything that the rows of a run are made of.
pub(crate) struct Preparer<'a> {
    pub sources: &'a Sources<'a>,
    pub tokenizer: &'a TextTokenizer,
    /// Not needed for samples that come as tokens.
    pub template: Option<&'a ChatTemplate>,
}

impl Preparer<'_> {
    /// Makes a row of each sample, up to the first that fails.
    pub(super) fn prepare(&self, mut chunk: Chunk) -> Chunk {
        let config = self.sources.config;
        for sample in &chunk.samples {
            let Some(row) = self.row(sample) else {
                chunk.error = Some(ChatTemplate::missing(&config.base_model));
                break;
            };
            match row {
                Ok(row) => chunk.rows.push(row),
                Err(error) => {
                    chunk.error = Some(at_sample(config, error, &sample.origin));
                    break;
                }
            }
        }
        chunk
    }

    /// The row of a sample; `None` where it needs a template and there is none.
    fn row(&self, sample: &Conversation) -> Option<Result<Tokenized>> {
        let learned = self.sources.config.loss_on;
        if let Some(tokens) = &sample.tokens {
            return Some(given::row(tokens, self.tokenizer, learned));
        }
        let template = self.template?;
        let row = || {
            fields::allowed(sample, template, learned)?;
            let rendered = render(template, sample, learned)?;
            let lost = fields::lost(sample, template, &rendered.text)?;
            let row = mask(self.tokenizer, rendered)?;
            Ok(Tokenized { lost, ..row })
        };
        Some(row())
    }
}

/// An error about a sample, at its place; the template's own place becomes a reason.
fn at_sample(config: &DataConfig, mut error: Error, origin: &RowOrigin) -> Error {
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
