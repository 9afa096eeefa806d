//! Fields and roles under the names that the configuration gives.
//!
//! In: `columns`, `csv_columns`, `roles`; an object or a table's header. Out: the same under names
//! that the readers know. Keeps: where a part is named, no other field is taken for it; a question,
//! an answer, a list of turns or tokens that is named must be there.

use std::path::Path;

use serde_json::{Map, Value};
use shared::config::FormatConfig;
use shared::error::Result;

use super::at::At;
use super::columns::{self, INPUT_IDS, TURN_LISTS};
use super::preference;
use crate::data::config::DataConfig;

/// Parts without which there is no sample.
const NEEDED: &[&str] = &["question", "answer", "messages", "input_ids"];
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
        for named in self.of_samples() {
            if NEEDED.contains(&named.part.as_str()) && !object.contains_key(&named.name) {
                let keys: Vec<&str> = object.keys().map(String::as_str).collect();
                return Err(at
                    .unknown(format!("`{}` is missing", named.name))
                    .why(format!("its keys: {}", keys.join(", ")))
                    .why(format!("`columns` says `{}={}`", named.part, named.name))
                    .fix(format!(
                        "--set columns=[{}=NAME] with one of the keys",
                        named.part
                    )));
            }
        }
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

    /// A table's header under known names; columns that are put aside have no name.
    pub(crate) fn header(self, path: &Path, header: &[String]) -> Result<Vec<String>> {
        let missing = self
            .of_samples()
            .find(|named| !header.iter().any(|h| h.trim() == named.name));
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

    fn of_samples(self) -> impl Iterator<Item = &'a shared::config::Named> {
        let columns = self.formats.columns.iter();
        columns.filter(|named| !OF_TURNS.contains(&named.part.as_str()))
    }

    /// The part that a field is named to be.
    fn part_of(self, key: &str) -> Option<&'a str> {
        let named = self.of_samples().find(|named| named.name == key);
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
        let (role, content) = (self.formats.column("role"), self.formats.column("content"));
        let turn = |turn: Value| {
            let Value::Object(turn) = turn else {
                return turn;
            };
            let field = |(key, value): (String, Value)| {
                let key = if Some(key.as_str()) == role {
                    "role".to_owned()
                } else if Some(key.as_str()) == content {
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
            Value::Object(turn.into_iter().map(field).collect())
        };
        Value::Array(turns.into_iter().map(turn).collect())
    }
}
