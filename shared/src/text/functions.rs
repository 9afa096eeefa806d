//! What transformers hands to a chat template beside Jinja itself: `raise_exception`, `strftime_now`, JSON.
//!
//! Keeps: a rendering depends on the conversation only. So `strftime_now` tells a fixed day, the
//! one Llama's own templates fall back to: training today and answering tomorrow see one prompt.

use minijinja::{Error, ErrorKind, Value};

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
            // A day without a zone has no name of one.
            Some(('Z' | 'z', _)) => "",
            Some(('c', _)) => "Fri Jul 26 00:00:00 2024",
            Some(('x', _)) => "07/26/24",
            Some(('X', _)) => "00:00:00",
            Some(('R', _)) => "00:00",
            Some(('U', _)) => "29",
            Some(('W' | 'V', _)) => "30",
            Some(('G', _)) => "2024",
            Some(('C', _)) => "20",
            Some(('s', _)) => "1721952000",
            Some(('f', _)) => "000000",
            Some(('n', _)) => "\n",
            Some(('t', _)) => "\t",
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
