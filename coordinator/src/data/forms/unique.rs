//! JSON text to values, in which no object names a key twice.
//!
//! In: text. Out: the value, or why it is none. Keeps: which of two values under one key is meant nobody
//! can know, so neither is taken, at whatever depth it stands.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

/// A value whose objects name each key once.
pub(super) struct Unique(pub Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Once.deserialize(deserializer).map(Self)
    }
}

/// The value that a text is.
pub(super) fn value(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str::<Unique>(text).map(|Unique(value)| value)
}

/// The key that an error says to stand twice, as the text writes it or nearly so.
pub(super) fn twice(error: &serde_json::Error) -> Option<String> {
    // Anything may be a value: nothing else is wrong with the data in it.
    error.is_data().then(|| {
        let text = error.to_string();
        let key = text.rsplit_once(" at line ").map_or("", |(key, _)| key);
        key.to_owned()
    })
}

/// Reads what comes next.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            match object.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(entries.next_value_seed(Self)?);
                }
                Entry::Occupied(taken) => return Err(A::Error::custom(taken.key())),
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_value_that_it_is_without_this_check() {
        for text in [
            r#"{"a": [1, -2, 1.5, 1e300, 18446744073709551615, true, null, "\u00e9\ud83d\ude00"], "b": {"a": {}}}"#,
            r#""a""#,
            "0",
            "[]",
            "-0.0",
        ] {
            let plain: Value = serde_json::from_str(text).unwrap();
            assert_eq!(value(text).unwrap(), plain, "{text}");
        }
        for text in ["", "{", "{\"a\": }", "[1,]", "\"\\ud83d\"", "1 2"] {
            assert!(value(text).is_err_and(|e| twice(&e).is_none()), "{text}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_told_at_every_depth() {
        for (text, key) in [
            (r#"{"a": 1, "a": 1}"#, "a"),
            (
                r#"{"b": [{"c": {"in at line 3": 1, "in at line 3": 2}}]}"#,
                "in at line 3",
            ),
            (r#"{"甲": 1, "\u7532": 2}"#, "甲"),
        ] {
            let error = value(text).unwrap_err();
            assert_eq!(twice(&error).as_deref(), Some(key), "{text}");
        }
        assert!(value(r#"{"a": {"a": 1}, "b": {"a": 1}}"#).is_ok());
    }
}
