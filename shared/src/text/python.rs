//! Values as Python prints them: `None`, `True`, `['a', 1]`, `{'k': 'v'}`.
//!
//! In: what a template writes between `{{` and `}}`. Out: its text. Texts and undefined values are
//! left to the engine, which agrees with Python on them.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value, escape_formatter};

/// Writes a value as `str(value)` would.
pub(super) fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            repr(value, &mut text)?;
            out.write_str(&text).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

fn repr(value: &Value, text: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), text),
        ValueKind::Seq => {
            text.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                repr(&item, text)?;
            }
            text.push(']');
        }
        ValueKind::Map => {
            text.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                repr(&key, text)?;
                text.push_str(": ");
                repr(&value.get_item(&key)?, text)?;
            }
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
    Ok(())
}

/// A text in the quotes that Python would take.
fn quoted(value: &str, text: &mut String) {
    let quote = if value.contains('\'') && !value.contains('"') {
        '"'
    } else {
        '\''
    };
    text.push(quote);
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            letter if letter == quote => text.extend(['\\', letter]),
            letter if letter.is_control() => {
                // A `String` takes whatever is written to it.
                let _ = write!(text, "\\x{:02x}", u32::from(letter));
            }
            letter => text.push(letter),
        }
    }
    text.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts: `str()` of CPython 3.
    #[test]
    fn values_are_printed_as_python_does() {
        let mut environment = minijinja::Environment::new();
        environment.set_formatter(write);
        let json = serde_json::json!({"a": [1, 2.5, true, null, "x"], "b": "it's", "c": "\"'\n\\"});
        let shown = |source: &str| {
            let context = Value::from_pairs([("v", super::super::functions::from_json(&json))]);
            environment.render_str(source, context).unwrap()
        };
        assert_eq!(
            shown("{{ v }}"),
            r#"{'a': [1, 2.5, True, None, 'x'], 'b': "it's", 'c': '"\'\n\\'}"#
        );
        assert_eq!(
            shown("{{ none }} {{ 1 == 1 }} {{ gone }}{{ 'x' }}"),
            "None True x"
        );
    }
}
