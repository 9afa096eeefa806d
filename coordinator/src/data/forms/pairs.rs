//! Question and answer under keys of their own: Alpaca, and pairs under other names.
//!
//! In: an object. Out: the turns of its `history`, then the question with its further input, then
//! the answer. A prompt may be a list of turns too; a thought beside the answer is a field of it.

use serde_json::{Map, Value, json};
use shared::error::{Error, Result};
use shared::text::Message;

use super::at::At;
use super::columns::{self, Columns};
use super::object::{Object, text};
use super::turns::{self, THOUGHTS};
use super::{ambiguity, marks, plain, speakers};
use crate::data::excerpt::excerpt;
use crate::data::file_report::Form;

/// Reads an object in which one key is the question and another the answer.
pub(super) fn read(object: &Map<String, Value>, keys: &[&str], at: At<'_>) -> Result<Object> {
    let parts = Columns::find(keys)
        .map_err(|why| ambiguity::sample(at, keys, &why, columns::settings(keys)))?;
    let (Some(question), Some(answer)) = (parts.question, parts.answer) else {
        return Err(unknown_keys(object, at, parts));
    };
    if let Some(turns) = turns_of(object, keys[question], keys[answer]) {
        return turns::read(&turns, "messages", at);
    }
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
    let mut answered = Message::new("assistant", value(answer).map_err(|e| ranked(object, e))?);
    for (index, key) in keys.iter().enumerate() {
        let thought = object.get(*key).and_then(Value::as_str);
        if let Some(thought) = thought.filter(|t| !t.is_empty() && THOUGHTS.contains(key)) {
            let fields = answered.fields.get_or_insert_with(|| {
                let own = ["role", "content"].map(|k| (k.to_owned(), Value::Null));
                own.into_iter().collect()
            });
            fields.insert((*key).to_owned(), thought.into());
            used.push(index);
        }
    }
    messages.push(answered);
    let form = if keys[question] == "instruction" {
        Form::Alpaca
    } else {
        Form::Pairs
    };
    let mut found = Object::new(form, messages);
    let unused = columns::unused(keys, &used);
    let said = unused
        .into_iter()
        .filter(|k| object.get(k).is_none_or(|v| !v.is_null()));
    found.unused = said.collect();
    Ok(found)
}

/// A prompt that is a list of turns, with the answer behind it: only the answer is learned.
fn turns_of(
    object: &Map<String, Value>,
    question: &str,
    answer: &str,
) -> Option<Map<String, Value>> {
    let list = |key: &str| -> Option<Vec<Value>> {
        let turns = object[key].as_array()?;
        let whole = !turns.is_empty() && turns.iter().all(Value::is_object);
        whole.then(|| turns.clone())
    };
    let mut turns = list(question)?;
    for turn in &mut turns {
        let answers = ["role", "from"]
            .iter()
            .filter_map(|key| turn.get(*key)?.as_str());
        let answers = answers
            .filter_map(speakers::role)
            .any(|role| role == "assistant");
        if let Some(turn) = turn.as_object_mut().filter(|_| answers) {
            turn.retain(|key, _| !marks::is_mark(key));
            turn.insert("weight".into(), 0.into());
        }
    }
    match (list(answer), object[answer].as_str()) {
        (Some(answers), _) => turns.extend(answers),
        (None, Some(text)) => turns.push(json!({"role": "assistant", "content": text})),
        (None, None) => return None,
    }
    let rest = object
        .iter()
        .filter(|(key, _)| *key != question && *key != answer);
    let mut whole: Map<String, Value> = rest.map(|(k, v)| (k.clone(), v.clone())).collect();
    whole.insert("messages".into(), Value::Array(turns));
    Some(whole)
}

/// The older form of ranked answers is a list under `output`.
fn ranked(object: &Map<String, Value>, error: Error) -> Error {
    let list = object.get("output").and_then(Value::as_array);
    let texts = list.is_some_and(|list| list.len() > 1 && list.iter().all(Value::is_string));
    if !texts {
        return error;
    }
    error
        .why("several answers under `output`, the better one first, are preference data, which a run does not learn")
        .fix("or keep the better answer alone")
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

fn unknown_keys(object: &Map<String, Value>, at: At<'_>, parts: Columns) -> Error {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    // Only texts can be questions and answers.
    let texts = keys.iter().copied().filter(|key| object[*key].is_string());
    let texts: Vec<&str> = texts.collect();
    let neither = parts.question.is_none() && parts.answer.is_none();
    let plain = texts
        .iter()
        .find(|key| plain::FIELDS.contains(&key.to_lowercase().as_str()));
    if let Some(key) = plain.filter(|_| neither) {
        return at
            .unknown(format!("a sample is plain text, in `{key}`: it has no question and no answer"))
            .why(format!("its keys: {}", keys.join(", ")))
            .why("such rows are for pretraining (`stage: pt`, `type: completion` of other tools); here answers to questions are learned")
            .fix("give each row a question and its answer, such as {\"question\": ..., \"answer\": ...}")
            .fix("or --set data_form=text, where all of it is to be learned");
    }
    let error = at
        .unknown("a JSON object in a form nobody knows")
        .why(format!("its keys: {} (they fit no known form)", keys.join(", ")))
        .why("Alpaca: instruction, output, and if there is more input, system, history")
        .why("ShareGPT: conversations, a list of {from, value}; OpenAI: messages, a list of {role, content}")
        .why(format!("pairs, one of each: {}", columns::known_pairs()))
        .fix("rename the keys to one of these forms");
    columns::settings(&texts)
        .into_iter()
        .fold(error, Error::fix)
}
