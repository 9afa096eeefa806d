//! A conversation as the JSON object it would be read from.
//!
//! In: a conversation. Out: `{"messages": [...]}`, with `tools` and `weight` where they are said; plain text as
//! `{"text": ...}`.
//! Keeps: whoever reads it gets the same conversation, but for its place.

use serde_json::{Map, Value, json};
use shared::text::Message;

use super::sample::Conversation;

/// The object that a reader of `messages` makes this conversation of.
#[must_use]
pub fn to_json(conversation: &Conversation) -> Value {
    if let Some(text) = conversation.plain_text() {
        return json!({"text": text});
    }
    let messages = conversation.messages.iter().enumerate();
    let messages = messages.map(|(index, message)| {
        let mut fields = turn(message);
        let marked = [&conversation.unlearned, &conversation.unlearned_prompts];
        if marked.iter().any(|marked| marked.contains(&index)) {
            fields.insert("weight".into(), json!(0));
        }
        Value::Object(fields)
    });
    let mut object = Map::new();
    object.insert("messages".into(), messages.collect());
    if let Some(tools) = &conversation.tools {
        object.insert("tools".into(), tools.clone());
    }
    Value::Object(object)
}

fn turn(message: &Message) -> Map<String, Value> {
    let Some(fields) = &message.fields else {
        let (role, content) = (message.role.as_str(), message.content.as_str());
        return [
            ("role".into(), role.into()),
            ("content".into(), content.into()),
        ]
        .into_iter()
        .collect();
    };
    let field = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "role" => message.role.as_str().into(),
            "content" => message.content.as_str().into(),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    fields.iter().map(field).collect()
}
