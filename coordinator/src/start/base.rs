//! The base model as a start looks at it: its configuration, tokenizer and tensor headers.
//!
//! In: the run's configuration. Out: a [`BaseModel`]. Keeps: no weight is loaded; the files are hashed
//! once and their digest is remembered outside the run.

use shared::config::{Quantization, RunConfig};
use shared::error::Result;
use shared::evaluation::Prompts;
use shared::manifest::ExpectedTensor;
use shared::model::{self, AdapterShape, ModelConfig};
use shared::text::{ChatTemplate, TextTokenizer};

use super::belongs;
use super::bounds;
use super::prompts::prompts;

/// What a run takes from its base model.
pub(super) struct BaseModel {
    /// Digest over the files of the base model.
    pub(super) digest: String,
    /// The tensors that the adapter file must hold, in canonical order.
    pub(super) expected: Vec<ExpectedTensor>,
    pub(super) tokenizer: TextTokenizer,
    pub(super) template: Option<ChatTemplate>,
    /// The prompts that each evaluation answers, as tokens.
    pub(super) prompts: Prompts,
    /// What a person should know about its parts.
    pub(super) remarks: Vec<String>,
    shape: ModelConfig,
}

impl BaseModel {
    /// Looks at the base model that a configuration names, and refuses what cannot be adapted as it asks.
    ///
    /// # Errors
    /// Whatever is wrong with `config.json`, tensor headers, tokenizer, chat template or prompts.
    pub(super) fn look(config: &RunConfig) -> Result<Self> {
        let shape = ModelConfig::load(&config.base_model)?;
        let adapter = AdapterShape::new(&config.into(), &shape)?;
        let weights = model::WeightFiles::open(&config.base_model, &shape)?;
        weights.check_form(config.quantization.form)?;
        let quantized = weights.is_quantized() || config.quantization.form != Quantization::None;
        model::check_init(quantized, config.adapter.init)?;
        let tokenizer = TextTokenizer::load(&config.base_model)?;
        let template = ChatTemplate::find(&config.base_model)?;
        let prompts = prompts(config, &shape, &tokenizer, template.as_ref())?;
        bounds::told(config, &prompts)?;
        let remarks = belongs::remarks(&config.base_model, &shape, &tokenizer, template.as_ref())?;
        Ok(Self {
            remarks,
            digest: model::base_digest(&config.base_model)?,
            expected: adapter.expected(),
            tokenizer,
            template,
            prompts,
            shape,
        })
    }

    /// Its parts that data are held against.
    pub(super) fn model(&self) -> belongs::Model<'_> {
        belongs::Model {
            shape: &self.shape,
            tokenizer: &self.tokenizer,
            template: self.template.as_ref(),
        }
    }
}
