//! The lines and remarks of an import while its file is read.
//!
//! In: one key after the other. Out: lines and remarks.
//! Keeps: a line that our configuration loader refuses becomes a remark with the loader's reason; for a required key
//! the refusal is an error at the key's place in the file.

use std::collections::BTreeSet;
use std::path::Path;

use shared::config::{self, Item, Mark, Node, Source};
use shared::error::{Code, Error, Result};

use super::{Line, Outcome, Remark, Tool};

const REQUIRED: &[(&str, &str)] = &[
    ("train_data_dir", "./data"),
    ("base_model", "./model"),
    ("output_dir", "./out"),
];

/// The longest value of the other tool that a comment repeats.
const LONGEST: usize = 80;

/// An import in progress.
pub(super) struct Work<'a> {
    pub source: &'a Source,
    pub tool: Tool,
    pub pairs: Vec<(String, Item, Item)>,
    pub cwd: &'a Path,
    pub lines: Vec<Line>,
    pub remarks: Vec<Remark>,
    /// Our keys that a remark was made about: no default of the tool is written for them.
    settled: BTreeSet<&'static str>,
}

/// One key of the file, with its name and its value.
#[derive(Clone, Copy)]
pub(super) struct SourceKey<'a> {
    pub name: &'a str,
    pub key: &'a Item,
    pub value: &'a Item,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        source: &'a Source,
        tool: Tool,
        pairs: Vec<(String, Item, Item)>,
        cwd: &'a Path,
    ) -> Self {
        Self {
            source,
            tool,
            pairs,
            cwd,
            lines: Vec::new(),
            remarks: Vec::new(),
            settled: BTreeSet::new(),
        }
    }

    /// The value of another key of the file; `None` when it is absent or null.
    pub(super) fn other(&self, name: &str) -> Option<Node> {
        let found = self.pairs.iter().find(|(known, ..)| known == name);
        found
            .map(|(_, _, value)| value.node.clone())
            .filter(|node| *node != Node::Null)
    }

    /// Whether another key of the file is there and is not off.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.other(name).is_some_and(|node| !is_off(&node))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.iter().any(|line| line.key == key)
    }

    /// Writes a line of ours for a key of the tool; false when a remark was made instead.
    pub(super) fn put(
        &mut self,
        key: &'static str,
        node: &Node,
        at: SourceKey<'_>,
    ) -> Result<bool> {
        let written = config::node_yaml(&at.value.node);
        let from = if written.chars().count() > LONGEST {
            format!("line {}, {}", at.key.mark.line, at.name)
        } else if written == config::node_yaml(node) && at.name == key {
            format!("line {}", at.key.mark.line)
        } else {
            format!("line {}, {}: {written}", at.key.mark.line, at.name)
        };
        self.line(key, node, from, Some(at))
    }

    /// Writes a line of ours without which samples would be misread: what our loader refuses is an error at `at`.
    pub(super) fn must(&mut self, key: &'static str, node: &Node, at: SourceKey<'_>) -> Result<()> {
        let value = config::node_yaml(node);
        if let Err(error) = self.accepted(key, &value) {
            let what = format!("`{}` cannot be said by `{key}`", at.name);
            return Err(self
                .error(Code::NotYet, what, at.value.mark)
                .why(format!("{key}: {value}"))
                .why(error.what)
                .fix("import data sets that do not go together one by one, and train them in turn with `parent`"));
        }
        let from = format!("line {}, {}", at.key.mark.line, at.name);
        self.line(key, node, from, Some(at)).map(|_| ())
    }

    /// Writes a line of ours for a default of the tool, unless the file has decided the key.
    pub(super) fn default(&mut self, key: &'static str, node: &Node, note: &str) -> Result<()> {
        if self.has(key) || self.settled.contains(key) {
            return Ok(());
        }
        let from = format!("{}'s default{note}", self.tool.name());
        self.line(key, node, from, None).map(|_| ())
    }

    fn line(
        &mut self,
        key: &'static str,
        node: &Node,
        from: String,
        at: Option<SourceKey<'_>>,
    ) -> Result<bool> {
        if !config::is_key(key) {
            if let Some(at) = at {
                if is_off(&at.value.node) {
                    self.nothing(at);
                    return Ok(false);
                }
                let why = format!("it would be `{key}`, a key that this version does not have");
                self.say(Outcome::NotYet, at, &why, "nothing of it is done");
            }
            return Ok(false);
        }
        if self.has(key) {
            if let Some(at) = at {
                let why = format!("`{key}` was taken from another key already");
                self.say(Outcome::NoCounterpart, at, &why, "this one is not used");
            }
            return Ok(false);
        }
        let value = config::node_yaml(node);
        if let Err(error) = self.accepted(key, &value) {
            let Some(at) = at else { return Err(error) };
            if REQUIRED.iter().any(|(required, _)| *required == key) {
                let mut told = Error::new(error.code, format!("`{}`: {}", at.name, error.what))
                    .at(self.source.place(at.value.mark));
                told.fix = error.fix;
                return Err(told);
            }
            self.settled.insert(key);
            let instead = format!("`{key}` stays at its default; write what you want");
            self.say(Outcome::NoCounterpart, at, &error.what, &instead);
            return Ok(false);
        }
        self.lines.push(Line { key, value, from });
        Ok(true)
    }

    fn accepted(&self, key: &str, value: &str) -> Result<()> {
        let mut text = String::new();
        for (required, example) in REQUIRED.iter().filter(|(required, _)| *required != key) {
            text.push_str(&format!("{required}: {example}\n"));
        }
        text.push_str(&format!("{key}: {value}\n"));
        config::load_text("value", &text, self.cwd).map(|_| ())
    }

    /// Adds a remark about the key `at`.
    pub(super) fn say(&mut self, outcome: Outcome, at: SourceKey<'_>, why: &str, instead: &str) {
        self.remarks.push(Remark {
            outcome,
            key: at.name.to_owned(),
            line: Some(at.key.mark.line),
            value: config::node_yaml(&at.value.node),
            why: why.to_owned(),
            instead: instead.to_owned(),
        });
    }

    /// Adds a remark about a key without a counterpart; nothing is lost when the key is off.
    pub(super) fn gone(&mut self, at: SourceKey<'_>, why: &str, instead: &str) {
        if is_off(&at.value.node) {
            self.nothing(at);
        } else {
            self.say(Outcome::NoCounterpart, at, why, instead);
        }
    }

    /// Adds a remark that nothing is lost: the key is empty, off, or asks for what happens here anyway.
    pub(super) fn nothing(&mut self, at: SourceKey<'_>) {
        self.say(Outcome::NothingLost, at, "", "");
    }

    /// An error at a place of the file.
    pub(super) fn error(&self, code: Code, what: String, mark: Mark) -> Error {
        Error::new(code, what).at(self.source.place(mark))
    }

    /// Fails when the file has named no base model or no data.
    pub(super) fn require(&self) -> Result<()> {
        let names = match self.tool {
            Tool::LlamaFactory => [
                ("base_model", "model_name_or_path"),
                ("train_data_dir", "dataset"),
            ],
            Tool::Axolotl => [("base_model", "base_model"), ("train_data_dir", "datasets")],
        };
        for (key, name) in names {
            if !self.has(key) {
                let what = format!("`{name}` is missing, so there is nothing for `{key}`");
                return Err(Error::new(Code::MissingKey, what)
                    .in_file(&self.source.name)
                    .fix(format!("add `{name}`")));
            }
        }
        Ok(())
    }
}

/// Whether a value means that its key is off: null, false, 0, empty, or a word such as `none`.
pub(super) fn is_off(node: &Node) -> bool {
    match node {
        Node::Null | Node::Flag(false) | Node::Whole(0) => true,
        Node::Real(value) => *value == 0.0,
        Node::Text(text) => matches!(text.as_str(), "" | "none" | "no" | "disabled" | "false"),
        Node::List(items) => items.is_empty(),
        Node::Map(pairs) => pairs.is_empty(),
        Node::Flag(true) | Node::Whole(_) => false,
    }
}
