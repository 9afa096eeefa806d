//! What chat templates expect beside Jinja itself: `raise_exception`, `strftime_now`, `tojson`.
//!
//! Keeps: a rendering depends on the conversation only. So `strftime_now` tells a fixed day, the
//! one Llama's own templates fall back to: training today and answering tomorrow see one prompt.

use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Ends the rendering with the template's own words.
pub(super) fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// The fixed day, Friday 26 July 2024, 00:00:00 UTC, in the given format.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let directive = match letters.next() {
            Some('-') => letters.next().map(|d| (d, true)),
            other => other.map(|d| (d, false)),
        };
        text.push_str(match directive {
            Some(('d' | 'e', _)) => "26",
            Some(('m', false)) => "07",
            Some(('m', true)) => "7",
            Some(('Y', _)) => "2024",
            Some(('y', _)) => "24",
            Some(('b' | 'h', _)) => "Jul",
            Some(('B', _)) => "July",
            Some(('a', _)) => "Fri",
            Some(('A', _)) => "Friday",
            Some(('H' | 'M' | 'S', false)) => "00",
            Some(('H' | 'M' | 'S', true)) => "0",
            Some(('I', _)) => "12",
            Some(('p', _)) => "AM",
            Some(('j', _)) => "208",
            Some(('u' | 'w', _)) => "5",
            Some(('F', _)) => "2024-07-26",
            Some(('T', _)) => "00:00:00",
            Some(('D', _)) => "07/26/24",
            Some(('Z', _)) => "UTC",
            Some(('%', _)) => "%",
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!("strftime_now does not know the format {format:?}"),
                ));
            }
        });
    }
    Ok(text)
}

/// Python's `json.dumps(value, ensure_ascii=False)`: nothing escaped for HTML.
pub(super) fn tojson(
    value: &Value,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let named: Option<Value> = options.get("indent")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if ensure_ascii == Some(true) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "tojson: ensure_ascii=true",
        ));
    }
    let indent = match indent.or(named) {
        Some(value) if !value.is_none() => Some(" ".repeat(usize::try_from(value)?)),
        _ => None,
    };
    let value = json(value)?;
    let bytes = match &indent {
        Some(spaces) => dump(&value, PrettyFormatter::with_indent(spaces.as_bytes())),
        None => dump(&value, Spaced),
    };
    let text = bytes.and_then(|b| String::from_utf8(b).map_err(serde::ser::Error::custom));
    let text = text.map_err(|e| Error::new(ErrorKind::InvalidOperation, format!("tojson: {e}")))?;
    Ok(Value::from_safe_string(text))
}

/// JSON as a template sees it, keys in their order.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (_, Some(whole)) => Value::from(whole),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => items.iter().map(from_json).collect(),
        serde_json::Value::Object(object) => {
            Value::from_pairs(object.iter().map(|(k, v)| (k.clone(), from_json(v))))
        }
    }
}

/// The value as JSON knows it.
fn json(value: &Value) -> Result<serde_json::Value, Error> {
    let foreign = || {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: {value} is no JSON"),
        )
    };
    Ok(match value.kind() {
        ValueKind::None => serde_json::Value::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(integer) => integer.into(),
            Err(_) => f64::try_from(value.clone())?.into(),
        },
        ValueKind::String => value.as_str().ok_or_else(foreign)?.into(),
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .map(|item| json(&item))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        ValueKind::Map => {
            let mut object = serde_json::Map::new();
            for key in value.try_iter()? {
                object.insert(key.to_string(), json(&value.get_item(&key)?)?);
            }
            object.into()
        }
        _ => return Err(foreign()),
    })
}

fn dump(value: &serde_json::Value, formatter: impl Formatter) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(bytes)
}

/// Python's default separators, `", "` and `": "`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
