//! Conversations to rows: render, tokenize, mask.

use shared::dataset::RowOrigin;
use shared::error::{Error, Result};
use shared::text::{ChatTemplate, TextTokenizer};

use super::chunk::Chunk;
use crate::data::config::DataConfig;
use crate::data::files;
use crate::data::sample::{Conversation, Tokenized};
use crate::data::sources::Sources;
use crate::data::tokenize::{Renderer, fields, given, mask, text};

/// Everything that the rows of a run are made of.
pub(crate) struct Preparer<'a> {
    pub sources: &'a Sources<'a>,
    pub tokenizer: &'a TextTokenizer,
    /// Not needed for samples that come as tokens.
    pub template: Option<&'a ChatTemplate>,
}

impl Preparer<'_> {
    /// Makes the rows of each sample, up to the first that fails.
    pub(super) fn prepare(&self, mut chunk: Chunk) -> Chunk {
        let config = self.sources.config;
        for sample in &chunk.samples {
            let Some(rows) = self.rows(sample) else {
                chunk.error = Some(ChatTemplate::missing(&config.base_model));
                break;
            };
            match rows {
                Ok(rows) => chunk.rows.push(rows),
                Err(error) => {
                    chunk.error = Some(at_sample(config, error, &sample.origin));
                    break;
                }
            }
        }
        chunk
    }

    /// The rows of a sample; `None` where it needs a template and there is none.
    fn rows(&self, sample: &Conversation) -> Option<Result<Vec<Tokenized>>> {
        let config = self.sources.config;
        if let Some(tokens) = &sample.tokens {
            let row = given::row(tokens, self.tokenizer, config.loss_on);
            return Some(row.map(|row| vec![row]));
        }
        if let Some(plain) = sample.plain_text() {
            return Some(text::rows(plain, self.tokenizer, config));
        }
        let template = self.template?;
        let rows = || {
            fields::allowed(sample, template, config.loss_on)?;
            let renderer = Renderer {
                template,
                tokenizer: self.tokenizer,
                config,
            };
            let rendered = renderer.render(sample)?.into_iter();
            rendered.map(|one| mask(self.tokenizer, one)).collect()
        };
        Some(rows())
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
