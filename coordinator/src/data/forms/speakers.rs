//! The roles of a list of turns: names that tools write, and what they mean.
//!
//! In: the name of a speaker. Out: the role of the message. Keeps: a name that is not known is never guessed; the
//! refusal shows the settings that would read it.

use serde_json::Value;
use shared::error::{Error, Result};

use super::at::At;
use super::calls;
use super::columns::entries;

/// The role of a name; nothing where it is not known.
pub(super) fn role(name: &str) -> Option<&'static str> {
    match name.to_lowercase().as_str() {
        "user" | "human" => Some("user"),
        "assistant" | "gpt" | "chatgpt" | "model" | "bot" => Some("assistant"),
        "system" => Some("system"),
        "developer" => Some("developer"),
        name if calls::answering(name) => Some("tool"),
        name if calls::calling(name) => Some("assistant"),
        _ => None,
    }
}

/// The role of a name, or why there is none: `field` is where it stands among `turns`.
pub(super) fn known(name: &str, field: &str, turns: &[Value], at: At<'_>) -> Result<&'static str> {
    role(name).ok_or_else(|| unknown(name, field, turns, at))
}

fn unknown(name: &str, field: &str, turns: &[Value], at: At<'_>) -> Error {
    let names = turns.iter().filter_map(|turn| {
        let named = ["from", "role"].iter().find_map(|key| turn.get(*key));
        named.and_then(Value::as_str)
    });
    let mut others: Vec<&str> = Vec::new();
    let mut roles: Vec<&str> = Vec::new();
    for name in names {
        match role(name) {
            Some(role) => roles.push(role),
            None if !others.contains(&name) => others.push(name),
            None => {}
        }
    }
    let error = at
        .unknown(format!("{field} names a role nobody knows: {name:?}"))
        .why("known: system, developer; user, human; assistant, gpt, chatgpt, model, bot; tool, observation, function; function_call, tool_call");
    let setting = |parts: &[(&str, &str)]| entries("roles", parts);
    match others[..] {
        [one, other] => error
            .fix(format!(
                "{} when {one} asks and {other} answers",
                setting(&[("user", one), ("assistant", other)])
            ))
            .fix(format!(
                "{} when {other} asks and {one} answers",
                setting(&[("user", other), ("assistant", one)])
            )),
        [one] => {
            let lacking = ["user", "assistant"].into_iter();
            let lacking: Vec<&str> = lacking.filter(|role| !roles.contains(role)).collect();
            let parts = match lacking[..] {
                [] => vec!["assistant", "user", "system"],
                _ => lacking,
            };
            let does = |part: &str| match part {
                "user" => "asks",
                "assistant" => "answers",
                _ => "gives instructions",
            };
            parts.into_iter().fold(error, |error, part| {
                error.fix(format!("{} when {one} {}", setting(&[(part, one)]), does(part)))
            })
        }
        _ => error
            .why(format!("names in this sample: {}", others.join(", ")))
            .fix("--set 'roles=[user=NAME,assistant=NAME,system=NAME]' with these names says who speaks")
            .fix("or take the sample out"),
    }
}
