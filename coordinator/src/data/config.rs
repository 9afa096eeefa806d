//! What preparing data needs of a run's configuration.
//!
//! Keeps: rows depend on nothing else of it, so that `cache` can name everything they depend on.

use std::path::{Path, PathBuf};

use shared::config::{Dialogue, FormatConfig, LossOn, Overflow, PrivacyConfig, RunConfig};

/// The keys that decide how files become rows, called as in [`RunConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct DataConfig {
    /// Folder or file with the data.
    pub train_data_dir: PathBuf,
    /// CSV or JSONL whose rows are the samples.
    pub metadata_path: Option<PathBuf>,
    /// Folder of the base model, for messages.
    pub base_model: PathBuf,
    /// Tokens of the longest row.
    pub max_seq_length: u32,
    /// What is done with longer ones.
    pub overflow: Overflow,
    /// What is learned, whichever key says it.
    pub loss_on: LossOn,
    /// How plain-text dialogues are cut.
    pub dialogue: Dialogue,
    /// Names of the two columns of a CSV file.
    pub csv_columns: Option<(String, String)>,
    /// Which files, and how their fields are called.
    pub formats: FormatConfig,
    /// What is done about personal data.
    pub privacy: PrivacyConfig,
    /// Folder or file with validation data.
    pub validation_data_dir: Option<PathBuf>,
    /// Share of the samples that is kept out.
    pub validation_split: f64,
    /// Decides which samples are kept out, and the order of mixed sources.
    pub seed: u64,
}

impl From<&RunConfig> for DataConfig {
    fn from(config: &RunConfig) -> Self {
        Self {
            train_data_dir: config.train_data_dir.clone(),
            metadata_path: config.metadata_path.clone(),
            base_model: config.base_model.clone(),
            max_seq_length: config.max_seq_length,
            overflow: config.overflow,
            loss_on: config.learned(),
            dialogue: config.dialogue,
            csv_columns: config.csv_columns.clone(),
            formats: config.formats.clone(),
            privacy: config.privacy.clone(),
            validation_data_dir: config.evaluation.dir.clone(),
            validation_split: config.evaluation.split,
            seed: config.seed,
        }
    }
}

impl DataConfig {
    /// The validation data of a run are prepared like its training data, from another folder.
    #[must_use]
    pub fn of_validation(&self, folder: &Path) -> Self {
        Self {
            train_data_dir: folder.to_path_buf(),
            metadata_path: None,
            formats: FormatConfig {
                sources: Vec::new(),
                ..self.formats.clone()
            },
            validation_data_dir: None,
            validation_split: 0.0,
            ..self.clone()
        }
    }
}
