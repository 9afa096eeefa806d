//! `coordinator data ...`: the doors into the data room.

pub mod check;
pub mod mask;
pub mod prepare;
pub mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use shared::config;
use shared::error::Result;
use shared::model::ModelConfig;
use shared::text::{ChatTemplate, TextTokenizer};

use super::Output;
use crate::data::DataConfig;
use crate::start::belongs;

/// What to do with the data.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// Find what should be mended before training: repeated, contradictory, cut and odd samples.
    Check(CheckArgs),
    /// Print samples as the trainer sees them: what is learned and what is only read.
    Show(ShowArgs),
    /// Write a copy of the data with placeholders for personal data.
    Mask(mask::MaskArgs),
    /// Prepare the data of a run into its output_dir, without running it.
    Prepare(Source),
}

/// The configuration whose data is meant.
#[derive(Clone, Debug, Args)]
pub struct Source {
    /// The run's YAML.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Options of `data check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// The configuration that names the data.
    #[command(flatten)]
    pub source: Source,
    /// Where the whole report is written as JSON.
    #[arg(long, value_name = "FILE", default_value = "data_report.json")]
    pub report: PathBuf,
    /// How the report is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Options of `data show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The configuration that names the data.
    #[command(flatten)]
    pub source: Source,
    /// The file, by its path below `train_data_dir`.
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    /// A line of the sample; default: the first sample.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub line: Option<u64>,
    /// So many samples from there.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Every token on a line of its own, with its id.
    #[arg(long)]
    pub ids: bool,
    /// How samples are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl Opened {
    /// Refuses tokens that the base model's embedding has no row for, where its configuration is there.
    fn within_the_embedding(&self) -> Result<()> {
        match ModelConfig::load(&self.config.base_model) {
            Ok(shape) => {
                let model = belongs::Model {
                    shape: &shape,
                    tokenizer: &self.tokenizer,
                    template: self.template.as_ref(),
                };
                belongs::within_the_embedding(&self.config, model)
            }
            Err(_) => Ok(()),
        }
    }
}

/// What the data is read with.
struct Opened {
    config: DataConfig,
    output_dir: PathBuf,
    tokenizer: TextTokenizer,
    template: Option<ChatTemplate>,
}

fn open(source: &Source, cwd: &Path) -> Result<Opened> {
    let config = config::load(&source.config, &source.set, cwd)?.config;
    config::check_paths(&config)?;
    Ok(Opened {
        tokenizer: TextTokenizer::load(&config.base_model)?,
        template: ChatTemplate::find(&config.base_model)?,
        config: (&config).into(),
        output_dir: config.output_dir,
    })
}
