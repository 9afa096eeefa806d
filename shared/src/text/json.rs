//! A value as `json.dumps` writes it.
//!
//! In: what a template hands to `tojson`. Out: its text: Python's separators, its numbers, its escapes, keys in their
//! order. Keeps: whole floats stay floats (`25.0`), integers of 64 bits and more keep every digit.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::python;

/// How `json.dumps` is asked to write.
struct Style {
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    /// Between two items, and between a key and its value.
    separators: (String, String),
}

impl Style {
    fn of(ensure_ascii: Option<Value>, options: &Kwargs) -> Result<Self, Error> {
        let ensure_ascii: Option<Value> = ensure_ascii.or(options.get("ensure_ascii")?);
        let sort_keys: Option<Value> = options.get("sort_keys")?;
        let indent: Option<Value> = options.get("indent")?;
        let separators: Option<Value> = options.get("separators")?;
        options.assert_all_used()?;
        let indent = indent.filter(|value| !value.is_none());
        let indent = match &indent {
            Some(value) if value.as_str().is_some() => value.as_str().map(str::to_owned),
            Some(value) => Some(" ".repeat(usize::try_from(value.clone())?)),
            None => None,
        };
        let between = if indent.is_some() { "," } else { ", " };
        let separators = match separators.filter(|value| !value.is_none()) {
            None => (between.to_owned(), ": ".to_owned()),
            Some(pair) => {
                let part = |at| {
                    pair.get_item_by_index(at)
                        .map(|part: Value| part.to_string())
                };
                (part(0)?, part(1)?)
            }
        };
        Ok(Self {
            ensure_ascii: ensure_ascii.is_some_and(|flag| flag.is_true()),
            sort_keys: sort_keys.is_some_and(|flag| flag.is_true()),
            indent,
            separators,
        })
    }
}

/// The filter as transformers defines it: `json.dumps(x, ensure_ascii=False, indent=None, separators=None,
/// sort_keys=False)`. Nothing is escaped for HTML.
pub(super) fn tojson(
    value: &Value,
    ensure_ascii: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let mut text = String::new();
    write(value, &Style::of(ensure_ascii, &options)?, 0, &mut text)?;
    Ok(Value::from_safe_string(text))
}

fn write(value: &Value, style: &Style, depth: usize, text: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => text.push_str("null"),
        ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => text.push_str(&number(value)?),
        ValueKind::String => string(value.as_str().unwrap_or_default(), style, text),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.collect::<Vec<_>>();
            between(&items, ('[', ']'), style, depth, text, |item, text| {
                write(item, style, depth + 1, text)
            })?;
        }
        ValueKind::Map => {
            let mut keys = value.try_iter()?.collect::<Vec<_>>();
            if style.sort_keys {
                keys.sort_by_key(ToString::to_string);
            }
            between(&keys, ('{', '}'), style, depth, text, |key, text| {
                string(&name(key)?, style, text);
                text.push_str(&style.separators.1);
                write(&value.get_item(key)?, style, depth + 1, text)
            })?;
        }
        kind => {
            let what = format!("Object of type {kind} is not JSON serializable");
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
    }
    Ok(())
}

/// The items between their brackets, each on a line of its own where the text is indented.
fn between(
    items: &[Value],
    (open, close): (char, char),
    style: &Style,
    depth: usize,
    text: &mut String,
    mut one: impl FnMut(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |depth: usize, text: &mut String| {
        if let Some(indent) = &style.indent {
            text.push('\n');
            text.push_str(&indent.repeat(depth));
        }
    };
    text.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push_str(&style.separators.0);
        }
        line(depth + 1, text);
        one(item, text)?;
    }
    if !items.is_empty() {
        line(depth, text);
    }
    text.push(close);
    Ok(())
}

/// A key as JSON has it: Python turns numbers, flags and `None` into texts.
fn name(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::Number => number(key)?,
        _ => key.to_string(),
    })
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let float = f64::try_from(value.clone())?;
    Ok(match (float.is_nan(), float.is_infinite()) {
        (true, _) => "NaN".to_owned(),
        (_, true) if float > 0.0 => "Infinity".to_owned(),
        (_, true) => "-Infinity".to_owned(),
        _ => python::float(float),
    })
}

fn string(value: &str, style: &Style, text: &mut String) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            letter if letter < ' ' || (style.ensure_ascii && !(' '..='~').contains(&letter)) => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // A `String` takes whatever is written to it.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
            letter => text.push(letter),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::functions::from_json;
    use super::*;

    fn shown(filter: &str, json: &str) -> String {
        let mut environment = minijinja::Environment::new();
        environment.add_filter("tojson", tojson);
        let value = from_json(&serde_json::from_str(json).unwrap());
        let source = format!("{{{{ v|{filter} }}}}");
        environment
            .render_str(&source, Value::from_pairs([("v", value)]))
            .unwrap()
    }

    /// Expected texts: `json.dumps` of CPython 3.
    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let numbers = "[25.0, 1.0, -0.0, 0.1, 1e-7, 0.0001, 1e16, 1e15, 1e22, 12345678901234567.0, \
                       9223372036854775808, 18446744073709551615, -9223372036854775808]";
        assert_eq!(
            shown("tojson", numbers),
            "[25.0, 1.0, -0.0, 0.1, 1e-07, 0.0001, 1e+16, 1000000000000000.0, 1e+22, 1.2345678901234568e+16, \
             9223372036854775808, 18446744073709551615, -9223372036854775808]"
        );
    }

    #[test]
    fn texts_are_escaped_as_python_escapes_them() {
        let text = r#"["J\u00fcrgen \ud83d\ude00", "\u0000\b\f\n\r\t\"\\\u007f<b>&'"]"#;
        assert_eq!(
            shown("tojson", text),
            "[\"Jürgen 😀\", \"\\u0000\\b\\f\\n\\r\\t\\\"\\\\\u{7f}<b>&'\"]"
        );
        assert_eq!(
            shown("tojson(ensure_ascii=true)", text),
            r#"["J\u00fcrgen \ud83d\ude00", "\u0000\b\f\n\r\t\"\\\u007f<b>&'"]"#
        );
    }

    #[test]
    fn order_indent_and_separators_are_those_asked_for() {
        let json = r#"{"b": [1, {}], "a": [], "c": null}"#;
        assert_eq!(
            shown("tojson", json),
            r#"{"b": [1, {}], "a": [], "c": null}"#
        );
        assert_eq!(
            shown("tojson(sort_keys=true, separators=(',', ':'))", json),
            r#"{"a":[],"b":[1,{}],"c":null}"#
        );
        assert_eq!(
            shown("tojson(indent=2)", json),
            "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": [],\n  \"c\": null\n}"
        );
        assert_eq!(
            shown("tojson(4)", "[1, \"ü\"]"),
            "[1, \"\\u00fc\"]",
            "the first argument is ensure_ascii"
        );
        assert_eq!(
            shown("tojson(indent=1, separators=(', ', ': '))", "[1, 2]"),
            "[\n 1, \n 2\n]"
        );
    }
}
