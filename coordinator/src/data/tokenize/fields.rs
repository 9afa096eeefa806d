//! What becomes of fields of messages that are more than role and text.
//!
//! In: a conversation, and its rendering. Out: whether it may be rendered as it is marked, and what of it is not in the
//! text. Keeps: a thought that the template does not write, and a role that it does not know, are told.

use serde_json::Value;
use shared::config::LossOn;
use shared::error::{Code, Error, Result};
use shared::text::ChatTemplate;

use crate::data::sample::{Conversation, Lost};

/// Fields that hold a thought.
const THOUGHTS: &[&str] = &["reasoning_content", "reasoning", "thinking"];
/// A role that not every template knows.
const DEVELOPER: &str = "developer";

/// Refuses marks and roles that this run or this template cannot keep.
pub(crate) fn allowed(
    sample: &Conversation,
    template: &ChatTemplate,
    loss_on: LossOn,
) -> Result<()> {
    if let Some(&index) = sample
        .unlearned_prompts
        .first()
        .filter(|_| loss_on == LossOn::All)
    {
        let role = &sample.messages[index].role;
        return Err(Error::new(
            Code::BadWeight,
            format!(
                "message {} ({role}) is marked as not to be learned, and `loss_on: all` learns it",
                index + 1
            ),
        )
        .why("only answers can be taken out of a whole sequence")
        .fix("--set loss_on=response learns answers only, or take the mark out"));
    }
    let developer = sample.messages.iter().any(|m| m.role == DEVELOPER);
    if developer && !template.mentions(DEVELOPER) {
        return Err(Error::new(
            Code::TemplateRefused,
            "the chat template does not know the role `developer`",
        )
        .in_file(template.file())
        .why("it would be written as a role that the base model was never taught")
        .fix("--set 'roles=[system=developer]' reads it as `system`"));
    }
    Ok(())
}

/// What is not in the text as it is meant. A call that is not there is refused: its answer would be learned as an
/// empty one.
pub(crate) fn lost(sample: &Conversation, template: &ChatTemplate, text: &str) -> Result<Lost> {
    let mut lost = Lost::default();
    let there = |item: &Value| name(item).is_none_or(|name| text.contains(name));
    let tools = sample.tools.iter().filter_map(Value::as_array).flatten();
    lost.tool = !tools.into_iter().all(there);
    for fields in sample.messages.iter().filter_map(|m| m.fields.as_ref()) {
        let thoughts = THOUGHTS.iter().filter_map(|key| fields.get(*key)?.as_str());
        lost.thought |= thoughts.into_iter().any(|t| !text.contains(t.trim()));
        let calls = fields.get("tool_calls").and_then(Value::as_array);
        for call in calls.into_iter().flatten() {
            if !there(call) {
                return Err(no_call(call, template));
            }
            lost.escaped |= escaped(call, text);
        }
    }
    Ok(lost)
}

/// The name of a tool, or of the tool that is called.
fn name(item: &Value) -> Option<&str> {
    item.get("function").unwrap_or(item).get("name")?.as_str()
}

fn no_call(call: &Value, template: &ChatTemplate) -> Error {
    Error::new(
        Code::TemplateRefused,
        "the chat template does not write the calls of tools",
    )
    .in_file(template.file())
    .why(format!(
        "the call of `{}` is not in the text, so the answer would be learned without it",
        name(call).unwrap_or_default()
    ))
    .fix("use a base model whose chat template has a form for calls")
    .fix("or take the samples with calls out")
}

/// Whether arguments that are a text of JSON are written as a text within a text.
fn escaped(call: &Value, text: &str) -> bool {
    let arguments = call.get("function").unwrap_or(call).get("arguments");
    let Some(arguments) = arguments.and_then(Value::as_str) else {
        return false;
    };
    // Quotes are escaped alike by all writers of JSON; a text without one is the same in both ways.
    arguments.contains('"')
        && !text.contains(arguments)
        && text.contains(&arguments.replace('\\', "\\\\").replace('"', "\\\""))
}
