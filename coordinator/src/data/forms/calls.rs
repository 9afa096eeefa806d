//! Tools and calls of tools, in the forms that files have for them, as OpenAI writes them.
//!
//! In: `tools`, `functions`, `tool_calls`, `function_call`, turns that are calls. Out: a list of tools, a list
//! of calls. Keeps: what is written in OpenAI's form already stays as it is, `arguments` too; texts of JSON are
//! read as what they say; what is none is refused.

use serde_json::{Map, Value, json};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::unique;
use crate::data::excerpt::excerpt;

/// Names of those who call, where a call is a turn of its own.
const CALLING: &[&str] = &["function_call", "function-call", "tool_call", "tool_calls"];
/// Names of tools that give something back.
const ANSWERING: &[&str] = &[
    "tool",
    "observation",
    "function",
    "function_response",
    "function-response",
    "tool_response",
];

/// Whether a turn of this name is a call.
pub(super) fn calling(name: &str) -> bool {
    CALLING.contains(&name.to_lowercase().as_str())
}

/// Whether a turn of this name is what a tool gives back.
pub(super) fn answering(name: &str) -> bool {
    ANSWERING.contains(&name.to_lowercase().as_str())
}

/// Whether tools play a part in a sample: some are named, called, or answer.
pub(super) fn play(object: &Map<String, Value>, turns: &[Value]) -> bool {
    let said = |value: Option<&Value>| value.is_some_and(|v| !v.is_null() && v != "");
    let named = ["tools", "functions"].iter().any(|k| said(object.get(*k)));
    let plays = |turn: &Value| {
        let role = ["role", "from"].iter().find_map(|k| turn.get(*k)?.as_str());
        let calls = ["tool_calls", "function_call"].iter();
        let call = |part: &Value| part["type"] == "tool_call";
        let parts = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(call));
        calls.into_iter().any(|k| said(turn.get(*k)))
            || role.is_some_and(|role| calling(role) || answering(role))
            || turn.get("content").is_some_and(&parts)
    };
    named || turns.iter().any(plays)
}

/// The tools of a sample. `wrap` puts those that are written bare into OpenAI's form.
pub(super) fn tools(object: &Map<String, Value>, wrap: bool, at: At<'_>) -> Result<Option<Value>> {
    let said = |key: &str| object.get(key).filter(|v| !v.is_null() && *v != "");
    let (key, tools, wrap) = match (said("tools"), said("functions")) {
        (None, None) => return Ok(None),
        (Some(tools), None) => ("tools", tools, wrap),
        (None, Some(functions)) => ("functions", functions, true),
        (Some(_), Some(_)) => {
            return Err(at
                .error(Code::Ambiguous, "`tools` and `functions` are both there")
                .why("both name the tools that may be called; `functions` is the older form")
                .fix("take one of the two out"));
        }
    };
    let list = objects(tools).ok_or_else(|| {
        at.unknown(format!("`{key}` is no list of objects"))
            .why(format!("it is {}", excerpt(&tools.to_string())))
            .fix("write the tools as a list of JSON objects, or as a text of one")
    })?;
    let one = |tool: Value| {
        if wrap && tool.get("name").is_some() && tool.get("function").is_none() {
            json!({"type": "function", "function": tool})
        } else {
            tool
        }
    };
    Ok(Some(list.into_iter().map(one).collect()))
}

/// A list of objects, or the text of one.
fn objects(value: &Value) -> Option<Vec<Value>> {
    let list = match value {
        Value::Array(list) => list.clone(),
        Value::String(text) => match unique::value(text).ok()? {
            Value::Array(list) => list,
            _ => return None,
        },
        _ => return None,
    };
    list.iter().all(Value::is_object).then_some(list)
}

/// The calls under `tool_calls` or `function_call` of an answer.
pub(super) fn of_turn(key: &str, value: &Value, name: &str, at: At<'_>) -> Result<Value> {
    if key == "tool_calls" {
        return objects(value).map(Value::Array).ok_or_else(|| {
            at.unknown(format!("{name} is no list of objects"))
                .why(format!("it is {}", excerpt(&value.to_string())))
                .fix("write each call as {\"type\": \"function\", \"function\": {\"name\": ..., \"arguments\": ...}}")
        });
    }
    from_text(value, name, at).map(Value::Array)
}

/// The calls that a turn's text, or an object, is: {name, arguments}, or a list of these.
pub(super) fn from_text(value: &Value, name: &str, at: At<'_>) -> Result<Vec<Value>> {
    let read = match value {
        Value::String(text) => unique::value(text.trim()).map_err(|e| e.to_string()),
        other => Ok(other.clone()),
    };
    let read = read.map_err(|why| no_call(value, name, at).why(why))?;
    let list = match read {
        Value::Array(list) if !list.is_empty() => list,
        other => vec![other],
    };
    let one = |call: Value| {
        let named = |call: &Value| call.get("name").is_some_and(Value::is_string);
        if call.get("function").is_some_and(named) {
            Ok(call)
        } else if named(&call) {
            Ok(json!({"type": "function", "function": call}))
        } else {
            Err(no_call(value, name, at))
        }
    };
    list.into_iter().map(one).collect()
}

fn no_call(value: &Value, name: &str, at: At<'_>) -> Error {
    at.unknown(format!("{name} is no call of a tool"))
        .why(format!("it is {}", excerpt(&value.to_string())))
        .fix("write the call as JSON: {\"name\": ..., \"arguments\": {...}}, several as a list of these")
}
