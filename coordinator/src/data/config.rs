//! What preparing data needs of a run's configuration.
//!
//! Keeps: rows depend on no other key, so that `cache` can name all of them.

use std::path::{Path, PathBuf};

use shared::config::{Dialogue, FormatConfig, LossOn, Overflow, PrivacyConfig, RunConfig};

/// The keys that decide how files become rows, called as the keys.
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
    pub validation_dir: Option<PathBuf>,
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
            validation_dir: config.evaluation.dir.clone(),
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
            validation_dir: None,
            validation_split: 0.0,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::config::{PrivacyMode, testing};

    use super::*;

    #[test]
    fn every_key_of_data_is_taken_over_and_no_other_counts() {
        let lines = "metadata_path: m.csv\nmax_seq_length: 77\noverflow: error\n\
                     train_on_inputs: true\ndialogue: blocks\ncsv_columns: [a, b]\nroles: [user=甲]\n\
                     privacy: mask\nvalidation_dir: v\nseed: 9\n";
        let mut run = testing::config(lines).unwrap();
        run.evaluation.split = 0.25;
        let data = DataConfig::from(&run);
        assert_eq!(data.train_data_dir, run.train_data_dir);
        assert_eq!(data.base_model, run.base_model);
        assert!(data.metadata_path.as_deref().unwrap().ends_with("m.csv"));
        assert_eq!((data.max_seq_length, data.seed), (77, 9));
        assert_eq!(
            (data.overflow, data.loss_on),
            (Overflow::Error, LossOn::All)
        );
        assert_eq!(data.dialogue, Dialogue::Blocks);
        assert_eq!(data.csv_columns, Some(("a".into(), "b".into())));
        assert_eq!(data.formats.role("甲"), Some("user"));
        assert_eq!(data.privacy.mode, PrivacyMode::Mask);
        assert!(data.validation_dir.as_deref().unwrap().ends_with("v"));
        assert_eq!(data.validation_split, 0.25);
        run.learning_rate *= 2.0;
        run.batch_size += 1;
        run.epochs += 1;
        assert_eq!(DataConfig::from(&run), data);
    }
}
