//! A run whose input is wrong, what is said of it, and the remedy done as it is printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use coordinator::data::{self, DataConfig};
use coordinator::start::belongs;
use shared::config;
use shared::error::{Error, Result, render};
use shared::model::ModelConfig;
use shared::text::{ChatTemplate, TextTokenizer};

use crate::cases::{Apply, Case};

const RUN: &str = "train_data_dir: data\nbase_model: base\noutput_dir: out\n";
const GOOD: &str = "{\"question\": \"What is a lease?\", \"answer\": \"A contract.\"}\n";

/// The folder of one run.
pub struct Scene {
    folder: tempfile::TempDir,
    set: Vec<String>,
}

impl Scene {
    /// The input of a case, with the small base model.
    pub fn new(case: &Case) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law");
        fs::create_dir(root.join("base")).unwrap();
        for entry in fs::read_dir(model).unwrap() {
            let entry = entry.unwrap();
            let to = root.join("base").join(entry.file_name());
            if entry.file_name() == "model.safetensors" {
                continue;
            }
            fs::copy(entry.path(), to).unwrap();
        }
        fs::create_dir(root.join("data")).unwrap();
        // A case may say something on the command line.
        let given = |line: &str| line.strip_prefix("--set ").map(str::to_owned);
        let scene = Self {
            folder,
            set: case.config.lines().filter_map(given).collect(),
        };
        let lines = case.config.lines().filter(|line| given(line).is_none());
        let config: String = lines.map(|line| format!("{line}\n")).collect();
        if case.files.is_empty() {
            scene.write("data/a.jsonl", GOOD.as_bytes());
        }
        for (name, bytes) in case.files {
            scene.write(name, bytes);
        }
        // A case about the required keys says all of them itself.
        let whole = config.starts_with("train_data_dir");
        let required = if whole { "" } else { RUN };
        scene.write("run.yaml", format!("{required}{config}").as_bytes());
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn edit(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let text = String::from_utf8_lossy(&fs::read(self.path(name)).unwrap()).into_owned();
        let changed = change(&text);
        assert_ne!(text, changed, "{name} stays as it was");
        fs::write(self.path(name), changed).unwrap();
    }

    /// Everything that a start looks at before it needs the weights.
    pub fn attempt(&self) -> Result<()> {
        let cwd = self.folder.path();
        let run = config::load(Path::new("run.yaml"), &self.set, cwd)?.config;
        config::check_paths(&run)?;
        let tokenizer = TextTokenizer::load(&run.base_model)?;
        let template = ChatTemplate::find(&run.base_model)?;
        let data = DataConfig::from(&run);
        let found = data::diagnose(&data, &tokenizer, template.as_ref(), &mut |_| {})?;
        if let Some(error) = found.refused {
            return Err(error);
        }
        let shape = ModelConfig::load(&run.base_model)?;
        let model = belongs::Model {
            shape: &shape,
            tokenizer: &tokenizer,
            template: template.as_ref(),
        };
        belongs::within_the_embedding(&data, model)
    }

    /// Does what the remedy says.
    pub fn apply(&mut self, how: &Apply, error: &Error, fix: &str) {
        match how {
            Apply::Set(placeholders) => {
                let mut text = fix.to_owned();
                for (from, to) in *placeholders {
                    assert!(text.contains(from), "{fix}");
                    text = text.replace(from, to);
                }
                self.set.extend(settings(&text));
                assert!(!self.set.is_empty(), "{fix}");
            }
            Apply::Line => {
                let line = error.place.as_ref().and_then(|place| place.line).unwrap();
                let meant = fix.split('`').nth(1).unwrap().to_owned();
                self.edit("run.yaml", |text| {
                    let mut lines: Vec<&str> = text.lines().collect();
                    lines[usize::try_from(line).unwrap() - 1] = &meant;
                    lines.join("\n")
                });
            }
            Apply::Add => {
                let meant = fix.split('`').nth(1).unwrap().to_owned();
                self.edit("run.yaml", |text| format!("{text}{meant}\n"));
            }
            Apply::Edit(name, from, to) => {
                self.edit(name, |text| text.replace(from, to));
            }
            Apply::Write(name, text) => self.write(name, text.as_bytes()),
            Apply::Remove(name) => fs::remove_file(self.path(name)).unwrap(),
            Apply::Shell(placeholders) => {
                let command = fix.split_once(": ").map_or(fix, |(_, command)| command);
                let mut command = command.to_owned();
                for (from, to) in *placeholders {
                    command = command.replace(from, to);
                }
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(&command)
                    .current_dir(self.folder.path());
                let done = shell.status().unwrap();
                assert!(done.success(), "{command}");
            }
        }
    }
}

/// Every `--set` of a remedy, as a shell would pass it on.
fn settings(fix: &str) -> Vec<String> {
    let parts = fix.split("--set ").skip(1);
    let one = |part: &str| {
        if let Some(quoted) = part.strip_prefix('\'') {
            let quoted = quoted.replace("'\\''", "\u{1}");
            return quoted.split('\'').next().unwrap().replace('\u{1}', "'");
        }
        let open = part.find('[').unwrap_or(usize::MAX);
        let end = part.find([' ', '`']).unwrap_or(part.len());
        let end = if open < end {
            part.find(']').map_or(end, |at| at + 1)
        } else {
            end
        };
        part[..end].trim_end_matches([',', ':']).to_owned()
    };
    // Of two ways in one remedy the first is taken.
    parts.map(one).take(1).collect()
}

/// The error of a case among those that were told, and its remedy.
pub fn told<'a>(error: &'a Error, case: &Case) -> (&'a Error, &'a str) {
    let mut all = vec![error];
    all.extend(&error.also);
    let found = all.iter().find_map(|error| {
        let fix = error.fix.iter().find(|fix| fix.starts_with(case.fix))?;
        (error.code == case.code).then_some((*error, fix.as_str()))
    });
    found.unwrap_or_else(|| panic!("{}: no such remedy in\n{}", case.fix, render(error)))
}
