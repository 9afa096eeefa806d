//! Content that is a list of parts: OpenAI's, and those of the tools that write thoughts and calls so.
//!
//! In: the list. Out: its text, thoughts and calls. Keeps: texts follow one another with nothing between
//! them, as published chat templates write them; a part that is no text is refused by its name.

use serde_json::{Map, Value};
use shared::error::{Error, Result};

use super::at::At;
use super::calls;
use crate::data::excerpt::excerpt;

/// What the parts of a content are.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub text: String,
    /// Fields of the message that the parts say: thoughts and calls.
    pub fields: Map<String, Value>,
}

/// Where a part of this type has its value, and the field of the message that it becomes; none for text.
const KNOWN: &[(&str, &[&str], Option<&str>)] = &[
    ("text", &["text", "value", "content"], None),
    ("input_text", &["text"], None),
    ("output_text", &["text"], None),
    (
        "reasoning",
        &["value", "reasoning", "text"],
        Some("reasoning_content"),
    ),
    ("thinking", &["thinking", "value", "text"], Some("thinking")),
];

/// Reads a list of parts.
pub(super) fn read(parts: &[Value], name: &str, at: At<'_>) -> Result<Parts> {
    let mut all = Parts::default();
    for (number, part) in (1..).zip(parts) {
        let name = format!("{name}[{number}]");
        let fields = part.as_object();
        let kind = fields.and_then(|part| part.get("type")?.as_str());
        let (Some(fields), Some(kind)) = (fields, kind) else {
            return Err(at
                .unknown(format!("{name} is no part of a content"))
                .why(format!("it is {}", excerpt(&part.to_string())))
                .fix("write each part as {\"type\": \"text\", \"text\": ...}, or the content as one string"));
        };
        if kind == "tool_call" {
            let call = fields.get("value").or_else(|| fields.get("tool_call"));
            let call = calls::from_text(call.unwrap_or(&Value::Null), &name, at)?;
            let list = all.fields.entry("tool_calls");
            if let Value::Array(list) = list.or_insert_with(|| Value::Array(Vec::new())) {
                list.extend(call);
            }
            continue;
        }
        let Some((_, places, field)) = KNOWN.iter().find(|(known, ..)| *known == kind) else {
            return Err(refused(kind, &name, at));
        };
        let value = places.iter().find_map(|place| fields.get(*place));
        let Some(text) = value.and_then(Value::as_str) else {
            return Err(at
                .unknown(format!("{name} has no text"))
                .why(format!("it is {}", excerpt(&part.to_string())))
                .fix(format!(
                    "a part of type {kind} has its text under `{}`",
                    places[0]
                )));
        };
        match field {
            None => all.text.push_str(text),
            Some(field) => {
                let earlier = all.fields.get(*field).and_then(Value::as_str);
                let whole = format!("{}{text}", earlier.unwrap_or_default());
                all.fields.insert((*field).to_owned(), whole.into());
            }
        }
    }
    Ok(all)
}

fn refused(kind: &str, name: &str, at: At<'_>) -> Error {
    let about = match kind {
        "image_url" | "image" | "input_image" => "a picture",
        "input_audio" | "audio" | "audio_url" => "sound",
        "video" | "video_url" => "a film",
        "file" | "input_file" => "a file",
        "refusal" => "a refusal",
        "tool_use" | "tool_result" => "a call of a tool in another form",
        _ => "nothing that is known here",
    };
    let error = at
        .unknown(format!(
            "{name} is a part of type {kind:?}, which is not read"
        ))
        .why(format!(
            "it is {about}; parts of a content that are read: text, reasoning, thinking, tool_call"
        ));
    match kind {
        "refusal" => error.fix("write what the model is to answer as a part of type \"text\""),
        "tool_use" | "tool_result" => error
            .fix("write calls as `tool_calls` of the answer, and what a tool gives back as a message of the role `tool`"),
        _ => error.fix("take the sample out: only texts are trained on"),
    }
}
