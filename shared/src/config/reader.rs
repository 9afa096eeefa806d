//! What was written, taken key by key.
//!
//! In: the layers of file and `--set`. Out: the values, their origins, and a problem for each value
//! that cannot be used.

use std::path::Path;

use super::choices::{LossOn, Precision};
use super::document::Source;
use super::field::Field;
use super::joined;
use super::key::{Fallback, Key};
use super::layers::{Layers, Written};
use super::loaded::Origins;
use super::row::Take;
use super::value::Problem;
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
    pub(super) fn missing_keys(&mut self, keys: impl Iterator<Item = &'static Key>) {
        let missing: Vec<&Key> = keys
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
}

impl Take for Reader<'_> {
    fn take<T: Field>(&mut self, key: &'static Key) -> Option<T> {
        if let Some(written) = self.layers.written.get(key.name) {
            return match T::read(key, &written.value, self.cwd) {
                Ok(value) => {
                    self.origins.insert(key.name.into(), written.origin());
                    Some(value)
                }
                Err(problem) => {
                    let problem =
                        problem.or_meant(key, &written.value, written.source.inline, |item| {
                            T::read(key, item, self.cwd).is_ok()
                        });
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
        let value = T::read(key, &item, self.cwd).ok()?;
        self.origins.insert(key.name.into(), "default".into());
        Some(value)
    }

    fn take_or<T: Field>(&mut self, key: &'static Key, derived: Option<T>) -> Option<T> {
        if self.layers.written.contains_key(key.name) {
            return self.take(key);
        }
        if let Fallback::Derived { from, .. } = key.default {
            self.origins
                .insert(key.name.into(), format!("derived from {from}"));
        }
        derived
    }

    fn precision(&mut self, fp16: Option<bool>, bf16: Option<bool>) -> Option<Precision> {
        match (fp16?, bf16?) {
            (true, true) => {
                let error = joined::both_precisions(&self.layers);
                self.layers.problems.push(error);
                None
            }
            (true, false) => Some(Precision::Fp16),
            (false, true) => Some(Precision::Bf16),
            (false, false) => Some(Precision::F32),
        }
    }

    fn learned(&mut self, whole: Option<bool>, loss: Option<LossOn>) -> Option<(bool, LossOn)> {
        let (whole, loss) = (whole?, loss?);
        let all = loss == LossOn::All;
        if whole != all && self.layers.written.contains_key("train_on_inputs") {
            let error = joined::loss_on_and_train_on_inputs(&self.layers, all);
            self.layers.problems.push(error);
            return None;
        }
        if whole != all {
            let origin = "derived from loss_on".to_owned();
            self.origins.insert("train_on_inputs".into(), origin);
        }
        Some((all, loss))
    }

    fn said_once(&mut self, both: &[(&'static str, &'static str, bool)]) -> bool {
        for (one, other, _) in both.iter().filter(|(_, _, set)| *set) {
            let error = joined::two_that_say_the_same(&self.layers, one, other);
            self.layers.problems.push(error);
        }
        both.iter().all(|(_, _, set)| !set)
    }
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
            default => format!("without the key it would be {}", default.said()),
        });
    if let Some(odd) = &problem.odd {
        error = error.why(odd);
    }
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
