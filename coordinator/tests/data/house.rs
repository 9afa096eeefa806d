//! A run's folders with one of the small base models, and what the data room makes of them.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use coordinator::data::{DataConfig, Prepared, prepare};
use shared::config::testing;
use shared::dataset::PreparedDataset;
use shared::error::{Error, render};
use shared::text::{ChatTemplate, TextTokenizer};

/// A run's folders, with one of the small base models.
pub struct House {
    pub folder: tempfile::TempDir,
    pub config: DataConfig,
}

impl House {
    pub fn new(family: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/text/fixtures");
        let base_model = folder.path().join("base");
        fs::create_dir(&base_model).unwrap();
        for entry in fs::read_dir(fixtures.join(family)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), base_model.join(entry.file_name())).unwrap();
        }
        let train_data_dir = folder.path().join("data");
        fs::create_dir(&train_data_dir).unwrap();
        let config = config(base_model, train_data_dir);
        Self { folder, config }
    }

    pub fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.config.train_data_dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn metadata(mut self, file: &str, text: &str) -> Self {
        let path = self.folder.path().join(file);
        fs::write(&path, text).unwrap();
        self.config.metadata_path = Some(path);
        self
    }

    pub fn set(mut self, change: impl FnOnce(&mut DataConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The settings as `--set` writes them; the files stay the same.
    pub fn configured(self, sets: &[&str]) -> Self {
        let yaml = self.folder.path().join("run.yaml");
        let path = |path: &Path| path.display().to_string();
        let text = format!(
            "train_data_dir: {}\nbase_model: {}\noutput_dir: {}\nmax_seq_length: 512\n",
            path(&self.config.train_data_dir),
            path(&self.config.base_model),
            path(&self.output_dir())
        );
        fs::write(&yaml, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let loaded = shared::config::load(&yaml, &sets, self.folder.path());
        let loaded = loaded.map_err(|e| self.shown(&e)).unwrap().config;
        self.set(|config| *config = (&loaded).into())
    }

    /// Where a run of this data would write.
    pub fn output_dir(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    pub fn tokenizer(&self) -> TextTokenizer {
        TextTokenizer::load(&self.config.base_model).unwrap()
    }

    pub fn template(&self) -> Option<ChatTemplate> {
        ChatTemplate::find(&self.config.base_model).unwrap()
    }

    pub fn prepare(&self) -> Result<Prepared, Error> {
        prepare(&self.config, &self.tokenizer(), self.template().as_ref())
    }

    pub fn error(&self) -> String {
        self.shown(&self.prepare().unwrap_err())
    }

    pub fn shown(&self, error: &Error) -> String {
        render(error).replace(&self.folder.path().display().to_string(), "HOUSE")
    }

    /// Decoded text and decoded learned text of each row.
    pub fn rows(&self) -> Vec<(String, String)> {
        let tokenizer = self.tokenizer();
        let prepared = self.folder.path().join("rows");
        let path = self.prepare().unwrap().writer.publish(&prepared).unwrap();
        let dataset = PreparedDataset::open(&path).unwrap();
        let row = |row| {
            let sample = dataset.sample(row).unwrap();
            let learned: Vec<u32> = (sample.ids.iter().zip(sample.targets))
                .filter(|(_, t)| **t == 1)
                .map(|(id, _)| *id)
                .collect();
            let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap();
            (text(sample.ids), text(&learned))
        };
        (0..dataset.len()).map(row).collect()
    }
}

fn config(base_model: PathBuf, train_data_dir: PathBuf) -> DataConfig {
    let lines = "lora_rank: 16\nlora_dropout: 0.1\ntarget_modules: all-linear\nmicro_batch_size: 1\n\
                 epochs: 1\nlearning_rate: 1e-4\nmax_seq_length: 512\ndevice: cpu\nsave_steps: 50\n";
    DataConfig {
        train_data_dir,
        base_model,
        ..DataConfig::from(&testing::config(lines).unwrap())
    }
}

/// Two questions and their answers.
pub const DIALOGUE: &str =
    "用户：试用期多久？\n律师：最长六个月。\n用户：押金退吗？\n律师：应当退还。\n";

/// A house whose data is this JSONL.
pub fn jsonl(text: &str) -> House {
    House::new("chatml").with("a.jsonl", text)
}

/// What each row learns, without the token that ends an answer.
pub fn learned(house: &House) -> Vec<String> {
    let rows = house.rows().into_iter();
    rows.map(|(_, learned)| learned.replace("<|im_end|>", "|"))
        .collect()
}

/// The settings among the remedies.
pub fn settings(house: &House) -> Vec<String> {
    let error = house.prepare().unwrap_err();
    let set = |fix: &String| {
        let rest = fix.split_once("--set ")?.1;
        Some(match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?.0.to_owned(),
            None => rest.split([' ', ',']).next()?.to_owned(),
        })
    };
    error.fix.iter().filter_map(set).collect()
}
