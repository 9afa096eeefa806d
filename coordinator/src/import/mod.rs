//! A LLaMA-Factory or Axolotl YAML to one of ours, and a list of what does not come along.
//!
//! In: the file's text, which tool it is of (or nothing, then its keys decide), the folder relative
//! paths start from. Out: an [`Imported`]: our lines, each with where it came from, and a [`Remark`]
//! for every key that was not simply taken. Side effects: looks whether folders are there and reads
//! LLaMA-Factory's `dataset_info.json`.
//! Keeps: every key of the file is in a line or in a remark; a line is written only when our loader
//! takes it; a key of ours that this version does not have is a remark, and a line the day it has.

mod axolotl;
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

/// How much of a key came along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Taken, and written or meant otherwise.
    Changed,
    /// There is no counterpart.
    NoCounterpart,
    /// The counterpart is a key that this version does not have.
    NotYet,
    /// Not among the tool's keys that are known here.
    Unknown,
    /// Empty, off, or what happens here anyway.
    NothingLost,
    /// What our loader says of the result.
    Notice,
}

/// What is to be said about one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How much of it came along.
    pub sort: Sort,
    /// The tool's key.
    pub key: String,
    /// Its line, where it is written.
    pub line: Option<u64>,
    /// Its value as YAML.
    pub value: String,
    /// Why.
    pub why: String,
    /// What happens instead.
    pub instead: String,
}

/// One line of our YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Our key.
    pub key: &'static str,
    /// Its value as YAML.
    pub value: String,
    /// Where it came from.
    pub from: String,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Imported {
    /// The file as it was named.
    pub file: String,
    /// Whose file it is.
    pub tool: Tool,
    /// How that was decided.
    pub decided: String,
    /// Our YAML.
    pub lines: Vec<Line>,
    /// What is to be said, in the order of the file.
    pub remarks: Vec<Remark>,
}

/// Converts a file.
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
            sort: Sort::Notice,
            key: String::new(),
            line: None,
            value: String::new(),
            why: notice,
            instead: String::new(),
        }));
    Ok(imported)
}

/// The pairs by name; a name stands once.
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
