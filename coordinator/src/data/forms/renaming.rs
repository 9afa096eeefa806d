//! Fields and roles under the names that the configuration gives.
//!
//! In: `columns`, `csv_columns`, `roles`; an object or a table's header. Out: the same under names
//! that the readers know. Keeps: where a part is named, no other field is taken for it; of a part with several
//! names, and of a sample's forms (question and answer, turns, tokens), what is named must be there once.

use std::path::Path;

use serde_json::{Map, Value};
use shared::config::{FormatConfig, Named};
use shared::error::{Error, Result};

use super::ambiguity;
use super::at::At;
use super::columns::{self, INPUT_IDS, TURN_LISTS};
use super::preference;
use crate::data::config::DataConfig;

/// The forms of a sample, each by the parts without which it is none.
const FORMS: &[&[&str]] = &[&["question", "answer"], &["messages"], &[INPUT_IDS]];
/// Parts of a turn.
const OF_TURNS: &[&str] = &["role", "content"];

/// How a run's files name things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renaming<'a> {
    /// The question and the answer column of tables, no other being read.
    pub csv: Option<&'a (String, String)>,
    /// `columns` and `roles`.
    pub formats: &'a FormatConfig,
}

impl<'a> Renaming<'a> {
    pub(crate) fn of(config: &'a DataConfig) -> Self {
        Self {
            csv: config.csv_columns.as_ref(),
            formats: &config.formats,
        }
    }

    /// An object under known names, and the fields that were put aside for it.
    pub(crate) fn object(
        self,
        object: Map<String, Value>,
        at: At<'_>,
    ) -> Result<(Map<String, Value>, Vec<String>)> {
        let formats = self.formats;
        if formats.columns.is_empty() && formats.roles.is_empty() {
            return Ok((object, Vec::new()));
        }
        self.one_form(&object, at)?;
        let mut renamed = Map::new();
        let mut aside = Vec::new();
        for (key, value) in object {
            match self.part_of(&key) {
                Some(part) if part == "messages" => {
                    renamed.insert(part.to_owned(), self.turns(value));
                }
                Some(part) => {
                    renamed.insert(part.to_owned(), value);
                }
                None if self.aside(&key) => aside.push(key),
                None if TURN_LISTS.contains(&key.as_str()) => {
                    let turns = self.turns(value);
                    renamed.insert(key, turns);
                }
                None => {
                    renamed.insert(key, value);
                }
            }
        }
        Ok((renamed, aside))
    }

    /// Of the forms whose parts are named, an object has one, and each of its parts under one name.
    fn one_form(self, object: &Map<String, Value>, at: At<'_>) -> Result<()> {
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let there = |part: &str| -> Vec<&'a str> {
            let names = self.of_samples().filter(|named| named.part == part);
            let names = names.map(|named| named.name.as_str());
            names.filter(|name| object.contains_key(*name)).collect()
        };
        for named in self.of_samples() {
            if let [one, other, ..] = there(&named.part)[..] {
                let why = format!("`columns` says that both are the {}", named.part);
                let ways = [one, other].map(|name| self.with(&named.part, name));
                return Err(ambiguity::sample(at, &keys, &why, ways));
            }
        }
        let named = |part: &&str| self.of_samples().any(|named| named.part == **part);
        let forms = FORMS.iter().filter(|parts| parts.iter().any(&named));
        let lacks = |part: &&str| named(part) && there(part).is_empty();
        let forms = forms.map(|parts| parts.iter().copied().find(lacks));
        let forms: Vec<Option<&str>> = forms.collect();
        match (forms.first(), forms.iter().filter(|m| m.is_none()).count()) {
            (None, _) | (_, 1) => Ok(()),
            (Some(Some(part)), 0) => Err(self.missing(part, &keys, at)),
            _ => {
                let why = "`columns` names parts of two forms, and both are there";
                Err(ambiguity::sample(at, &keys, why, []).fix(
                    "name the parts of one form in `columns`, or put the files of each form into a run of its own",
                ))
            }
        }
    }

    fn missing(self, part: &str, keys: &[&str], at: At<'_>) -> Error {
        let names = self.of_samples().filter(|named| named.part == part);
        let names: Vec<&str> = names.map(|named| named.name.as_str()).collect();
        let said: Vec<String> = names.iter().map(|n| format!("`{part}={n}`")).collect();
        at.unknown(format!("`{}` is missing", names.join("` or `")))
            .why(format!("its keys: {}", keys.join(", ")))
            .why(format!("`columns` says {}", said.join(", ")))
            .fix(format!(
                "{} with one of the keys for NAME",
                self.with(part, "NAME")
            ))
    }

    /// `--set` for `columns` as it is, but for the name of one part.
    fn with(self, part: &str, name: &str) -> String {
        let columns = self.formats.columns.iter();
        let others = columns.filter(|named| named.part != part);
        let others = others.map(|named| (named.part.as_str(), named.name.as_str()));
        let all: Vec<(&str, &str)> = std::iter::once((part, name)).chain(others).collect();
        columns::setting(&all)
    }

    /// A table's header under known names; columns that are put aside have no name.
    pub(crate) fn header(self, path: &Path, header: &[String]) -> Result<Vec<String>> {
        let there = |named: &Named| header.iter().any(|h| h.trim() == named.name);
        let pairs = self
            .of_samples()
            .any(|n| FORMS[0].contains(&n.part.as_str()));
        let other = |part: &str| pairs && FORMS[1..].iter().any(|form| form.contains(&part));
        let missing = self.of_samples().find(|named| {
            let mut names = self.of_samples().filter(|other| other.part == named.part);
            !named.name.is_empty() && !other(&named.part) && !names.any(there)
        });
        if let Some(named) = missing {
            let why = format!("`columns` names `{}`, which is not among them", named.name);
            return Err(columns::unknown(path, header, &why));
        }
        let one = |name: &String| match self.part_of(name.trim()) {
            Some(part) => part.to_owned(),
            None if self.aside(name.trim()) => String::new(),
            None => name.clone(),
        };
        preference::header(path, header.iter().map(one).collect(), self.formats)
    }

    fn of_samples(self) -> impl Iterator<Item = &'a Named> {
        let columns = self.formats.columns.iter();
        columns.filter(|named| !OF_TURNS.contains(&named.part.as_str()))
    }

    /// The part that a field is named to be.
    fn part_of(self, key: &str) -> Option<&'a str> {
        let mut named = self.of_samples().filter(|named| !named.name.is_empty());
        let named = named.find(|named| named.name == key);
        named.map(|named| named.part.as_str())
    }

    /// Whether the field would be taken for a part that another one is named to be.
    fn aside(self, key: &str) -> bool {
        let whole = |part: &str| part == "messages" || part == INPUT_IDS;
        let sample = TURN_LISTS.contains(&key) || key == INPUT_IDS;
        self.of_samples().any(|named| {
            let part = named.part.as_str();
            (whole(part) && sample) || part == key || columns::fits(part, key)
        })
    }

    /// Turns with known names of their fields and roles.
    fn turns(self, turns: Value) -> Value {
        let Value::Array(turns) = turns else {
            return turns;
        };
        let is = |part: &str, key: &str| {
            let mut named = self.formats.columns.iter().filter(|n| n.part == part);
            named.any(|named| named.name == key)
        };
        let turn = |turn: Value| {
            let Value::Object(turn) = turn else {
                return turn;
            };
            // A field that is named goes before one that is called so already.
            let own = |part: &str| turn.keys().any(|key| is(part, key));
            let (role, content) = (own("role"), own("content"));
            let kept = |key: &str| {
                let taken = |part: &str, known: [&str; 2], own: bool| {
                    own && known.contains(&key) && !is(part, key)
                };
                !taken("role", ["role", "from"], role)
                    && !taken("content", ["content", "value"], content)
            };
            let field = |(key, value): (String, Value)| {
                let key = if is("role", &key) {
                    "role".to_owned()
                } else if is("content", &key) {
                    "content".to_owned()
                } else {
                    key
                };
                let speaks = key == "role" || key == "from";
                let known = value.as_str().filter(|_| speaks);
                let known = known.and_then(|name| self.formats.role(name));
                let value = known.map_or(value.clone(), Value::from);
                (key, value)
            };
            let fields: Vec<(String, Value)> = turn
                .iter()
                .filter(|(key, _)| kept(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            Value::Object(fields.into_iter().map(field).collect())
        };
        Value::Array(turns.into_iter().map(turn).collect())
    }
}
