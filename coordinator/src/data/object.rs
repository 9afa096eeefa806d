//! One JSON object to one conversation: Alpaca, ShareGPT, OpenAI messages, question and answer.
//!
//! In: an object and its place. Out: turns with the roles `system`, `user`, `assistant`.
//! Keeps: texts are taken unchanged; a role, a type or a form nobody knows is refused.

use std::path::Path;

use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::names::{self, Columns};
use super::read::excerpt;
use super::report::Form;

/// Where an object stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub path: &'a Path,
    pub line: u64,
}

impl At<'_> {
    /// [`Code::UnknownForm`] here.
    pub(crate) fn unknown(&self, what: impl Into<String>) -> Error {
        Error::new(Code::UnknownForm, what).at_line(self.path, self.line)
    }
}

/// What an object holds.
#[derive(Debug)]
pub(crate) struct Object {
    pub form: Form,
    pub messages: Vec<Message>,
    /// Keys that were not needed.
    pub unused: Vec<String>,
}

const LISTS: &[&str] = &["messages", "conversations"];

const TURNS: &str = "it must be a list like [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", ...}]";

/// Reads an object in any of the known forms.
pub(crate) fn conversation(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let lists: Vec<&str> = LISTS
        .iter()
        .copied()
        .filter(|k| object.contains_key(*k))
        .collect();
    match lists[..] {
        [key] => from_list(object, key, at),
        [] => from_pair(object, &keys, at),
        _ => Err(unknown_keys(
            at,
            &keys,
            "both `messages` and `conversations` are there",
        )),
    }
}

fn from_list(object: &Map<String, Value>, key: &str, at: At<'_>) -> Result<Object> {
    let turns = object.get(key).and_then(Value::as_array);
    let turns = turns.filter(|t| !t.is_empty()).ok_or_else(|| {
        at.unknown(format!("`{key}` is no list of turns"))
            .why(format!("it is {}", excerpt(&object[key].to_string())))
            .fix(TURNS)
    })?;
    let mut form = Form::Messages;
    let mut messages = Vec::new();
    let mut unused: Vec<String> = Vec::new();
    if let Some(system) = object.get("system").filter(|v| !v.is_null()) {
        messages.push(Message::new("system", text(system, "system", at)?));
    }
    for (number, turn) in (1..).zip(turns) {
        let name = |part: &str| format!("{key}[{number}].{part}");
        let turn = turn.as_object().ok_or_else(|| {
            at.unknown(format!("{key}[{number}] is no object"))
                .why(format!("it is {}", excerpt(&turn.to_string())))
                .fix(TURNS)
        })?;
        let (who, what) = if turn.contains_key("from") {
            form = Form::ShareGpt;
            ("from", "value")
        } else {
            ("role", "content")
        };
        let field = |part: &str| {
            let value = turn.get(part).ok_or_else(|| {
                let keys: Vec<&str> = turn.keys().map(String::as_str).collect();
                at.unknown(format!("{} is missing", name(part)))
                    .why(format!("the turn has the keys: {}", keys.join(", ")))
                    .fix("a turn has `role` and `content`, or `from` and `value`")
            })?;
            text(value, &name(part), at)
        };
        let role = role(&field(who)?, &name(who), at)?;
        messages.push(Message::new(role, field(what)?));
        unused.extend(
            turn.keys()
                .filter(|k| *k != who && *k != what)
                .map(|k| format!("{key}[].{k}")),
        );
    }
    unused.extend(
        object
            .keys()
            .filter(|k| *k != key && *k != "system")
            .cloned(),
    );
    Ok(Object {
        form,
        messages,
        unused,
    })
}

fn from_pair(object: &Map<String, Value>, keys: &[&str], at: At<'_>) -> Result<Object> {
    let columns = Columns::find(keys).map_err(|why| unknown_keys(at, keys, &why))?;
    let (Some(question), Some(answer)) = (columns.question, columns.answer) else {
        return Err(unknown_keys(at, keys, "they fit no known form"));
    };
    let value = |index: usize| text(&object[keys[index]], &format!("`{}`", keys[index]), at);
    let optional = |index: Option<usize>| match index {
        Some(index) if !object[keys[index]].is_null() => value(index).map(Some),
        _ => Ok(None),
    };
    let mut messages = Vec::new();
    if let Some(system) = optional(columns.system)?.filter(|s| !s.is_empty()) {
        messages.push(Message::new("system", system));
    }
    let mut used = columns.used(false);
    if let Some(index) = keys.iter().position(|k| *k == "history") {
        messages.extend(history(&object["history"], at)?);
        used.push(index);
    }
    let asked = joined(value(question)?, optional(columns.input)?);
    messages.push(Message::new("user", asked));
    messages.push(Message::new("assistant", value(answer)?));
    let form = if keys[question] == "instruction" {
        Form::Alpaca
    } else {
        Form::Pairs
    };
    Ok(Object {
        form,
        messages,
        unused: names::unused(keys, &used),
    })
}

/// A question and its further input, joined by a newline when both say something.
pub(crate) fn joined(question: String, input: Option<String>) -> String {
    match input.filter(|i| !i.is_empty()) {
        Some(input) if question.is_empty() => input,
        Some(input) => format!("{question}\n{input}"),
        None => question,
    }
}

fn history(value: &Value, at: At<'_>) -> Result<Vec<Message>> {
    let wrong = || {
        at.unknown("`history` is no list of pairs")
            .why(format!("it is {}", excerpt(&value.to_string())))
            .fix("it must be a list like [[\"question\", \"answer\"], ...]")
    };
    let mut messages = Vec::new();
    if value.is_null() {
        return Ok(messages);
    }
    for pair in value.as_array().ok_or_else(wrong)? {
        let Some([question, answer]) = pair.as_array().map(Vec::as_slice) else {
            return Err(wrong());
        };
        messages.push(Message::new("user", text(question, "history", at)?));
        messages.push(Message::new("assistant", text(answer, "history", at)?));
    }
    Ok(messages)
}

fn role(name: &str, field: &str, at: At<'_>) -> Result<&'static str> {
    match name.to_lowercase().as_str() {
        "user" | "human" => Ok("user"),
        "assistant" | "gpt" | "chatgpt" | "model" | "bot" => Ok("assistant"),
        "system" => Ok("system"),
        _ => Err(at
            .unknown(format!("{field} names a role nobody knows: {name:?}"))
            .why("known: system; user, human; assistant, gpt, chatgpt, model, bot")
            .fix("rename the role or take the sample out")),
    }
}

fn text(value: &Value, name: &str, at: At<'_>) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        at.unknown(format!("{name} is no text"))
            .why(format!("it is {}", excerpt(&value.to_string())))
            .fix("write it as a string")
    })
}

fn unknown_keys(at: At<'_>, keys: &[&str], why: &str) -> Error {
    at.unknown("a JSON object in a form nobody knows")
        .why(format!("its keys: {} ({why})", keys.join(", ")))
        .why("Alpaca: instruction, output, and if there is more input, system, history")
        .why("ShareGPT: conversations, a list of {from, value}; OpenAI: messages, a list of {role, content}")
        .why(format!("pairs, one of each: {}", names::known_pairs()))
        .fix("rename the keys to one of these forms")
}

#[cfg(test)]
mod tests;
