//! Values as YAML, as this program writes them.
//!
//! Keeps: other YAML readers read the same values (exponents have a point, text that could be something
//! else is quoted).

use std::path::Path;

use super::document::{Node, Source};

/// A node as this program writes it.
#[must_use]
pub fn node_yaml(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Flag(value) => value.to_string(),
        Node::Whole(value) => value.to_string(),
        Node::Real(value) => real(*value),
        Node::Text(value) => text(value),
        Node::List(items) => list(items.iter().map(|item| node_yaml(&item.node))),
        Node::Map(_) => node.to_json().to_string(),
    }
}

/// A list of what is YAML already.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// What is YAML already, or nothing.
pub(super) fn optional(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".into())
}

/// A path as YAML text; what is not UTF-8 in it shows as U+FFFD.
pub(super) fn path(value: &Path) -> String {
    text(&value.to_string_lossy())
}

/// The shortest digits that read back to the same number; an exponent comes with a point, since
/// some YAML readers take `1e-5` for text.
pub(super) fn real(value: f64) -> String {
    let text = format!("{value:?}");
    if let Some(whole) = text.strip_suffix(".0") {
        return whole.into();
    }
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            format!("{mantissa}.0e{exponent}")
        }
        _ => text,
    }
}

/// Text as it is where it can only be that text, quoted otherwise.
pub(super) fn text(value: &str) -> String {
    let simple = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let plain = value.starts_with(|c: char| c.is_alphabetic() || c == '/')
        && value.chars().all(simple)
        && !value.chars().any(unsafe_in_yaml);
    let yes_or_no = ["y", "n", "yes", "no", "on", "off"].contains(&value.to_lowercase().as_str());
    let itself = plain
        && !yes_or_no
        && Source::new("value", value)
            .item()
            .is_ok_and(|item| item.node == Node::Text(value.to_owned()));
    if itself {
        value.to_owned()
    } else {
        quoted(value)
    }
}

/// Text in quotes.
pub(super) fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if unsafe_in_yaml(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Characters that YAML forbids, or takes for the end of a line.
pub(super) fn unsafe_in_yaml(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}
