//! `datasets` of Axolotl: blocks of paths, types, fields and roles.
//!
//! In: the list. Out: a [`DataSet`] for each file or folder, and a remark for every key that is not simply taken.
//! Keeps: a type that trains something else than answers is refused with its name.

use shared::config::{Item, Node};
use shared::error::{Code, Result};

use super::Outcome;
use super::datasets::{self, DataSet};
use super::values::{names, unless_empty};
use super::work::{SourceKey, Work, is_off};

/// Types of questions and answers: what the fields of the parts are called.
const PAIRS: &[(&str, &[(&str, &str)])] = &[
    (
        "alpaca",
        &[
            ("question", "instruction"),
            ("input", "input"),
            ("answer", "output"),
        ],
    ),
    (
        "alpaca_chat.load_concise",
        &[
            ("question", "instruction"),
            ("input", "input"),
            ("answer", "output"),
        ],
    ),
    (
        "alpaca_chat.load_qa",
        &[("question", "question"), ("answer", "answer")],
    ),
    (
        "alpaca_chat.load_camel_ai",
        &[("question", "message_1"), ("answer", "message_2")],
    ),
    (
        "alpaca_w_system.load_open_orca",
        &[
            ("question", "question"),
            ("answer", "response"),
            ("system", "system_prompt"),
        ],
    ),
    (
        "gpteacher",
        &[
            ("question", "instruction"),
            ("input", "input"),
            ("answer", "response"),
        ],
    ),
    (
        "oasst",
        &[("question", "INSTRUCTION"), ("answer", "RESPONSE")],
    ),
];
/// Types of lists of turns, with the list, who speaks and what they say.
const TURNS: &[(&str, [&str; 3])] = &[
    ("chat_template", ["messages", "role", "content"]),
    ("sharegpt", ["conversations", "from", "value"]),
];
/// Beginnings of types that learn from preferences or rewards.
const PREFERENCES: &[&str] = &[
    "chatml.",
    "llama3.",
    "zephyr.",
    "orpo",
    "kto",
    "dpo",
    "bradley_terry",
    "user_defined.",
    "passthrough",
    "chat_template.",
    "stepwise_supervised",
];
/// Types of rows that are learned whole, or in parts that the rows mark.
const TEXTS: &[&str] = &["completion", "input_output", "pretrain"];
/// Parts of a type that is a block, as ours.
const FIELDS: &[(&str, &str, Option<&str>)] = &[
    ("field_instruction", "question", Some("instruction")),
    ("field_input", "input", Some("input")),
    ("field_output", "answer", Some("output")),
    ("field_system", "system", None),
];
const ROLES: &[&str] = &["user", "assistant", "system", "tool"];

/// The list of data sets.
pub(super) fn datasets(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let entries: &[Item] = match &at.value.node {
        Node::List(entries) if !entries.is_empty() => entries,
        _ => &[],
    };
    let block = |entry: &Item| matches!(entry.node, Node::Map(_));
    if entries.is_empty() || !entries.iter().all(block) {
        let what = format!(
            "`datasets` must be a list of blocks with `path` and `type`, got {}",
            at.value.node.describe()
        );
        return Err(work
            .error(Code::WrongType, what, at.value.mark)
            .fix("write it as in `datasets: [{path: data/law.jsonl, type: alpaca}]`"));
    }
    let mut sets = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        if let Node::Map(pairs) = &entry.node {
            let block = Block {
                number,
                entry,
                pairs,
            };
            sets.extend(block.read(work)?);
        }
    }
    datasets::put(work, at, &sets, None)
}

/// One block of the list.
#[derive(Clone, Copy)]
struct Block<'a> {
    number: usize,
    entry: &'a Item,
    pairs: &'a [(Item, Item)],
}

impl<'a> Block<'a> {
    fn get(&self, wanted: &str) -> Option<&'a Item> {
        let is = |key: &Item| key.node == Node::Text(wanted.into());
        let found = self.pairs.iter().find(|(key, _)| is(key));
        found
            .map(|(_, value)| value)
            .filter(|value| value.node != Node::Null)
    }

    fn text(&self, wanted: &str) -> Option<&'a str> {
        match &self.get(wanted)?.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    fn read(&self, work: &mut Work<'_>) -> Result<Vec<DataSet>> {
        let Some(paths) = self
            .get("path")
            .map(names)
            .filter(|paths| !paths.is_empty())
        else {
            let what = "a block of `datasets` has no `path`".to_owned();
            let error = work.error(Code::MissingKey, what, self.entry.mark);
            return Err(error.fix("write `path`, a local file or folder"));
        };
        let mut set = self.typed(work)?;
        for (key, value) in self.pairs {
            let Node::Text(part) = &key.node else {
                continue;
            };
            let name = format!("datasets[{}].{part}", self.number);
            let at = SourceKey {
                name: &name,
                key,
                value,
            };
            self.key(work, at, part, &mut set)?;
        }
        let files = self.get("data_files").map(names).unwrap_or(paths);
        let each = files.into_iter().map(|path| DataSet {
            path,
            ..set.clone()
        });
        Ok(each.collect())
    }

    /// What the type says of rows; without one Axolotl refuses the file.
    fn typed(&self, work: &Work<'_>) -> Result<DataSet> {
        let mut set = DataSet::default();
        let Some(kind) = self.get("type") else {
            return Ok(set);
        };
        let refused = |what: String, why: &str| {
            let error = work.error(Code::NotYet, what, kind.mark).why(why);
            Err(error.fix("take the block out of `datasets`"))
        };
        let name = match &kind.node {
            Node::Map(pairs) => {
                let block = Block { pairs, ..*self };
                for (key, part, default) in FIELDS {
                    let name = block.text(key).or(*default);
                    set.columns
                        .extend(name.map(|name| (*part, name.to_owned())));
                }
                set.named = true;
                return Ok(set);
            }
            Node::Text(name) => name.as_str(),
            _ => return Ok(set),
        };
        let begins = |known: &&str| name.starts_with(*known);
        if PREFERENCES.iter().any(begins) {
            let what = format!("`type: {name}` is not built");
            return refused(
                what,
                "it is preference data, whose answers are compared (DPO, KTO, ORPO, reward models)",
            );
        }
        let form = name.split([':', '.']).next().unwrap_or(name);
        if TEXTS.contains(&form) {
            let what = format!("`type: {name}` is not built");
            return refused(
                what,
                "its rows are text without question and answer, learned whole or in marked parts",
            );
        }
        if let Some((_, parts)) = PAIRS
            .iter()
            .find(|(known, _)| *known == name || *known == form)
        {
            set.columns = parts
                .iter()
                .map(|(part, field)| (*part, (*field).to_owned()))
                .collect();
        }
        if let Some((_, usual)) = TURNS.iter().find(|(known, _)| *known == form) {
            let mapping = self.get("message_property_mappings");
            let mapped = |property: &str| match &mapping?.node {
                Node::Map(pairs) => Block { pairs, ..*self }.text(property),
                _ => None,
            };
            let role = mapped("role").or_else(|| self.text("message_field_role"));
            let content = mapped("content").or_else(|| self.text("message_field_content"));
            let list = self.text("field_messages");
            set.named = role.is_some() || content.is_some();
            set.columns = vec![
                ("messages", list.unwrap_or(usual[0]).to_owned()),
                ("role", role.unwrap_or(usual[1]).to_owned()),
                ("content", content.unwrap_or(usual[2]).to_owned()),
            ];
            let tools = self.text("field_tools").unwrap_or("tools");
            set.columns.push(("tools", tools.to_owned()));
        }
        Ok(set)
    }

    /// One key of the block: a part of the data set, a remark, or nothing.
    fn key(
        &self,
        work: &mut Work<'_>,
        at: SourceKey<'_>,
        part: &str,
        set: &mut DataSet,
    ) -> Result<()> {
        let turns = set.columns.iter().any(|(part, _)| *part == "messages");
        match (part, &at.value.node) {
            ("path" | "data_files" | "ds_type" | "trust_remote_code", _) => work.nothing(at),
            ("type", node) => self.kind(work, at, node, set),
            ("field_messages" | "field_tools" | "message_field_role" | "message_field_content", Node::Text(_))
                if turns => work.say(
                    Outcome::Changed, at, "fields are named for all data sets", "taken into `columns`",
                ),
            ("message_property_mappings", Node::Map(pairs)) if turns => mappings(work, at, pairs),
            ("roles", Node::Map(pairs)) if turns => roles(work, at, pairs, set),
            ("roles_to_train", _) => trained(work, at, set),
            ("train_on_eos" | "train_on_eot", Node::Text(when)) if when == "turn" => work.nothing(at),
            ("train_on_eos" | "train_on_eot", _) => work.say(
                Outcome::NoCounterpart, at,
                "the token that ends an answer is learned with it, other ends are not",
                "as with `turn`",
            ),
            ("split", Node::Text(split)) if split == "train" => work.nothing(at),
            ("chat_template", _) => super::values::template(work, at)?,
            (_, node) if is_off(node) => work.nothing(at),
            ("message_field_training" | "message_field_training_detail", _) => work.say(
                Outcome::NoCounterpart, at,
                "which answers are learned is not said by a field of this name",
                "see docs/reference/data.md for the marks that leave an answer out of what is learned",
            ),
            ("split" | "name" | "revision" | "shards" | "shards_idx" | "preprocess_shards" | "skip", _) => work.say(
                Outcome::NoCounterpart, at, "a part of a data set is not chosen", "all rows of the files are read",
            ),
            _ => work.say(
                Outcome::NoCounterpart, at,
                "it has no counterpart in `columns` and `roles`",
                "see docs/reference/data.md for the forms, and try `coordinator data show`",
            ),
        }
        Ok(())
    }

    fn kind(&self, work: &mut Work<'_>, at: SourceKey<'_>, node: &Node, set: &DataSet) {
        if let Node::Map(pairs) = node {
            return block_type(work, at, pairs);
        }
        let turns = set.columns.iter().any(|(part, _)| *part == "messages");
        if turns {
            work.nothing(at);
        } else if set.columns.is_empty() {
            work.say(
                Outcome::NoCounterpart,
                at,
                "a type of this name is not known here",
                "the form is found by the keys of a row; look at it with `coordinator data show`",
            );
        } else {
            work.say(
                Outcome::Changed,
                at,
                "there its questions stand in a prompt text of its own, such as `### Instruction:`",
                "question and answer are taken, in the chat template of `base_model`",
            );
        }
    }
}

/// The keys of a type that is a block.
fn block_type(work: &mut Work<'_>, of: SourceKey<'_>, pairs: &[(Item, Item)]) {
    for (key, value) in pairs {
        let Node::Text(part) = &key.node else {
            continue;
        };
        let name = format!("{}.{part}", of.name);
        let at = SourceKey {
            name: &name,
            key,
            value,
        };
        match part.as_str() {
            part if FIELDS.iter().any(|(field, ..)| *field == part) => work.say(
                Outcome::Changed,
                at,
                "fields are named for all data sets",
                "taken into `columns`",
            ),
            "format" | "no_input_format" => work.gone(
                at,
                "a prompt text of its own is not written",
                "the chat template of `base_model` is used",
            ),
            "system_prompt" => {
                work.gone(at, "no system message is added", "write it into the data")
            }
            _ => work.gone(at, "it has no counterpart in `columns`", "it is not read"),
        }
    }
}

/// Which fields of a message are its role, its content and so on.
fn mappings(work: &mut Work<'_>, of: SourceKey<'_>, pairs: &[(Item, Item)]) {
    for (key, value) in pairs {
        let Node::Text(property) = &key.node else {
            continue;
        };
        let name = format!("{}.{property}", of.name);
        let at = SourceKey {
            name: &name,
            key,
            value,
        };
        match property.as_str() {
            "role" | "content" => work.say(
                Outcome::Changed,
                at,
                "fields are named for all data sets",
                "taken into `columns`",
            ),
            same if value.node == Node::Text(same.into()) => work.nothing(at),
            _ => work.gone(
                at,
                "only role and content of a message have names of their own",
                "it is read under its usual name",
            ),
        }
    }
}

/// Who speaks under which names.
fn roles(work: &mut Work<'_>, of: SourceKey<'_>, pairs: &[(Item, Item)], set: &mut DataSet) {
    for (key, value) in pairs {
        let Node::Text(role) = &key.node else {
            continue;
        };
        let name = format!("{}.{role}", of.name);
        let at = SourceKey {
            name: &name,
            key,
            value,
        };
        let Some(ours) = ROLES.iter().find(|known| **known == role.as_str()) else {
            work.gone(
                at,
                "no role of ours is called so",
                "turns of it are refused",
            );
            continue;
        };
        let speakers = names(value).into_iter().map(|name| (*ours, name));
        set.roles.extend(speakers);
        work.say(
            Outcome::Changed,
            at,
            "roles are named for all data sets",
            "taken into `roles`",
        );
    }
}

/// Whose turns are learned: here those of the assistant.
fn trained(work: &mut Work<'_>, at: SourceKey<'_>, set: &DataSet) {
    let answers = |name: &String| {
        let name = name.as_str();
        let mapped = set
            .roles
            .iter()
            .any(|(role, of)| *role == "assistant" && of == name);
        mapped || matches!(name, "assistant" | "gpt")
    };
    let wanted = names(at.value);
    if !wanted.is_empty() && wanted.iter().all(answers) {
        work.nothing(at);
    } else {
        work.say(
            Outcome::NoCounterpart, at,
            "the turns of the assistant are learned, or with `loss_on: all` everything",
            "the answers of the assistant are learned; write `loss_on` if that is not what you want",
        );
    }
}
