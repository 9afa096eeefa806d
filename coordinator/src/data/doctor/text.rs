//! Texts as the checks compare them.

use std::borrow::Cow;

use serde_json::Value;
use shared::text::Message;

/// Half-width, lower case, without white space and punctuation: what stays is what is said.
pub(super) fn folded(text: &str) -> String {
    let said = text.chars().map(half_width).filter(|c| c.is_alphanumeric());
    said.flat_map(char::to_lowercase).collect()
}

/// Full-width letters, digits and signs (U+FF01 to U+FF5E) as their ASCII counterparts.
pub(super) fn half_width(c: char) -> char {
    match u32::from(c) {
        code @ 0xff01..=0xff5e => char::from_u32(code - 0xfee0).unwrap_or(c),
        0x3000 => ' ',
        _ => c,
    }
}

/// Whether it is a Chinese character.
pub(super) fn is_han(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// A key that equal texts share.
pub(super) fn key<'a>(parts: impl Iterator<Item = &'a str>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// Roles and folded texts of some messages, calls of tools with them, and the tools.
pub(super) fn folded_key(messages: &[Message], tools: Option<&Value>) -> [u8; 16] {
    let folded: Vec<_> = messages
        .iter()
        .map(|m| (m.role.as_str(), folded(&said(m))))
        .collect();
    let tools = tools.map(ToString::to_string);
    let messages = folded
        .iter()
        .flat_map(|(role, text)| [*role, text.as_str()]);
    key(messages.chain(tools.as_deref()))
}

/// What a message says: its text, and what it calls, whatever the ids of the calls.
pub(super) fn said(message: &Message) -> Cow<'_, str> {
    let calls = message.fields.as_ref().and_then(|f| f.get("tool_calls"));
    let Some(calls) = calls.and_then(Value::as_array) else {
        return Cow::Borrowed(&message.content);
    };
    let mut text = message.content.clone();
    for call in calls {
        text.push_str(&call.get("function").unwrap_or(call).to_string());
    }
    Cow::Owned(text)
}

/// `1 answer`, `2 answers`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
