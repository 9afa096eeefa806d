//! What a key is: its name, what a value must be, what holds without it.
//!
//! Keeps: a default is written as in a file and read by the same code as a file. Not here: which keys
//! there are (see `keys`).

use super::adapter::{GROUPS, REGEX};
use super::choices::TASKS;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A path that must be given.
    Path,
    /// A path, or nothing.
    OptionalPath,
    /// A whole number.
    Whole { least: u64, most: u64 },
    /// A whole number, or nothing; -1 is nothing too where `minus_one` says so.
    OptionalWhole {
        least: u64,
        most: u64,
        minus_one: bool,
    },
    /// A power of two.
    PowerOfTwo { most: u64 },
    /// A number within a range, read as f64.
    Real(Range),
    /// `true` or `false`.
    Flag,
    /// One of the words of a list.
    Choice(&'static [&'static str]),
    /// The task that the model is trained for.
    Task,
    /// Linears that are adapted: names, a group of them, or a regular expression.
    Modules,
    /// Names of modules, perhaps none.
    Names,
    /// Names of modules, or nothing.
    OptionalNames,
    /// Numbers of layers, or nothing.
    Layers,
    /// Modules with ranks, `NAME=RANK`.
    Ranks,
    /// Modules with alphas, `NAME=ALPHA`.
    Alphas,
    /// Two column names, or nothing.
    Columns,
    /// Some of some words, or nothing.
    OptionalWords(&'static [&'static str]),
    /// Rules for personal data, each `NAME=REGEX`.
    Rules,
    /// A list of texts, such as prompts.
    Texts,
    /// Paths with weights, `PATH=WEIGHT`.
    Sources,
    /// Names of some parts, `PART=NAME`.
    Named(&'static [&'static str]),
    /// Device that a run computes on.
    Device,
    /// `latest`, a checkpoint folder, or nothing.
    Resume,
}

/// Bounds of a number, and whether they are allowed themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    /// Lower bound of the number, `f64::MIN` when there is none.
    pub low: f64,
    /// The lower bound itself is allowed.
    pub low_included: bool,
    /// Upper bound of the number, infinite or `f64::MAX` when there is none.
    pub high: f64,
    /// The upper bound itself is allowed.
    pub high_included: bool,
}

/// What holds when nobody writes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The key has no default: it must be written.
    Required,
    /// The default is this text, as YAML.
    Value(&'static str),
    /// Computed from these keys, by this rule.
    Derived {
        from: &'static str,
        rule: &'static str,
    },
}

/// What one configuration key takes, what it defaults to, and how it is explained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Name of the key, as it stands in YAML and behind `--set`.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What holds when it is not written.
    pub default: Fallback,
    /// A value for "write it as in".
    pub example: &'static str,
    /// What the key means, one sentence without a final stop.
    pub about: &'static str,
}

/// No practical upper bound.
pub(super) const ANY: u64 = i64::MAX as u64;
/// Any finite number.
pub(super) const UNBOUNDED: Range = Range {
    low: f64::MIN,
    low_included: true,
    high: f64::MAX,
    high_included: true,
};
pub(super) const fn whole(least: u64, most: u64) -> Kind {
    Kind::Whole { least, most }
}

pub(super) const fn at_least(low: f64) -> Kind {
    Kind::Real(Range {
        low,
        low_included: true,
        high: f64::INFINITY,
        high_included: false,
    })
}

pub(super) const fn between(low: f64, low_included: bool, high: f64, high_included: bool) -> Kind {
    Kind::Real(Range {
        low,
        low_included,
        high,
        high_included,
    })
}

/// Words as "`a`, `b` or `c`".
pub(super) fn either(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

impl Kind {
    /// What a value must be, in words that fit behind "must be".
    pub(super) fn describe(self) -> String {
        match self {
            Self::Path => "a path".into(),
            Self::OptionalPath => "a path or nothing".into(),
            Self::Whole { least, most } => format!("a whole number {}", bounds(least, most)),
            Self::OptionalWhole { least, most, .. } => {
                format!("a whole number {}, or nothing", bounds(least, most))
            }
            Self::PowerOfTwo { most } => format!("a power of two from 1 to 2^{}", most.ilog2()),
            Self::Real(range) => format!("a number {}", range.describe()),
            Self::Flag => "`true` or `false`".into(),
            Self::Choice(words) => either(words),
            Self::Task => either(TASKS),
            Self::Modules => format!(
                "a list of module names, one name, {}, or `{REGEX}` and a regular expression",
                either(GROUPS)
            ),
            Self::Names => "a list of module names".into(),
            Self::OptionalNames => "a list of module names, or nothing".into(),
            Self::Layers => "a list of layers, from 0, or nothing".into(),
            Self::Ranks => "a list of texts NAME=RANK, ranks from 1 to 65536".into(),
            Self::Alphas => "a list of texts NAME=ALPHA, alphas above 0".into(),
            Self::OptionalWords(words) => format!("a list of {}, or nothing", either(words)),
            Self::Texts => "a list of texts, none empty, 64 at most".into(),
            Self::Rules => "a list of texts NAME=REGEX".into(),
            Self::Sources => "a list of texts PATH=WEIGHT".into(),
            Self::Named(parts) => format!("a list of texts PART=NAME, each part {}", either(parts)),
            Self::Columns => "a list of two column names, or nothing".into(),
            Self::Device => "`auto`, `cpu`, `cuda` or `cuda:N`".into(),
            Self::Resume => "`latest`, a checkpoint folder, or nothing".into(),
        }
    }
}

fn bounds(least: u64, most: u64) -> String {
    if most == ANY {
        format!("of at least {least}")
    } else {
        format!("from {least} to {most}")
    }
}

impl Range {
    /// Whether the number lies within the bounds.
    pub(super) fn holds(&self, value: f64) -> bool {
        let low = if self.low_included {
            value >= self.low
        } else {
            value > self.low
        };
        let high = if self.high_included {
            value <= self.high
        } else {
            value < self.high
        };
        value.is_finite() && low && high
    }

    fn describe(&self) -> String {
        let low = if self.low_included {
            "of at least"
        } else {
            "above"
        };
        let high = if self.high_included {
            "at most"
        } else {
            "below"
        };
        if self.high.is_infinite() {
            format!("{low} {}", self.low)
        } else {
            format!("{low} {} and {high} {}", self.low, self.high)
        }
    }
}

impl Fallback {
    /// The default in words that fit behind "would be".
    pub(super) fn said(&self) -> String {
        match self {
            Self::Required => "missing".into(),
            Self::Value("null") => "nothing, its default".into(),
            Self::Value(text) => format!("its default, {text}"),
            Self::Derived { rule, .. } => format!("its default: {rule}"),
        }
    }

    /// The default in words, for the documents.
    #[cfg(test)]
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Required => "required".into(),
            Self::Value("null") => "nothing".into(),
            Self::Value(text) => (*text).into(),
            Self::Derived { rule, .. } => (*rule).into(),
        }
    }
}
