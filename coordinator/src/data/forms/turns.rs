//! `messages` and `conversations`: lists of turns, with marks, thoughts, tool calls and tool results.
//!
//! In: an object with such a list. Out: its turns; which of them are not to be learned; the list of tools.
//! Keeps: a message reaches the template with the fields that templates read, as it is written; where it has
//! none, it is its role and its text. No mark reaches it.

use serde_json::{Map, Value};
use shared::error::{Code, Result};
use shared::text::Message;

use super::at::At;
use super::object::{Object, text};
use super::parts::{self, Parts};
use super::{calls, marks, preference, speakers};
use crate::data::excerpt::excerpt;
use crate::data::file_report::Form;

/// Fields of a message that hold a thought.
pub(super) const THOUGHTS: &[&str] = &["reasoning_content", "reasoning", "thinking"];
/// Other fields of a message that templates read, beside role and content.
const FIELDS: &[&str] = &["tool_call_id", "name"];
/// Fields that are calls of tools.
const CALLS: &[&str] = &["tool_calls", "function_call"];
/// Keys beside a list of turns.
const BESIDE: &[&str] = &["system", "tools", "functions"];
const TURNS: &str = "it must be a list like [{\"role\": \"user\", \"content\": \"...\"}, {\"role\": \"assistant\", ...}]";

/// Reads the list under `key`.
pub(super) fn read(object: &Map<String, Value>, key: &str, at: At<'_>) -> Result<Object> {
    let turns = object.get(key).and_then(Value::as_array);
    let turns = turns.filter(|t| !t.is_empty()).ok_or_else(|| {
        at.unknown(format!("`{key}` is no list of turns"))
            .why(format!("it is {}", excerpt(&object[key].to_string())))
            .fix(TURNS)
    })?;
    let mut list = List {
        key,
        at,
        turns,
        tools: calls::play(object, turns),
        object: Object::new(Form::Messages, Vec::new()),
    };
    for (number, turn) in (1..).zip(turns) {
        let turn = turn.as_object().ok_or_else(|| {
            at.unknown(format!("{key}[{number}] is no object"))
                .why(format!("it is {}", excerpt(&turn.to_string())))
                .fix(TURNS)
        })?;
        list.turn(number, turn)?;
    }
    list.system(object)?;
    let mut found = list.object;
    // Only ShareGPT's tools come bare; beside messages they reach the template as they are written.
    found.tools = calls::tools(object, found.form == Form::ShareGpt, at)?;
    let known = |k: &str| k == key || BESIDE.contains(&k);
    let unused = object.iter().filter(|(k, v)| !known(k) && !v.is_null());
    found.unused.extend(unused.map(|(k, _)| k.clone()));
    Ok(found)
}

/// A list on its way to an object.
struct List<'a> {
    key: &'a str,
    at: At<'a>,
    turns: &'a [Value],
    tools: bool,
    object: Object,
}

impl List<'_> {
    fn name(&self, number: usize, part: &str) -> String {
        format!("{}[{number}].{part}", self.key)
    }

    fn turn(&mut self, number: usize, turn: &Map<String, Value>) -> Result<()> {
        let at = self.at;
        let has = |key: &str| turn.contains_key(key);
        let who = if has("from") { "from" } else { "role" };
        let (usual, other) = match who {
            "from" => ("value", "content"),
            _ => ("content", "value"),
        };
        let what = if has(usual) || !has(other) {
            usual
        } else {
            other
        };
        if who == "from" {
            self.object.form = Form::ShareGpt;
        }
        let speaker = text(self.field(number, turn, who)?, &self.name(number, who), at)?;
        let role = speakers::known(&speaker, &self.name(number, who), self.turns, at)?;
        if let Some(refusal) = turn.get("refusal").filter(|v| !v.is_null()) {
            return Err(at
                .unknown(format!(
                    "{} is a refusal, which is not read",
                    self.name(number, "refusal")
                ))
                .why(format!("it is {}", excerpt(&refusal.to_string())))
                .fix("write what the model is to answer as `content`, or take the sample out"));
        }
        let (content, mut fields) = if calls::calling(&speaker) {
            self.call(number, turn, what)?
        } else {
            self.said(number, role, turn, (who, what))?
        };
        self.no_label(number, turn)?;
        self.mark(number, role, turn)?;
        let mut message = Message::new(role, content);
        let further = fields.keys().any(|k| k != "role" && k != "content");
        if further || self.tools {
            fields.entry("role").or_insert(Value::Null);
            message.fields = Some(fields);
        }
        self.object.messages.push(message);
        let known = |k: &str| {
            let of_templates = [FIELDS, THOUGHTS, CALLS].iter().any(|f| f.contains(&k));
            k == who || k == what || of_templates || marks::is_mark(k)
        };
        let unused = turn.iter().filter(|(k, v)| !known(k) && !v.is_null());
        let unused: Vec<String> = unused.map(|(k, _)| format!("{}[].{k}", self.key)).collect();
        self.object.unused.extend(unused);
        Ok(())
    }

    fn field<'t>(
        &self,
        number: usize,
        turn: &'t Map<String, Value>,
        part: &str,
    ) -> Result<&'t Value> {
        turn.get(part).ok_or_else(|| {
            let keys: Vec<&str> = turn.keys().map(String::as_str).collect();
            self.at
                .unknown(format!("{} is missing", self.name(number, part)))
                .why(format!("the turn has the keys: {}", keys.join(", ")))
                .fix("a turn has `role` and `content`, or `from` and `value`")
        })
    }

    /// A turn that is a call: an answer without a text, in the form that templates render.
    fn call(
        &self,
        number: usize,
        turn: &Map<String, Value>,
        what: &str,
    ) -> Result<(String, Map<String, Value>)> {
        let value = self.field(number, turn, what)?;
        let calls = calls::from_text(value, &self.name(number, what), self.at)?;
        let fields = [
            ("role".to_owned(), Value::Null),
            ("content".to_owned(), Value::Null),
            ("tool_calls".to_owned(), Value::Array(calls)),
        ];
        Ok((String::new(), fields.into_iter().collect()))
    }

    /// What a turn says, and its fields in the order they are written in; those that are null are left out, as
    /// transformers does. Role and text have their places there and no value.
    fn said(
        &self,
        number: usize,
        role: &str,
        turn: &Map<String, Value>,
        (who, what): (&str, &str),
    ) -> Result<(String, Map<String, Value>)> {
        let mut fields = Map::new();
        for (key, value) in turn.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                k if k == who => {
                    fields.insert("role".into(), Value::Null);
                }
                k if k == what => {
                    fields.insert("content".into(), Value::Null);
                }
                k if CALLS.contains(&k) => {
                    let calls = calls::of_turn(k, value, &self.name(number, k), self.at)?;
                    self.add(&mut fields, number, "tool_calls", calls)?;
                }
                k if FIELDS.contains(&k) => {
                    fields.insert(key.clone(), value.clone());
                }
                k if THOUGHTS.contains(&k) => {
                    let thought = text(value, &self.name(number, k), self.at)?;
                    fields.insert(key.clone(), thought.into());
                }
                _ => {}
            }
        }
        let name = self.name(number, what);
        let content = match turn.get(what) {
            Some(Value::Array(list)) => {
                let Parts { text, fields: more } = parts::read(list, &name, self.at)?;
                for (key, value) in more {
                    self.add(&mut fields, number, &key, value)?;
                }
                text
            }
            None | Some(Value::Null) if calls_in(&fields) => String::new(),
            _ => text(self.field(number, turn, what)?, &name, self.at)?,
        };
        if role != "assistant" && fields.contains_key("tool_calls") {
            return Err(self
                .at
                .unknown(format!(
                    "{} stands in a message of {role}",
                    self.name(number, "tool_calls")
                ))
                .why("only an answer calls tools; what a tool gives back has the role `tool`")
                .fix("give the message the role `assistant`, or take `tool_calls` out"));
        }
        Ok((content, fields))
    }

    /// Adds a field that is not there yet.
    fn add(
        &self,
        fields: &mut Map<String, Value>,
        number: usize,
        key: &str,
        value: Value,
    ) -> Result<()> {
        match fields.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(self
                .at
                .error(
                    Code::Ambiguous,
                    format!("{} is said twice in one message", self.name(number, key)),
                )
                .why("it stands in fields of two names, or in a field and in a part of the content")
                .fix("take one of the two out")),
        }
    }

    /// A label that calls a turn bad is no key to pass over.
    fn no_label(&self, number: usize, turn: &Map<String, Value>) -> Result<()> {
        let bad = |(key, value): &(&String, &Value)| {
            preference::is_label(key) && marks::flag(value) == Some(false)
        };
        match turn.iter().find(bad) {
            None => Ok(()),
            Some((key, _)) => Err(self
                .at
                .error(
                    Code::BadWeight,
                    format!("{} calls a turn bad", self.name(number, key)),
                )
                .why("a label beside the turns is read as preference data, one of a single turn is not")
                .fix("write `train: false` where the answer is not to be learned")
                .fix("or give the field another name where it says something else")),
        }
    }

    /// Notes a turn that is not to be learned.
    fn mark(&mut self, number: usize, role: &str, turn: &Map<String, Value>) -> Result<()> {
        let name = |key: &str| format!("{}[{number}].{key}", self.key);
        let index = self.object.messages.len();
        match (marks::of(turn, &name, self.at)?, role) {
            (Some((true, key)), role) if role != "assistant" => {
                return Err(marks::no_answer(&name(key), role, self.at));
            }
            (Some((false, _)), "assistant") => self.object.unlearned.push(index),
            (Some((false, _)), _) => self.object.unlearned_prompts.push(index),
            _ => {}
        }
        Ok(())
    }

    /// Puts the prompt that stands beside the list before its turns.
    fn system(&mut self, object: &Map<String, Value>) -> Result<()> {
        let Some(system) = object.get("system").filter(|v| !v.is_null()) else {
            return Ok(());
        };
        let system = text(system, "system", self.at)?;
        let first = self.object.messages.first();
        let first = first.filter(|message| message.role == "system");
        if system.is_empty() || first.is_some_and(|message| message.content == system) {
            return Ok(());
        }
        if first.is_some() {
            return Err(self
                .at
                .error(Code::Ambiguous, "a sample has two system prompts")
                .why(format!("`system` is {}", excerpt(&system)))
                .why(format!("`{}` begins with another one", self.key))
                .fix("take one of the two out, or join them"));
        }
        let mut message = Message::new("system", system);
        if self.tools {
            let fields = ["role", "content"].map(|k| (k.to_owned(), Value::Null));
            message.fields = Some(fields.into_iter().collect());
        }
        let Object {
            messages,
            unlearned,
            unlearned_prompts,
            ..
        } = &mut self.object;
        messages.insert(0, message);
        for index in unlearned.iter_mut().chain(unlearned_prompts) {
            *index += 1;
        }
        Ok(())
    }
}

fn calls_in(fields: &Map<String, Value>) -> bool {
    let calls = fields.get("tool_calls").and_then(Value::as_array);
    calls.is_some_and(|calls| !calls.is_empty())
}
