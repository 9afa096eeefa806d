//! Converts a LLaMA-Factory or Axolotl YAML to one of ours, with a list of the keys that could not be taken over.
//!
//! In: the file's text, the tool that it is for (or none: then its keys decide), the folder that relative paths start
//! from. Out: an [`Imported`]: our lines, each with its origin, and a [`Remark`] for every key that was not simply
//! taken over. Side effects: looks whether folders exist and reads LLaMA-Factory's `dataset_info.json`.
//! Keeps: every key of the file is in a line or in a remark; a line is written only when our configuration loader
//! accepts it; a counterpart that this version does not have yet is a remark.

mod axolotl;
mod axolotl_data;
mod dataset_info;
mod datasets;
mod llama_factory;
mod report;
mod rules;
#[cfg(test)]
mod tests;
mod tool;
mod values;
mod work;

use std::path::Path;

use serde::Serialize;
use shared::config::{self, Item, Node, Source};
use shared::error::{Code, Error, Result};

pub use tool::Tool;
use work::Work;

/// How much of a key could be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The key was taken over with another value or another meaning.
    Changed,
    /// Our configuration has no counterpart.
    NoCounterpart,
    /// The counterpart is a key that this version does not have.
    NotYet,
    /// The key is not among the tool's keys that are known here.
    Unknown,
    /// The key is empty, off, or asks for what happens here anyway.
    NothingLost,
    /// A notice of our configuration loader on the result.
    Notice,
}

/// What a person must know about one key that was not simply taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How much of the key could be taken over.
    pub outcome: Outcome,
    /// The tool's key.
    pub key: String,
    /// Line of the file that has the key, from 1; `None` for a notice.
    pub line: Option<u64>,
    /// The key's value in the file, as YAML.
    pub value: String,
    /// Why the key was not taken over as it is; empty where nothing is lost.
    pub why: String,
    /// What happens instead of what the key asked for; empty where nothing is lost.
    pub instead: String,
}

/// One line of our YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The key of our configuration.
    pub key: &'static str,
    /// The value of the key, as YAML.
    pub value: String,
    /// Origin of the value: a line of the file or a default of the tool.
    pub from: String,
}

/// The outcome of an import.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imported {
    /// The file as it was named.
    pub file: String,
    /// The tool that the file is for.
    pub tool: Tool,
    /// How the tool was decided, in words for people.
    pub decided: String,
    /// The lines of our YAML, in the order of our keys.
    pub lines: Vec<Line>,
    /// Remarks on keys, in the order of the file; notices last.
    pub remarks: Vec<Remark>,
}

/// Converts the text of a file.
///
/// # Errors
/// `E0106` when it is not YAML, `E0105` when it writes a key twice, `E0109` when it is of neither
/// tool, `E0107` when it trains something else than a LoRA adapter on answers, `E0101` when it has
/// no base model or no data, `E0304` when `dataset_info.json` cannot be read.
pub fn convert(file: &str, text: &str, from: Option<Tool>, cwd: &Path) -> Result<Imported> {
    let source = Source::new(file, text);
    let pairs = named(&source)?;
    let (tool, decided) = tool::decide(&source, &pairs, from)?;
    let mut work = Work::new(&source, tool, pairs, cwd);
    for (name, key, value) in work.pairs.clone() {
        rules::apply(&mut work, &name, &key, &value)?;
    }
    tool.defaults(&mut work)?;
    work.require()?;
    let mut imported = Imported {
        file: file.to_owned(),
        tool,
        decided,
        lines: work.lines,
        remarks: work.remarks,
    };
    let loaded = config::load_text("the imported configuration", &imported.yaml(), cwd)?;
    let order = config::values(&loaded.config);
    imported
        .lines
        .sort_by_key(|line| order.iter().position(|(key, _)| *key == line.key));
    imported
        .remarks
        .extend(loaded.notices.into_iter().map(|notice| Remark {
            outcome: Outcome::Notice,
            key: String::new(),
            line: None,
            value: String::new(),
            why: notice,
            instead: String::new(),
        }));
    Ok(imported)
}

/// The file's key-value pairs with their names; a name that is written twice is an error.
fn named(source: &Source) -> Result<Vec<(String, Item, Item)>> {
    let mut found: Vec<(String, Item, Item)> = Vec::new();
    for (key, value) in source.pairs()? {
        let Node::Text(name) = key.node.clone() else {
            let what = format!("a key must be text, got {}", key.node.describe());
            return Err(Error::new(Code::UnknownKey, what)
                .at(source.place(key.mark))
                .fix("remove it"));
        };
        if let Some((_, first, _)) = found.iter().find(|(known, ..)| *known == name) {
            let what = format!("`{name}` is written twice");
            return Err(Error::new(Code::Contradiction, what)
                .at(source.place(key.mark))
                .why(format!("first in line {}", first.mark.line))
                .fix("keep one of the two lines"));
        }
        found.push((name, key, value));
    }
    Ok(found)
}
