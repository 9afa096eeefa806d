//! One written value to one typed value, or the reason why not.
//!
//! In: an [`Item`] and its [`Key`]. Out: the typed value, or a [`Problem`] without its place (the
//! caller knows whether a file or `--set` wrote it).
//! Keeps: numbers may be written as text, booleans may not; nothing is rounded, cut or guessed.

use std::path::{Path, PathBuf};

use super::choices::{TASKS, TaskType};
use super::document::{Item, Mark, Node, Source, shorten};
use super::key::{Key, Kind, UNBOUNDED};
use super::look_alike;
use super::words::nearest;
use crate::error::Code;

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// `E0103`, `E0104` or another.
    pub code: Code,
    /// What is wrong.
    pub what: String,
    /// Remedies that are better than the key's example.
    pub fix: Vec<String>,
    /// Where the wrong part stands, when it is one item of a list.
    pub part: Option<Mark>,
    /// Which of its characters are not what they look like.
    pub odd: Option<String>,
}

/// A value or why not.
pub(super) type Read<T> = Result<T, Problem>;

impl Problem {
    pub(super) fn new(code: Code, what: String) -> Self {
        Self {
            code,
            what,
            fix: Vec::new(),
            part: None,
            odd: None,
        }
    }

    /// The problem with the remedy that `reads` shows to work: the characters that were meant, or nothing.
    pub(super) fn or_meant(
        mut self,
        key: &Key,
        item: &Item,
        inline: bool,
        reads: impl Fn(&Item) -> bool,
    ) -> Self {
        let text = match &item.node {
            Node::Text(text) => text.clone(),
            Node::List(items) => {
                let texts = items.iter().filter_map(|item| match &item.node {
                    Node::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                format!("[{}]", texts.collect::<Vec<_>>().join(", "))
            }
            _ => return self,
        };
        let text = text.as_str();
        self.odd = look_alike::told(text);
        let meant = look_alike::meant(text);
        let again = Source::new("meant", meant.trim()).item();
        if self.odd.is_some() && again.as_ref().is_ok_and(&reads) {
            let meant = meant.trim();
            return self.fix_first(match inline {
                true => format!("--set {}={}", key.name, meant.replace(", ", ",")),
                false => format!("write `{}: {meant}`", key.name),
            });
        }
        if is_nothing(text) && self.fix.is_empty() {
            let null = Item {
                node: Node::Null,
                mark: item.mark,
            };
            return self.fix(match (reads(&null), inline) {
                (true, true) => format!("--set {}=null: nothing is `null` in YAML", key.name),
                (true, false) => format!(
                    "write `{}: null`, or leave the value empty: nothing is `null` in YAML",
                    key.name
                ),
                (false, true) => format!("leave it out, or --set {}={}", key.name, key.example),
                (false, false) => format!(
                    "remove `{}`, or write a value such as {}",
                    key.name, key.example
                ),
            });
        }
        self
    }

    fn fix_first(mut self, line: String) -> Self {
        self.fix.insert(0, line);
        self
    }

    pub(super) fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    pub(super) fn within(mut self, item: &Item) -> Self {
        self.part = Some(item.mark);
        self
    }
}

pub(super) fn must(code: Code, key: &Key, item: &Item) -> Problem {
    let what = format!(
        "`{}` must be {}, got {}",
        key.name,
        key.kind.describe(),
        item.node.describe()
    );
    Problem::new(code, what)
}

pub(super) fn wrong_type(key: &Key, item: &Item) -> Problem {
    if item.node == Node::Null {
        let what = format!("`{}` has no value", key.name);
        let problem = Problem::new(Code::WrongType, what);
        return problem.fix(format!(
            "write a value, such as {}, or remove the key",
            key.example
        ));
    }
    must(Code::WrongType, key, item)
}

pub(super) fn out_of_range(key: &Key, item: &Item) -> Problem {
    must(Code::OutOfRange, key, item)
}

/// Whether a text is what other languages write for nothing.
fn is_nothing(text: &str) -> bool {
    let word = text.trim().to_lowercase();
    ["none", "nil", "null", "undefined", "nan", "n/a"].contains(&word.as_str())
}

/// A number as it was written.
enum Number {
    Whole(i128),
    Real(f64),
}

fn number(node: &Node) -> Option<Number> {
    match node {
        Node::Whole(value) => Some(Number::Whole(*value)),
        Node::Real(value) => Some(Number::Real(*value)),
        Node::Text(text) => number_in_text(text.trim()),
        _ => None,
    }
}

/// Digits, sign, point and exponent only; a leading zero could mean octal and is no number.
fn number_in_text(text: &str) -> Option<Number> {
    let digits = text.trim_start_matches(['-', '+']);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if plain && digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    if plain && let Ok(value) = text.parse() {
        return Some(Number::Whole(value));
    }
    let known = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    if !text.bytes().all(known) {
        return None;
    }
    text.parse().ok().map(Number::Real)
}

fn no_number(key: &Key, item: &Item) -> Problem {
    let problem = wrong_type(key, item);
    let Node::Text(text) = &item.node else {
        return problem;
    };
    let written = text.trim();
    let digits = written.trim_start_matches('0');
    // Behind a comma three digits may be thousands or decimals: neither is guessed.
    let thousands = written
        .split_once(',')
        .is_some_and(|(_, behind)| behind.len() == 3);
    let real = matches!(key.kind, Kind::Real(_)) && (!thousands || written.starts_with('0'));
    let pointed = written.replacen(',', if real { "." } else { "," }, 1);
    let share = written.strip_suffix('%').map(str::trim);
    let share = share.and_then(|share| share.parse::<f64>().ok());
    let before = written.split_once('#').map(|(before, _)| before.trim());
    if number_in_text(digits).is_some() {
        problem.fix(format!(
            "write {digits}: a leading zero means octal to some programs"
        ))
    } else if pointed != written && number_in_text(&pointed).is_some() {
        problem.fix(format!("write {pointed}: the sign of decimals is a point"))
    } else if let Some(share) = share {
        problem.fix(format!("write {}: percent are not read", share / 100.0))
    } else if let Some(before) = before.filter(|before| number_in_text(before).is_some()) {
        problem.fix(format!(
            "write {before} and a blank before `#`, where a comment begins"
        ))
    } else {
        problem
    }
}

/// A whole number within the key's bounds, perhaps a power of two; `4.0` and `1e3` are whole.
pub(super) fn whole(key: &Key, item: &Item) -> Read<u64> {
    let (least, most) = match key.kind {
        Kind::Whole { least, most } | Kind::OptionalWhole { least, most, .. } => (least, most),
        Kind::PowerOfTwo { most } => (1, most),
        _ => (0, u64::MAX),
    };
    let value = within(key, item, least, most)?;
    if matches!(key.kind, Kind::PowerOfTwo { .. }) && !value.is_power_of_two() {
        let problem = out_of_range(key, item);
        return Err(problem.fix(format!("the next lower one is {}", 1u64 << value.ilog2())));
    }
    Ok(value)
}

fn within(key: &Key, item: &Item, least: u64, most: u64) -> Read<u64> {
    /// Above this not every whole number has its own f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = match number(&item.node) {
        None => return Err(no_number(key, item)),
        Some(Number::Whole(value)) => value,
        #[allow(clippy::cast_possible_truncation)]
        Some(Number::Real(value)) if value.fract() == 0.0 && value.abs() < EXACT => value as i128,
        Some(Number::Real(value)) if value.is_finite() && value.fract() != 0.0 => {
            return Err(wrong_type(key, item));
        }
        Some(Number::Real(_)) => return Err(out_of_range(key, item)),
    };
    match u64::try_from(value) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(out_of_range(key, item)),
    }
}

/// A whole number as [`whole`] reads it, or nothing; -1 is nothing too where the key says so.
pub(super) fn optional_whole(key: &Key, item: &Item) -> Read<Option<u64>> {
    let minus_one = matches!(
        key.kind,
        Kind::OptionalWhole {
            minus_one: true,
            ..
        }
    );
    match number(&item.node) {
        _ if item.node == Node::Null => Ok(None),
        Some(Number::Whole(-1)) if minus_one => Ok(None),
        _ => whole(key, item).map(Some),
    }
}

/// A number within the key's range.
pub(super) fn real(key: &Key, item: &Item) -> Read<f64> {
    let range = match key.kind {
        Kind::Real(range) => range,
        _ => UNBOUNDED,
    };
    let value = match number(&item.node) {
        None => return Err(no_number(key, item)),
        #[allow(clippy::cast_precision_loss)]
        Some(Number::Whole(value)) => value as f64,
        Some(Number::Real(value)) => value,
    };
    // A zero has one sign here, so that equal settings are equal text.
    if range.holds(value) {
        Ok(value + 0.0)
    } else {
        Err(out_of_range(key, item))
    }
}

/// `true` or `false`.
pub(super) fn flag(key: &Key, item: &Item) -> Read<bool> {
    match &item.node {
        Node::Flag(value) => Ok(*value),
        Node::Text(text) => {
            let problem = wrong_type(key, item);
            Err(match text.trim().to_lowercase().as_str() {
                "true" => problem.fix("write `true`, without quotes"),
                "false" => problem.fix("write `false`, without quotes"),
                "yes" | "on" | "y" => problem.fix("write `true`"),
                "no" | "off" | "n" => problem.fix("write `false`"),
                _ => problem,
            })
        }
        _ => Err(wrong_type(key, item)),
    }
}

/// One of the key's words.
pub(super) fn choice(key: &Key, item: &Item, words: &[&'static str]) -> Read<&'static str> {
    let Node::Text(text) = &item.node else {
        return Err(wrong_type(key, item));
    };
    if let Some(word) = words.iter().find(|word| *word == text) {
        return Ok(word);
    }
    Err(with_nearest(out_of_range(key, item), text, words))
}

pub(super) fn with_nearest(problem: Problem, text: &str, words: &[&str]) -> Problem {
    match nearest(&text.to_lowercase(), words.iter().copied()) {
        Some((word, likeness)) if likeness >= 0.6 => problem.fix(format!("did you mean `{word}`?")),
        _ => problem,
    }
}

/// The kind of training.
pub(super) fn task(key: &Key, item: &Item) -> Read<TaskType> {
    let Node::Text(text) = &item.node else {
        return Err(wrong_type(key, item));
    };
    if TASKS.contains(&text.as_str()) {
        return Ok(TaskType::TextGeneration);
    }
    if nearest(&text.to_lowercase(), TASKS.iter().copied()).is_some_and(|near| near.1 >= 0.8) {
        return Err(with_nearest(out_of_range(key, item), text, TASKS));
    }
    let what = format!("`task_type: {}` is not built yet", shorten(text));
    Err(Problem::new(Code::NotYet, what).fix(
        "write `text-generation`: adapters for causal language models (PEFT's `CAUSAL_LM`) \
         are the one task this version trains",
    ))
}

/// A path that is given; relative ones are laid on `cwd`.
pub(super) fn path(key: &Key, item: &Item, cwd: &Path) -> Read<PathBuf> {
    match optional_path(key, item, cwd)? {
        Some(path) => Ok(path),
        None => Err(Problem::new(
            Code::MissingKey,
            format!("`{}` is required and empty", key.name),
        )),
    }
}

/// A path, or nothing.
pub(super) fn optional_path(key: &Key, item: &Item, cwd: &Path) -> Read<Option<PathBuf>> {
    let text = match &item.node {
        Node::Null => return Ok(None),
        Node::Text(text) if text.is_empty() => return Ok(None),
        Node::Text(text) if is_nothing(text) && !matches!(key.kind, Kind::Path) => {
            let what = format!(
                "`{}` names a path `{text}`; nothing is `null` in YAML",
                key.name
            );
            return Err(Problem::new(Code::WrongType, what)
                .fix(format!(
                    "write `{}: null`, or leave the value empty",
                    key.name
                ))
                .fix(format!(
                    "write `./{text}` for a file or folder of that name"
                )));
        }
        Node::Text(text) => text,
        Node::Whole(_) | Node::Real(_) | Node::Flag(_) => {
            return Err(wrong_type(key, item).fix("put the path in quotes"));
        }
        Node::List(_) | Node::Map(_) => return Err(wrong_type(key, item)),
    };
    if text.contains("://") {
        let what = format!(
            "`{}` names an address; only local paths are built yet",
            key.name
        );
        return Err(
            Problem::new(Code::NotYet, what).fix(format!("write a path such as {}", key.example))
        );
    }
    absolute(key, text, cwd).map(Some)
}

/// Lays a path on `cwd` and leaves out its `.` parts; `..` stays, as links may lie before it.
fn absolute(key: &Key, text: &str, cwd: &Path) -> Read<PathBuf> {
    let path: PathBuf = cwd.join(text).components().collect();
    if path.to_str().is_none() {
        let what = format!("`{}` lies in a folder whose name is not UTF-8", key.name);
        return Err(Problem::new(Code::OutOfRange, what).fix("start from another folder"));
    }
    Ok(path)
}

pub(super) fn no_name(key: &Key, entry: &Item) -> Problem {
    let what = format!(
        "a name in `{}` must be text, got {}",
        key.name,
        entry.node.describe()
    );
    Problem::new(Code::WrongType, what)
        .fix("put the name in quotes")
        .within(entry)
}

/// Names of the question and the answer column.
pub(super) fn columns(key: &Key, item: &Item) -> Read<Option<(String, String)>> {
    let items = match &item.node {
        Node::Null => return Ok(None),
        Node::List(items) => items.as_slice(),
        _ => return Err(wrong_type(key, item)),
    };
    let [question, answer] = items else {
        return Err(out_of_range(key, item));
    };
    let name = |entry: &Item| match &entry.node {
        Node::Text(name) if !name.is_empty() => Ok(name.clone()),
        Node::Text(_) => Err(out_of_range(key, entry).within(entry)),
        _ => Err(no_name(key, entry)),
    };
    let (question, answer) = (name(question)?, name(answer)?);
    if question == answer {
        let what = format!("`{}` names the same column twice", key.name);
        return Err(Problem::new(Code::Contradiction, what));
    }
    Ok(Some((question, answer)))
}

/// The device that a run computes on, as text.
pub(super) fn device(key: &Key, item: &Item) -> Read<String> {
    let Node::Text(text) = &item.node else {
        return Err(wrong_type(key, item));
    };
    let number = text.strip_prefix("cuda:");
    let numbered =
        number.is_some_and(|n| n.parse::<u16>().is_ok_and(|value| value.to_string() == n));
    if numbered || matches!(text.as_str(), "auto" | "cpu" | "cuda") {
        return Ok(text.clone());
    }
    let problem = out_of_range(key, item);
    Err(match text.to_lowercase().as_str() {
        "gpu" => problem.fix("write `cuda` for an NVIDIA GPU"),
        "mps" | "xpu" | "rocm" | "npu" | "tpu" => {
            problem.fix("write `cpu`: of the accelerators only CUDA is built")
        }
        lower => with_nearest(problem, lower, &["auto", "cpu", "cuda"]),
    })
}

/// `latest`, a checkpoint folder, or nothing.
pub(super) fn resume(key: &Key, item: &Item, cwd: &Path) -> Read<Option<String>> {
    match &item.node {
        Node::Text(text) if text == "latest" => Ok(Some(text.clone())),
        Node::Flag(_) => Err(wrong_type(key, item)
            .fix("write `latest` to continue from the newest checkpoint, or remove the key")),
        _ => {
            let path = optional_path(key, item, cwd)?;
            Ok(path.and_then(|path| path.to_str().map(str::to_owned)))
        }
    }
}
