//! What was written, taken key by key, to a [`RunConfig`].
//!
//! In: the layers of file and `--set`. Out: the values, their origins, and a problem for each value
//! that cannot be used.
//! Keeps: every key is read before any value is asked for, so that all problems are found.

mod groups;

use std::path::{Path, PathBuf};

use super::adapter::Checkpointing;
use super::document::{Item, Source};
use super::formats::{FormatConfig, Mixing};
use super::formatted;
use super::keys::{Fallback, KEYS, Key, Kind, find};
use super::layers::{Layers, Written, said};
use super::load::Origins;
use super::rules;
use super::run::{DeviceClassPolicy, Dialogue, LossOn, Overflow, Precision, RunConfig, TaskType};
use super::value::{self, Problem, Read, bounds};
use crate::error::{Code, Error};

/// Takes the values one by one and remembers origins and problems.
pub(super) struct Reader<'a> {
    /// What was written, and every problem so far.
    pub layers: Layers,
    /// Where each value taken came from.
    pub origins: Origins,
    cwd: &'a Path,
}

impl<'a> Reader<'a> {
    /// Over these layers; relative paths start from `cwd`.
    pub(super) fn new(layers: Layers, cwd: &'a Path) -> Self {
        Self {
            layers,
            origins: Origins::new(),
            cwd,
        }
    }

    /// One error for all required keys that are neither written nor misspelt.
    pub(super) fn missing_keys(&mut self) {
        let missing: Vec<&Key> = KEYS
            .iter()
            .filter(|key| key.default == Fallback::Required)
            .filter(|key| !self.layers.written.contains_key(key.name))
            .filter(|key| !self.layers.misspelt.contains(key.name))
            .collect();
        let names: Vec<String> = missing
            .iter()
            .map(|key| format!("`{}`", key.name))
            .collect();
        let what = match names.as_slice() {
            [] => return,
            [name] => format!("the required key {name} is missing"),
            names => format!("the required keys {} are missing", names.join(", ")),
        };
        let mut error = Error::new(Code::MissingKey, what).in_file(&self.layers.file_name);
        for key in missing {
            error = error
                .why(format!("`{}`: {}", key.name, key.about))
                .fix(format!("add `{}: {}`", key.name, key.example));
        }
        self.layers.problems.push(error);
    }

    /// Reads what was written, else the default; `None` when a problem was found or when there is
    /// nothing to read.
    fn take<T>(&mut self, name: &str, read: impl Fn(&Key, &Item) -> Read<T>) -> Option<T> {
        let key = find(name)?;
        if let Some(written) = self.layers.written.get(key.name) {
            return match read(key, &written.value) {
                Ok(value) => {
                    self.origins.insert(key.name.into(), written.origin());
                    Some(value)
                }
                Err(problem) => {
                    let error = coded(key, &problem, written);
                    self.layers.problems.push(error);
                    None
                }
            };
        }
        let Fallback::Value(text) = key.default else {
            return None;
        };
        let item = Source::new("default", text).item().ok()?;
        let value = read(key, &item).ok()?;
        self.origins.insert(key.name.into(), "default".into());
        Some(value)
    }

    /// Reads what was written, else derives it.
    fn take_or<T>(
        &mut self,
        name: &str,
        read: impl Fn(&Key, &Item) -> Read<T>,
        derived: Option<T>,
    ) -> Option<T> {
        let key = find(name)?;
        if self.layers.written.contains_key(key.name) {
            return self.take(name, read);
        }
        if let Fallback::Derived { from, .. } = key.default {
            self.origins
                .insert(key.name.into(), format!("derived from {from}"));
        }
        derived
    }

    fn path(&mut self, name: &str) -> Option<PathBuf> {
        let cwd = self.cwd;
        self.take(name, |key, item| value::path(key, item, cwd))
    }

    fn optional_path(&mut self, name: &str) -> Option<Option<PathBuf>> {
        let cwd = self.cwd;
        self.take(name, |key, item| value::optional_path(key, item, cwd))
    }

    fn whole(&mut self, name: &str) -> Option<u64> {
        self.take(name, whole)
    }

    fn small(&mut self, name: &str) -> Option<u32> {
        self.whole(name).and_then(|value| u32::try_from(value).ok())
    }

    fn optional_whole(&mut self, name: &str) -> Option<Option<u64>> {
        self.take(name, |key, item| {
            let (least, most) = bounds(key.kind);
            let minus_one = matches!(
                key.kind,
                Kind::OptionalWhole {
                    minus_one: true,
                    ..
                }
            );
            value::optional_whole(key, item, least, most, minus_one)
        })
    }

    fn optional_small(&mut self, name: &str) -> Option<Option<u32>> {
        self.optional_whole(name)
            .map(|value| value.and_then(|value| u32::try_from(value).ok()))
    }

    fn real(&mut self, name: &str) -> Option<f64> {
        self.take(name, real)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, value::flag)
    }

    fn choice<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let word = self.take(name, word)?;
        serde_json::from_value(word.into()).ok()
    }

    fn task_type(&mut self) -> Option<TaskType> {
        self.take("task_type", value::task)
            .map(|()| TaskType::TextGeneration)
    }

    fn micro_batch_size(&mut self, batch: Option<u32>, accumulation: Option<u32>) -> Option<u32> {
        let unit = batch.zip(accumulation).map(|(b, a)| default_micro(b, a));
        let size = self.take_or("micro_batch_size", whole, unit)?;
        u32::try_from(size).ok()
    }

    /// What the data is made of; `csv_columns` and `metadata_path` say some of it in another way.
    fn formats(
        &mut self,
        metadata: &Option<Option<PathBuf>>,
        csv_columns: &Option<Option<(String, String)>>,
    ) -> Option<FormatConfig> {
        let sources = self.take("data_sources", formatted::sources);
        let mixing = self.choice::<Mixing>("data_mixing");
        let columns = self.take("columns", formatted::named);
        let roles = self.take("roles", formatted::named);
        let formats = FormatConfig {
            sources: sources?,
            mixing: mixing?,
            columns: columns?,
            roles: roles?,
        };
        let mut against = Vec::new();
        if matches!(csv_columns, Some(Some(_))) && !formats.columns.is_empty() {
            against.push(("csv_columns", "columns"));
        }
        if matches!(metadata, Some(Some(_))) && !formats.sources.is_empty() {
            against.push(("metadata_path", "data_sources"));
        }
        for (one, other) in &against {
            let error = rules::two_that_say_the_same(&self.layers, one, other);
            self.layers.problems.push(error);
        }
        against.is_empty().then_some(formats)
    }

    /// Both flags are read before either is judged, so that both can be wrong.
    fn precision(&mut self) -> Option<Precision> {
        let (fp16, bf16) = (self.flag("fp16"), self.flag("bf16"));
        match (fp16?, bf16?) {
            (true, true) => {
                let error = rules::both_precisions(&self.layers);
                self.layers.problems.push(error);
                None
            }
            (true, false) => Some(Precision::Fp16),
            (false, true) => Some(Precision::Bf16),
            (false, false) => Some(Precision::F32),
        }
    }

    /// `train_on_inputs` and `loss_on`: two keys of one choice, each derived from the other.
    fn learned(&mut self) -> Option<(bool, LossOn)> {
        let flag_written = self.layers.written.contains_key("train_on_inputs");
        let whole = self.flag("train_on_inputs");
        let derived = whole.map(|whole| if whole { "all" } else { "response" });
        let loss_on = self.take_or("loss_on", word, derived)?;
        let loss_on: LossOn = serde_json::from_value(loss_on.into()).ok()?;
        let all = loss_on == LossOn::All;
        if whole? != all && flag_written {
            let error = rules::loss_on_and_train_on_inputs(&self.layers, all);
            self.layers.problems.push(error);
            return None;
        }
        if whole? != all {
            let origin = "derived from loss_on".to_owned();
            self.origins.insert("train_on_inputs".into(), origin);
        }
        Some((all, loss_on))
    }

    fn resume(&mut self) -> Option<Option<String>> {
        let cwd = self.cwd;
        self.take("resume_from_checkpoint", |key, item| {
            value::resume(key, item, cwd)
        })
    }

    /// Every key is read before any is asked for, so that every problem is found.
    pub(super) fn config(&mut self) -> Option<RunConfig> {
        let [train_data_dir, base_model, output_dir] =
            ["train_data_dir", "base_model", "output_dir"].map(|name| self.path(name));
        let [metadata_path, init_adapter, parent] =
            ["metadata_path", "init_adapter", "parent"].map(|name| self.optional_path(name));
        let task_type = self.task_type();
        let lora_rank = self.small("lora_rank");
        let twice = lora_rank.map(|rank| 2.0 * f64::from(rank));
        let lora_alpha = self.take_or("lora_alpha", real, twice);
        let lora_dropout = self.real("lora_dropout");
        let [use_rslora, parent_optimizer] =
            ["use_rslora", "parent_optimizer"].map(|name| self.flag(name));
        let adapter = self.adapter();
        let target_modules = self.target_modules(adapter.as_ref());
        let batch_size = self.small("batch_size");
        let gradient_accumulation_steps = self.small("gradient_accumulation_steps");
        let micro_batch_size = self.micro_batch_size(batch_size, gradient_accumulation_steps);
        let [epochs, max_seq_length, min_workers] =
            ["epochs", "max_seq_length", "min_workers"].map(|name| self.small(name));
        let max_steps = self.optional_whole("max_steps");
        let (learning_rate, lr_scheduler_type, warmup_steps, warmup_ratio) = self.schedule();
        let [weight_decay, max_grad_norm] =
            ["weight_decay", "max_grad_norm"].map(|name| self.real(name));
        let seed = self.whole("seed");
        let precision = self.precision();
        let quantization = self.quantization();
        let activation_checkpointing = self.choice::<Checkpointing>("activation_checkpointing");
        let stability = self.stability();
        let overflow = self.choice::<Overflow>("overflow");
        let device = self.take("device", value::device);
        let [save_steps, logging_steps] =
            ["save_steps", "logging_steps"].map(|name| self.whole(name));
        let save_total_limit = self.optional_small("save_total_limit");
        let evaluation = self.evaluation();
        let [shuffle, group_by_length, packing] =
            ["shuffle", "group_by_length", "packing"].map(|name| self.flag(name));
        let (train_on_inputs, loss_on) = self.learned().unzip();
        let resume_from_checkpoint = self.resume();
        let max_workers = self.optional_small("max_workers");
        let [failure_detection, ride_through, audit_rate] =
            ["failure_detection", "ride_through", "audit_rate"].map(|name| self.real(name));
        let device_class = self.choice::<DeviceClassPolicy>("device_class");
        let dialogue = self.choice::<Dialogue>("dialogue");
        let csv_columns = self.take("csv_columns", value::columns);
        let privacy = self.privacy();
        let formats = self.formats(&metadata_path, &csv_columns);
        Some(RunConfig {
            train_data_dir: train_data_dir?,
            metadata_path: metadata_path?,
            base_model: base_model?,
            task_type: task_type?,
            output_dir: output_dir?,
            lora_rank: lora_rank?,
            lora_alpha: lora_alpha?,
            lora_dropout: lora_dropout?,
            target_modules: target_modules?,
            use_rslora: use_rslora?,
            adapter: adapter?,
            init_adapter: init_adapter?,
            parent: parent?,
            parent_optimizer: parent_optimizer?,
            batch_size: batch_size?,
            gradient_accumulation_steps: gradient_accumulation_steps?,
            micro_batch_size: micro_batch_size?,
            epochs: epochs?,
            max_steps: max_steps?,
            learning_rate: learning_rate?,
            lr_scheduler_type: lr_scheduler_type?,
            warmup_steps: warmup_steps?,
            warmup_ratio: warmup_ratio?,
            weight_decay: weight_decay?,
            max_grad_norm: max_grad_norm?,
            seed: seed?,
            precision: precision?,
            quantization: quantization?,
            activation_checkpointing: activation_checkpointing?,
            stability: stability?,
            max_seq_length: max_seq_length?,
            overflow: overflow?,
            device: device?,
            save_steps: save_steps?,
            save_total_limit: save_total_limit?,
            logging_steps: logging_steps?,
            evaluation: evaluation?,
            shuffle: shuffle?,
            group_by_length: group_by_length?,
            packing: packing?,
            train_on_inputs: train_on_inputs?,
            loss_on: loss_on?,
            resume_from_checkpoint: resume_from_checkpoint?,
            min_workers: min_workers?,
            max_workers: max_workers?,
            failure_detection: failure_detection?,
            ride_through: ride_through?,
            device_class: device_class?,
            audit_rate: audit_rate?,
            dialogue: dialogue?,
            csv_columns: csv_columns?,
            privacy: privacy?,
            formats: formats?,
        })
    }
}

fn whole(key: &Key, item: &Item) -> Read<u64> {
    let (least, most) = bounds(key.kind);
    value::whole(key, item, least, most)
}

fn word(key: &Key, item: &Item) -> Read<&'static str> {
    match key.kind {
        Kind::Choice(words) => value::choice(key, item, words),
        _ => value::choice(key, item, &[]),
    }
}

fn real(key: &Key, item: &Item) -> Read<f64> {
    match &key.kind {
        Kind::Real(range) => value::real(key, item, range),
        _ => value::real(key, item, &super::keys::UNBOUNDED),
    }
}

/// An eighth of the global batch, from 1 to `batch_size`.
fn default_micro(batch_size: u32, accumulation: u32) -> u64 {
    let global = u64::from(batch_size) * u64::from(accumulation);
    (global / 8).max(1).min(u64::from(batch_size))
}

/// Gives a problem its place, its default and its remedy.
fn coded(key: &Key, problem: &Problem, written: &Written) -> Error {
    let place = match problem.part {
        Some(mark) => written.source.place(mark),
        None => written.place(),
    };
    let mut error = Error::new(problem.code, &problem.what)
        .at(place)
        .why(match key.default {
            Fallback::Required => format!("`{}` is the {}", key.name, key.about),
            default => format!("without the key it would be {}", said(&default)),
        });
    for line in &problem.fix {
        error = error.fix(line);
    }
    if problem.fix.is_empty() {
        let example = if written.source.inline {
            format!("--set {}={}", key.name, key.example.replace(", ", ","))
        } else {
            format!("{}: {}", key.name, key.example)
        };
        error = error.fix(format!("write it as in `{example}`"));
    }
    error
}
