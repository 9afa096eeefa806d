//! `messages` and `conversations`: lists of turns, with weights, tool calls and tool results.
//!
//! In: an object with such a list. Out: its turns; which answers have weight 0; the list of tools.
//! Keeps: a message of a sample with tools reaches the template with the fields it is written with;
//! where there are none, a message is its role and its text. Nothing of a weight reaches it.

use serde_json::{Map, Value};
use shared::error::{Code, Result};
use shared::text::Message;

use super::at::At;
use super::object::{Object, text};
use crate::data::excerpt::excerpt;
use crate::data::file_report::Form;

/// Fields of a message that templates read, beside role and content, where there are tools.
const TOOL_FIELDS: &[&str] = &["tool_calls", "tool_call_id", "name"];
const WEIGHT: &str = "weight";
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
        tools: with_tools(object, turns),
        object: Object::new(Form::Messages, Vec::new()),
    };
    if let Some(system) = object.get("system").filter(|v| !v.is_null()) {
        let system = Message::new("system", text(system, "system", at)?);
        list.object.messages.push(list.whole(system, None));
    }
    for (number, turn) in (1..).zip(turns) {
        let turn = turn.as_object().ok_or_else(|| {
            at.unknown(format!("{key}[{number}] is no object"))
                .why(format!("it is {}", excerpt(&turn.to_string())))
                .fix(TURNS)
        })?;
        list.turn(number, turn)?;
    }
    let mut used = vec![key, "system"];
    if list.tools {
        list.object.tools = tools(object, at)?;
        used.push("tools");
    }
    let mut found = list.object;
    let unused = object.keys().filter(|k| !used.contains(&k.as_str()));
    found.unused.extend(unused.cloned());
    Ok(found)
}

/// Whether tools play a part: some are named, called, or answer.
fn with_tools(object: &Map<String, Value>, turns: &[Value]) -> bool {
    let said = |value: Option<&Value>| value.is_some_and(|v| !v.is_null());
    let shares = |turn: &Value| turn.get("from").is_some();
    let plays = |turn: &Value| said(turn.get("tool_calls")) || turn["role"] == "tool";
    !turns.iter().any(shares) && (said(object.get("tools")) || turns.iter().any(plays))
}

fn tools(object: &Map<String, Value>, at: At<'_>) -> Result<Option<Value>> {
    let Some(tools) = object.get("tools").filter(|v| !v.is_null()) else {
        return Ok(None);
    };
    let whole = |list: &&Vec<Value>| list.iter().all(Value::is_object);
    match tools.as_array().filter(whole) {
        Some(_) => Ok(Some(tools.clone())),
        None => Err(at
            .unknown("`tools` is no list of objects")
            .why(format!("it is {}", excerpt(&tools.to_string())))
            .fix("write the tools as a list of JSON objects, not as text")),
    }
}

/// A list on its way to an object.
struct List<'a> {
    key: &'a str,
    at: At<'a>,
    tools: bool,
    object: Object,
}

impl List<'_> {
    fn turn(&mut self, number: usize, turn: &Map<String, Value>) -> Result<()> {
        let (key, at) = (self.key, self.at);
        let name = |part: &str| format!("{key}[{number}].{part}");
        let (who, what) = if turn.contains_key("from") {
            self.object.form = Form::ShareGpt;
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
        let role = role(&field(who)?, &name(who), at, self.tools)?;
        let calls = self.calls(number, role, turn)?;
        let silent = calls && turn.get(what).is_none_or(Value::is_null);
        let content = if silent { String::new() } else { field(what)? };
        if self.unlearned(number, role, turn)? {
            self.object.unlearned.push(self.object.messages.len());
        }
        let message = self.whole(Message::new(role, content), Some(turn));
        self.object.messages.push(message);
        let known = |k: &str| {
            let of_tools = self.tools && TOOL_FIELDS.contains(&k);
            k == who || k == what || of_tools || (k == WEIGHT && who == "role")
        };
        let unused = turn.keys().filter(|k| !known(k));
        let unused: Vec<String> = unused.map(|k| format!("{key}[].{k}")).collect();
        self.object.unused.extend(unused);
        Ok(())
    }

    /// With tools, the message with all its fields, in the order they are written in; those that are
    /// null are left out, as transformers does. Role and text have their places there and no value.
    fn whole(&self, mut message: Message, turn: Option<&Map<String, Value>>) -> Message {
        if !self.tools {
            return message;
        }
        let mut fields = Map::new();
        match turn {
            Some(turn) => {
                let kept = |k: &str| k == "role" || k == "content" || TOOL_FIELDS.contains(&k);
                let kept = turn.iter().filter(|(k, v)| kept(k) && !v.is_null());
                fields.extend(kept.map(|(k, v)| match k.as_str() {
                    "role" | "content" => (k.clone(), Value::Null),
                    _ => (k.clone(), v.clone()),
                }));
            }
            None => fields.extend(["role", "content"].map(|k| (k.to_owned(), Value::Null))),
        }
        message.fields = Some(fields);
        message
    }

    /// Whether a turn calls tools; `tool_calls` must be a list of objects, in an answer.
    fn calls(&self, number: usize, role: &str, turn: &Map<String, Value>) -> Result<bool> {
        let Some(calls) = turn
            .get("tool_calls")
            .filter(|v| self.tools && !v.is_null())
        else {
            return Ok(false);
        };
        let name = format!("{}[{number}].tool_calls", self.key);
        let whole = |list: &&Vec<Value>| list.iter().all(Value::is_object);
        if calls.as_array().filter(whole).is_none() {
            return Err(self
                .at
                .unknown(format!("{name} is no list of objects"))
                .why(format!("it is {}", excerpt(&calls.to_string())))
                .fix("write each call as {\"type\": \"function\", \"function\": {\"name\": ..., \"arguments\": ...}}"));
        }
        if role != "assistant" {
            return Err(self
                .at
                .unknown(format!("{name} stands in a message of {role}"))
                .why("only an answer calls tools; what a tool gives back has the role `tool`")
                .fix("give the message the role `assistant`, or take `tool_calls` out"));
        }
        Ok(calls.as_array().is_some_and(|list| !list.is_empty()))
    }

    /// Whether a turn has weight 0. Weights are those of answers, 0 or 1.
    fn unlearned(&self, number: usize, role: &str, turn: &Map<String, Value>) -> Result<bool> {
        let weight = turn.get(WEIGHT).filter(|v| !v.is_null());
        let Some(weight) = weight.filter(|_| !turn.contains_key("from")) else {
            return Ok(false);
        };
        let name = format!("{}[{number}].{WEIGHT}", self.key);
        let bad = |what: String| self.at.error(Code::BadWeight, what);
        if role != "assistant" {
            return Err(bad(format!("{name} stands in a message of {role}"))
                .why("only answers have a weight; which other tokens count, `loss_on` says")
                .fix("take the weight out of this message"));
        }
        match weight.as_f64() {
            Some(0.0) => Ok(true),
            Some(1.0) => Ok(false),
            _ => Err(bad(format!("{name} is neither 0 nor 1"))
                .why(format!("it is {}", excerpt(&weight.to_string())))
                .why("0 leaves the answer out of what is learned, 1 learns it; parts are not built")
                .fix("write 0 or 1")),
        }
    }
}

fn role(name: &str, field: &str, at: At<'_>, tools: bool) -> Result<&'static str> {
    match name.to_lowercase().as_str() {
        "user" | "human" => Ok("user"),
        "assistant" | "gpt" | "chatgpt" | "model" | "bot" => Ok("assistant"),
        "system" => Ok("system"),
        "tool" if tools => Ok("tool"),
        _ => Err(at
            .unknown(format!("{field} names a role nobody knows: {name:?}"))
            .why("known: system; user, human; assistant, gpt, chatgpt, model, bot; in `messages` also tool")
            .fix("rename the role or take the sample out")),
    }
}
