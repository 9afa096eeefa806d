//! Every text of a conversation that personal data may stand in.
//!
//! In: a conversation. Out: its texts in a fixed order: of each message the content, then the other
//! fields of a message with tools (name, calls with their arguments, ids); at last the tools. What is
//! replaced is told by the caller. Keeps: JSON inside a text (`arguments`, what a tool gave back) is
//! read as JSON, so that escapes hide nothing, and only what is replaced in it changes; a number that
//! is replaced becomes a text. A value is read behind the name of its field, as in `phone: 138...`.

use serde_json::{Map, Value};

use super::findings::Finding;
use super::raw;
use crate::data::sample::Conversation;

/// A text as the rules read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldText {
    /// Field name and value, or the value alone.
    pub text: String,
    /// Where the value begins.
    pub from: usize,
}

impl FieldText {
    /// A value behind the name of its field; without a name, alone.
    pub(super) fn new(field: &str, value: &str) -> Self {
        if field.is_empty() {
            return Self {
                text: value.to_owned(),
                from: 0,
            };
        }
        let mut text = words(field);
        text.push_str(": ");
        let from = text.len();
        text.push_str(value);
        Self { text, from }
    }

    /// The value without the name of its field.
    pub(super) fn value(&self) -> &str {
        &self.text[self.from..]
    }

    /// Findings in the text as those in the value; what lies in the field's name is left out.
    pub(super) fn of_value(&self, found: Vec<Finding>) -> Vec<Finding> {
        let moved = |Finding { kind, span }: Finding| Finding {
            kind,
            span: span.start.saturating_sub(self.from)..span.end.saturating_sub(self.from),
        };
        let found = found.into_iter().map(moved);
        found.filter(|finding| !finding.span.is_empty()).collect()
    }
}

/// Takes a piece; what stands in the place of its value, where that is not to stay.
pub(super) type See<'a> = dyn FnMut(&FieldText) -> Option<String> + 'a;

/// Shows every piece of a conversation, in order.
pub(super) fn visit(conversation: &mut Conversation, see: &mut See<'_>) {
    for message in &mut conversation.messages {
        let answers = message.role == "tool";
        let masked = if answers && raw::is_json(&message.content) {
            raw::visit(&message.content, "", see)
        } else {
            see(&FieldText::new("", &message.content))
        };
        if let Some(masked) = masked {
            message.content = masked;
        }
        for (key, field) in message.fields.iter_mut().flatten() {
            match key.as_str() {
                "role" | "content" => {}
                // A tool's name is not a person's.
                "name" if answers => value(field, "", see),
                "name" => value(field, "name", see),
                "tool_calls" => calls(field, see),
                _ => value(field, "", see),
            }
        }
    }
    if let Some(tools) = &mut conversation.tools {
        named(tools, &mut |_| false, see);
    }
}

/// Calls: only what stands in their arguments has fields of its own.
fn calls(value: &mut Value, see: &mut See<'_>) {
    named(value, &mut |key| key == "arguments", see);
}

/// Values without their names, down to a field that opens `inside`, where names count.
fn named(item: &mut Value, inside: &mut dyn FnMut(&str) -> bool, see: &mut See<'_>) {
    match item {
        Value::Object(object) => {
            for (key, item) in object.iter_mut() {
                if inside(key) {
                    value(item, "", see);
                } else {
                    named(item, inside, see);
                }
            }
            rename(object, see);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| named(item, inside, see)),
        leaf => value(leaf, "", see),
    }
}

/// A value behind the name of its field.
fn value(item: &mut Value, field: &str, see: &mut See<'_>) {
    let masked = match item {
        Value::String(text) => raw_or_text(text, field, see),
        Value::Number(number) => see(&FieldText::new(field, &number.to_string())),
        Value::Array(items) => {
            items.iter_mut().for_each(|item| value(item, field, see));
            None
        }
        Value::Object(object) => {
            for (key, item) in object.iter_mut() {
                value(item, key, see);
            }
            rename(object, see);
            None
        }
        Value::Null | Value::Bool(_) => None,
    };
    if let Some(masked) = masked {
        *item = Value::String(masked);
    }
}

/// A text that may be JSON.
pub(super) fn raw_or_text(text: &str, field: &str, see: &mut See<'_>) -> Option<String> {
    if raw::is_json(text) {
        raw::visit(text, field, see)
    } else {
        see(&FieldText::new(field, text))
    }
}

/// Shows the names of an object's fields; none is lost when two get the same.
fn rename(object: &mut Map<String, Value>, see: &mut See<'_>) {
    let masked: Vec<Option<String>> = object.keys().map(|k| see(&FieldText::new("", k))).collect();
    if masked.iter().all(Option::is_none) {
        return;
    }
    let mut renamed = Map::new();
    for ((key, value), masked) in std::mem::take(object).into_iter().zip(masked) {
        let mut key = masked.unwrap_or(key);
        while renamed.contains_key(&key) {
            key.push('_');
        }
        renamed.insert(key, value);
    }
    *object = renamed;
}

/// A field's name in words: `customer_name` and `customerName` as `customer name`.
fn words(field: &str) -> String {
    let mut text = String::with_capacity(field.len() + 2);
    let mut lower = false;
    for c in field.chars() {
        if matches!(c, '_' | '-') {
            text.push(' ');
        } else {
            if lower && c.is_ascii_uppercase() {
                text.push(' ');
            }
            text.extend(c.to_lowercase());
        }
        lower = c.is_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::dataset::RowOrigin;
    use shared::text::Message;

    fn conversation() -> Conversation {
        let mut call = Message::new("assistant", "");
        let calls = json!([{"id": "c1", "function": {"name": "Find", "arguments":
            {"customerName": "李秀英", "phones": [13_800_138_000_u64, true], "raw": "{\"tel\": 1}"}}}]);
        call.fields = json!({"role": null, "tool_calls": calls, "name": "Bot"})
            .as_object()
            .cloned();
        let mut tool = Message::new("tool", "{\"户名\": \"\\u674e\", \"n\": [5]}");
        tool.fields = json!({"role": null, "content": null, "name": "Find"})
            .as_object()
            .cloned();
        let origin = RowOrigin {
            file: "a".into(),
            line: 1,
        };
        let mut conversation =
            Conversation::new(vec![Message::new("user", "{\"a\": 1}"), call, tool], origin);
        conversation.tools = Some(json!([{"function": {"name": "Find", "parameters": {"x": 3}}}]));
        conversation
    }

    #[test]
    fn every_text_is_shown_and_nothing_changes_unasked() {
        let mut seen = Vec::new();
        let mut shown = conversation();
        visit(&mut shown, &mut |piece| {
            seen.push(piece.text.clone());
            None
        });
        assert_eq!(shown, conversation());
        let leaves: Vec<&str> = seen.iter().map(String::as_str).collect();
        assert_eq!(
            leaves,
            [
                "{\"a\": 1}",
                "",
                "c1",
                "Find",
                "customer name: 李秀英",
                "phones: 13800138000",
                "tel",
                "tel: 1",
                "customerName",
                "phones",
                "raw",
                "name",
                "arguments",
                "id",
                "function",
                "name: Bot",
                "户名",
                "户名: 李",
                "n",
                "n: 5",
                "Find",
                "Find",
                "3",
                "x",
                "name",
                "parameters",
                "function",
            ]
        );
    }

    #[test]
    fn what_is_replaced_is_replaced_everywhere_and_the_rest_stays_as_written() {
        let mut masked = conversation();
        visit(&mut masked, &mut |piece| {
            let value = piece.value();
            let hit = value.contains('李') || value.starts_with("138") || value == "1";
            hit.then(|| "[X_1]".to_owned())
        });
        let fields = masked.messages[1].fields.clone().unwrap();
        assert_eq!(
            fields["tool_calls"][0]["function"]["arguments"],
            json!({"customerName": "[X_1]", "phones": ["[X_1]", true], "raw": "{\"tel\": \"[X_1]\"}"})
        );
        assert_eq!(
            masked.messages[2].content,
            "{\"户名\": \"[X_1]\", \"n\": [5]}"
        );
    }

    #[test]
    fn two_fields_that_get_one_name_are_both_kept() {
        let mut object = json!({"138": 1, "b": 2, "1-38": 3})
            .as_object()
            .cloned()
            .unwrap();
        rename(&mut object, &mut |piece| {
            piece.value().contains("38").then(|| "[P_1]".to_owned())
        });
        let kept: Vec<(&str, i64)> = object
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_i64().unwrap()))
            .collect();
        assert_eq!(kept, [("[P_1]", 1), ("b", 2), ("[P_1]_", 3)]);
    }
}
