//! Question and answer under keys of their own: Alpaca, and pairs under other names.
//!
//! In: an object. Out: the turns of its `history`, then the question with its further input, then
//! the answer.

use serde_json::{Map, Value};
use shared::error::{Error, Result};
use shared::text::Message;

use super::ambiguity;
use super::at::At;
use super::columns::{self, Columns};
use super::object::{Object, text};
use crate::data::excerpt::excerpt;
use crate::data::file_report::Form;

/// Reads an object in which one key is the question and another the answer.
pub(super) fn read(object: &Map<String, Value>, keys: &[&str], at: At<'_>) -> Result<Object> {
    let parts = Columns::find(keys)
        .map_err(|why| ambiguity::sample(at, keys, &why, columns::settings(keys)))?;
    let (Some(question), Some(answer)) = (parts.question, parts.answer) else {
        return Err(unknown_keys(at, keys, "they fit no known form"));
    };
    let value = |index: usize| text(&object[keys[index]], &format!("`{}`", keys[index]), at);
    let optional = |index: Option<usize>| match index {
        Some(index) if !object[keys[index]].is_null() => value(index).map(Some),
        _ => Ok(None),
    };
    let mut messages = Vec::new();
    if let Some(system) = optional(parts.system)?.filter(|s| !s.is_empty()) {
        messages.push(Message::new("system", system));
    }
    let mut used = parts.used(false);
    if let Some(index) = keys.iter().position(|k| *k == "history") {
        messages.extend(history(&object["history"], at)?);
        used.push(index);
    }
    let asked = joined(value(question)?, optional(parts.input)?);
    messages.push(Message::new("user", asked));
    messages.push(Message::new("assistant", value(answer)?));
    let form = if keys[question] == "instruction" {
        Form::Alpaca
    } else {
        Form::Pairs
    };
    let mut found = Object::new(form, messages);
    found.unused = columns::unused(keys, &used);
    Ok(found)
}

/// A question and its further input, joined by a newline when both say something.
pub(super) fn joined(question: String, input: Option<String>) -> String {
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

fn unknown_keys(at: At<'_>, keys: &[&str], why: &str) -> Error {
    let error = at
        .unknown("a JSON object in a form nobody knows")
        .why(format!("its keys: {} ({why})", keys.join(", ")))
        .why("Alpaca: instruction, output, and if there is more input, system, history")
        .why("ShareGPT: conversations, a list of {from, value}; OpenAI: messages, a list of {role, content}")
        .why(format!("pairs, one of each: {}", columns::known_pairs()))
        .fix("rename the keys to one of these forms");
    columns::settings(keys).into_iter().fold(error, Error::fix)
}
