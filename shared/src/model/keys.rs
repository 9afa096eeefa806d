//! The keys of one JSON object of config.json, read with a type.
//!
//! In: an object. Out: numbers, flags, ids, or [`Code::BadModelConfig`] with the key's name.
//! Keeps: `null` is absent, but where [`Keys::is_null`] asks.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};

/// config.json cannot be used.
pub(super) fn bad(what: impl Into<String>) -> Error {
    Error::new(Code::BadModelConfig, what)
}

/// The keys of one JSON object, `null` meaning absent.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Keys<'a> {
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// There, and `null`: transformers' default does not apply.
    pub(super) fn is_null(self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn text(self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    pub(super) fn object(self, key: &str) -> Result<Option<Keys<'a>>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Keys(map))),
            Some(other) => Err(bad(format!("`{key}` is {other}, an object is needed"))),
        }
    }

    pub(super) fn size(self, key: &str) -> Result<usize> {
        let value = self
            .get(key)
            .ok_or_else(|| bad(format!("config.json has no `{key}`")))?;
        let number = value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n > 0);
        number.ok_or_else(|| {
            bad(format!(
                "`{key}` is {value}, a whole number above 0 is needed"
            ))
        })
    }

    pub(super) fn size_or(self, key: &str, default: usize) -> Result<usize> {
        if self.has(key) {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    /// A number that may be switched off by `null`.
    pub(super) fn optional(self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        if self.has(key) {
            self.number_or(key, 0.0).map(Some)
        } else if self.is_null(key) {
            Ok(None)
        } else {
            Ok(default)
        }
    }

    pub(super) fn number_or(self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| bad(format!("`{key}` is {value}, a number above 0 is needed")))
    }

    pub(super) fn number(self, key: &str) -> Result<f64> {
        if !self.has(key) {
            return Err(bad(format!("rope scaling has no `{key}`")));
        }
        self.number_or(key, 0.0)
    }

    pub(super) fn numbers(self, key: &str) -> Result<Vec<f64>> {
        let list = self.get(key).and_then(Value::as_array);
        let numbers = list.and_then(|list| {
            let one = |v: &Value| v.as_f64().filter(|n| n.is_finite() && *n > 0.0);
            list.iter().map(one).collect::<Option<Vec<_>>>()
        });
        numbers.ok_or_else(|| bad(format!("`{key}` is not a list of numbers above 0")))
    }

    pub(super) fn flag(self, key: &str) -> Result<bool> {
        self.flag_or(key, false)
    }

    pub(super) fn flag_or(self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(bad(format!("`{key}` is {other}, true or false is needed"))),
        }
    }

    pub(super) fn ids(self, key: &str) -> Result<Vec<u32>> {
        let one = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
        let found = match self.get(key) {
            None => Some(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(one).collect(),
            Some(value) => one(value).map(|id| vec![id]),
        };
        found.ok_or_else(|| bad(format!("`{key}` is neither a token id nor a list of them")))
    }
}
