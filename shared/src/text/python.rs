//! Values as Python prints them: `None`, `True`, `['a', 1]`, `{'k': 'v'}`.
//!
//! In: what a template writes between `{{` and `}}`. Out: its text. Texts and undefined values are
//! left to the engine, which agrees with Python on them. Not here: a float that `~` or `join` makes a text of, where
//! the engine prints by itself.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, Output, State, Value, escape_formatter};

/// Writes a value as `str(value)` would.
pub(super) fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            repr(value, &mut text)?;
            out.write_str(&text).map_err(Error::from)
        }
        _ => escape_formatter(out, state, value),
    }
}

/// `str(value)`, as the filter `string` gives it.
pub(super) fn string(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Seq | ValueKind::Map => {
            let mut text = String::new();
            repr(value, &mut text)?;
            Ok(Value::from(text))
        }
        _ if value.is_safe() => Ok(value.clone()),
        _ => Ok(Value::from(value.to_string())),
    }
}

fn repr(value: &Value, text: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => quoted(value.as_str().unwrap_or_default(), text),
        ValueKind::Number if !value.is_integer() => {
            text.push_str(&float(f64::try_from(value.clone())?));
        }
        ValueKind::Seq => {
            let tuple = value.is_tuple();
            text.push(if tuple { '(' } else { '[' });
            let mut count = 0;
            for item in value.try_iter()? {
                text.push_str(if count > 0 { ", " } else { "" });
                repr(&item, text)?;
                count += 1;
            }
            text.push_str(match (tuple, count) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            });
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

/// A float as `repr` writes it: the fewest digits that read back as the same number, with an exponent below 1e-4 and
/// from 1e16 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let mut plain = value.to_string();
    if !plain.contains('.') {
        plain.push_str(".0");
    }
    plain
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

    /// Expected texts: `repr()` of CPython 3.
    #[test]
    fn floats_are_printed_as_python_does() {
        for (value, expected) in [
            (0.1 + 0.2, "0.30000000000000004"),
            (25.0, "25.0"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (12_345_678_901_234_567.0, "1.2345678901234568e+16"),
            (1e100, "1e+100"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.234e-5, "-1.234e-05"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
