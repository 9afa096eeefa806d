//! One JSON object to one conversation: Alpaca, ShareGPT, OpenAI messages, question and answer.
//!
//! In: an object and its place. Out: turns with the roles `system`, `user`, `assistant`, `tool`.
//! Keeps: texts are taken unchanged; a role, a type or a form nobody knows is refused.

mod list;

use std::path::Path;

use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};
use shared::text::Message;

use super::excerpt::excerpt;
use super::file_report::Form;
use super::names::{self, Columns};
use super::sample::Tokens;
use super::tokens;

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
    /// The list of tools, as it is written.
    pub tools: Option<Value>,
    /// Answers of weight 0, by their place among the messages.
    pub unlearned: Vec<usize>,
    /// The tokens of a sample that comes as such.
    pub tokens: Option<Tokens>,
    /// Keys that were not needed.
    pub unused: Vec<String>,
}

pub(super) const LISTS: &[&str] = &["messages", "conversations"];

/// Reads an object in any of the known forms.
pub(crate) fn conversation(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let lists: Vec<&str> = LISTS
        .iter()
        .copied()
        .filter(|k| object.contains_key(*k))
        .collect();
    if object.contains_key(tokens::IDS) {
        return match lists[..] {
            [] => tokens::read(object, at),
            [key, ..] => Err(two_ways(at, &keys, "turns and tokens are both there")
                .fix(names::setting(&[("messages", key)]))
                .fix(names::setting(&[("input_ids", tokens::IDS)]))),
        };
    }
    match lists[..] {
        [key] => list::read(object, key, at),
        [] => from_pair(object, &keys, at),
        [one, other, ..] => {
            let ways = [one, other].map(|list| names::setting(&[("messages", list)]));
            let what = "both `messages` and `conversations` are there";
            Err(ways.into_iter().fold(two_ways(at, &keys, what), Error::fix))
        }
    }
}

fn from_pair(object: &Map<String, Value>, keys: &[&str], at: At<'_>) -> Result<Object> {
    let columns = Columns::find(keys).map_err(|why| undecided(at, keys, &why))?;
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
        tools: None,
        unlearned: Vec::new(),
        tokens: None,
        unused: names::unused(keys, &used),
    })
}

/// Keys that could both be meant; nobody chooses for the user.
fn two_ways(at: At<'_>, keys: &[&str], why: &str) -> Error {
    Error::new(Code::Ambiguous, "a sample can be read in two ways")
        .at_line(at.path, at.line)
        .why(format!("its keys: {} ({why})", keys.join(", ")))
}

fn undecided(at: At<'_>, keys: &[&str], why: &str) -> Error {
    let error = two_ways(at, keys, why);
    names::settings(keys).into_iter().fold(error, Error::fix)
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

fn text(value: &Value, name: &str, at: At<'_>) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        at.unknown(format!("{name} is no text"))
            .why(format!("it is {}", excerpt(&value.to_string())))
            .fix("write it as a string")
    })
}

fn unknown_keys(at: At<'_>, keys: &[&str], why: &str) -> Error {
    let error = at
        .unknown("a JSON object in a form nobody knows")
        .why(format!("its keys: {} ({why})", keys.join(", ")))
        .why("Alpaca: instruction, output, and if there is more input, system, history")
        .why("ShareGPT: conversations, a list of {from, value}; OpenAI: messages, a list of {role, content}")
        .why(format!("pairs, one of each: {}", names::known_pairs()))
        .fix("rename the keys to one of these forms");
    names::settings(keys).into_iter().fold(error, Error::fix)
}

#[cfg(test)]
mod tests;
