//! A type that a key can have: what it must be, how it is read and how it is written.

use std::path::{Path, PathBuf};

use super::adapter::{ALL_LINEAR, REGEX, TargetModules};
use super::choices::{TASKS, TaskType};
use super::document::Item;
use super::formats::{DataSource, Named};
use super::key::{ANY, Fallback, Key, Kind, UNBOUNDED, whole};
use super::privacy::{PrivacyKind, PrivacyRule};
use super::value::{self, Read, out_of_range};
use super::words::Word;
use super::yaml::{list, optional, path, quoted, real, text};
use super::{adapted, formatted, private};

/// A type that a key can have.
pub(super) trait Field: Sized {
    /// What a value must be where the key's row does not say it.
    const KIND: Kind;

    /// A written value; relative paths start from `cwd`.
    fn read(key: &Key, item: &Item, cwd: &Path) -> Read<Self>;

    /// The value as it is written.
    fn yaml(&self, key: &Key) -> String;
}

/// Types that are read without a folder: the kind, the reader, the writer.
macro_rules! fields {
    ($($ty:ty: $kind:expr, $read:expr, |$value:pat_param| $yaml:expr;)*) => {
        $(impl Field for $ty {
            const KIND: Kind = $kind;

            fn read(key: &Key, item: &Item, _: &Path) -> Read<Self> {
                $read(key, item)
            }

            fn yaml(&self, _: &Key) -> String {
                let $value = self;
                $yaml
            }
        })*
    };
}

fields! {
    bool: Kind::Flag, value::flag, |flag| flag.to_string();
    u64: whole(0, ANY), value::whole, |number| number.to_string();
    u32: whole(0, u32::MAX as u64), small, |number| number.to_string();
    f64: Kind::Real(UNBOUNDED), value::real, |number| real(*number);
    Option<u64>: optional_whole(ANY), value::optional_whole, |number| maybe(*number);
    Option<u32>: optional_whole(u32::MAX as u64), optional_small, |number| maybe(*number);
    String: Kind::Device, value::device, |device| text(device);
    TaskType: Kind::Task, value::task, |TaskType::TextGeneration| TASKS[0].into();
    TargetModules: Kind::Modules, adapted::modules, |modules| match modules {
        TargetModules::AllLinear => ALL_LINEAR.into(),
        TargetModules::Attention => "attention".into(),
        TargetModules::Mlp => "mlp".into(),
        TargetModules::Regex(pattern) => quoted(&format!("{REGEX}{pattern}")),
        TargetModules::Names(names) => each(names, |name| text(name)),
    };
    Vec<String>: Kind::Names, names_or_texts, |names| each(names, |name| text(name));
    Option<Vec<String>>: Kind::OptionalNames, adapted::optional_names, |names| {
        optional(names.as_ref().map(|names| each(names, |name| text(name))))
    };
    Option<Vec<u32>>: Kind::Layers, adapted::layers, |layers| {
        optional(layers.as_ref().map(|layers| each(layers, ToString::to_string)))
    };
    Vec<(String, u32)>: Kind::Ranks, adapted::ranks, |pattern| {
        each(pattern, |(name, rank)| text(&format!("{name}={rank}")))
    };
    Vec<(String, f64)>: Kind::Alphas, adapted::alphas, |pattern| {
        each(pattern, |(name, alpha)| text(&format!("{name}={}", real(*alpha))))
    };
    Option<(String, String)>: Kind::Columns, value::columns, |columns| {
        let pair = |(q, a): &(String, String)| format!("[{}, {}]", text(q), text(a));
        optional(columns.as_ref().map(pair))
    };
    Option<Vec<PrivacyKind>>: Kind::OptionalWords(PrivacyKind::WORDS), private::kinds, |kinds| {
        optional(kinds.as_ref().map(|kinds| each(kinds, |kind| kind.word().into())))
    };
    Vec<PrivacyRule>: Kind::Rules, private::rules, |rules| {
        each(rules, |rule| text(&format!("{}={}", rule.name, rule.pattern)))
    };
    Vec<DataSource>: Kind::Sources, formatted::sources, |sources| {
        each(sources, |s| text(&format!("{}={}", s.path, s.written_weight())))
    };
    Vec<Named>: Kind::Named(&[]), formatted::named, |names| {
        each(names, |named| text(&format!("{}={}", named.part, named.name)))
    };
}

/// A word of an enum.
impl<T: Word> Field for T {
    const KIND: Kind = Kind::Choice(T::WORDS);

    fn read(key: &Key, item: &Item, _: &Path) -> Read<Self> {
        let word = value::choice(key, item, T::WORDS)?;
        T::of_word(word).ok_or_else(|| out_of_range(key, item))
    }

    fn yaml(&self, _: &Key) -> String {
        text(self.word())
    }
}

/// A number that is nothing where it is the default.
impl Field for Option<f64> {
    const KIND: Kind = Kind::Real(UNBOUNDED);

    fn read(key: &Key, item: &Item, _: &Path) -> Read<Self> {
        let usual = match key.default {
            Fallback::Value(text) => text.parse().ok(),
            _ => None,
        };
        Ok(Some(value::real(key, item)?).filter(|number| Some(*number) != usual))
    }

    fn yaml(&self, key: &Key) -> String {
        match (self, key.default) {
            (Some(number), _) => real(*number),
            (None, Fallback::Value(text)) => text.into(),
            (None, _) => "null".into(),
        }
    }
}

impl Field for PathBuf {
    const KIND: Kind = Kind::Path;

    fn read(key: &Key, item: &Item, cwd: &Path) -> Read<Self> {
        value::path(key, item, cwd)
    }

    fn yaml(&self, _: &Key) -> String {
        path(self)
    }
}

impl Field for Option<PathBuf> {
    const KIND: Kind = Kind::OptionalPath;

    fn read(key: &Key, item: &Item, cwd: &Path) -> Read<Self> {
        value::optional_path(key, item, cwd)
    }

    fn yaml(&self, _: &Key) -> String {
        optional(self.as_deref().map(path))
    }
}

/// `latest` or a path.
impl Field for Option<String> {
    const KIND: Kind = Kind::Resume;

    fn read(key: &Key, item: &Item, cwd: &Path) -> Read<Self> {
        value::resume(key, item, cwd)
    }

    fn yaml(&self, _: &Key) -> String {
        optional(self.as_deref().map(text))
    }
}

const fn optional_whole(most: u64) -> Kind {
    Kind::OptionalWhole {
        least: 1,
        most,
        minus_one: false,
    }
}

fn small(key: &Key, item: &Item) -> Read<u32> {
    let number = value::whole(key, item)?;
    u32::try_from(number).map_err(|_| out_of_range(key, item))
}

fn optional_small(key: &Key, item: &Item) -> Read<Option<u32>> {
    let number = value::optional_whole(key, item)?;
    let small = |number| u32::try_from(number).map_err(|_| out_of_range(key, item));
    number.map(small).transpose()
}

fn names_or_texts(key: &Key, item: &Item) -> Read<Vec<String>> {
    match key.kind {
        Kind::Texts => formatted::texts(key, item),
        _ => adapted::names(key, item),
    }
}

fn maybe(number: Option<impl ToString>) -> String {
    optional(number.map(|number| number.to_string()))
}

fn each<T>(items: &[T], yaml: impl Fn(&T) -> String) -> String {
    list(items.iter().map(yaml))
}
