//! The JSON schema editors use to complete and check a configuration.
//!
//! In: the table of keys. Out: a JSON schema (draft 2020-12). The stored copy is
//! `configs/run.schema.json`; a test fails when it drifts.
//! Keeps: types and ranges are those the loader checks, from the same table. Not in it: rules over
//! several keys, and the range of numbers that are written as text.

use serde_json::{Map, Value, json};

use super::adapter::GROUPS;
use super::choices::TASKS;
use super::document::Source;
use super::key::{ANY, Fallback, Key, Kind, Range};
use super::keys::keys;

/// Numbers may be written as text.
const NUMBER_IN_TEXT: &str = r"^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$";
/// A rule of the user's.
const RULE: &str = "^[A-Za-z][A-Za-z0-9_]*=.+$";
/// Names of modules.
const MODULE_NAME: &str = "^[A-Za-z0-9_.-]+$";

/// The JSON schema of a configuration file.
#[must_use]
pub fn json_schema() -> Value {
    let properties: Map<String, Value> = keys()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys()
        .filter(|key| key.default == Fallback::Required)
        .map(|key| key.name)
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a run",
        "description": "One flat YAML file describes a run; see docs/reference/configuration.md.",
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn property(key: &Key) -> Value {
    let mut fields = Map::new();
    let about = match key.default {
        Fallback::Derived { rule, .. } => format!("{}; by default {rule}", key.about),
        _ => key.about.to_owned(),
    };
    fields.insert("description".into(), about.into());
    if let Fallback::Value(text) = key.default
        && let Ok(item) = Source::new("default", text).item()
    {
        fields.insert("default".into(), item.node.to_json());
    }
    if let Value::Object(rules) = rules(key.kind) {
        fields.extend(rules);
    }
    fields.into()
}

fn rules(kind: Kind) -> Value {
    match kind {
        Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::OptionalPath => json!({ "type": ["string", "null"] }),
        Kind::Whole { least, most } => whole(json!(["integer", "string"]), json!(least), most),
        Kind::OptionalWhole {
            least,
            most,
            minus_one,
        } => {
            let types = json!(["integer", "string", "null"]);
            if minus_one {
                let mut rules = whole(types, json!(-1), most);
                rules["not"] = json!({ "const": 0 });
                rules
            } else {
                whole(types, json!(least), most)
            }
        }
        Kind::PowerOfTwo { most } => whole(json!(["integer", "string"]), json!(1), most),
        Kind::Real(range) => real(range),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Task => json!({ "enum": TASKS }),
        Kind::Modules => json!({ "anyOf": [
            { "enum": GROUPS },
            { "type": "string", "pattern": MODULE_NAME },
            { "type": "string", "pattern": "^re:.+$" },
            names("array".into(), 1),
        ] }),
        Kind::Names => names("array".into(), 0),
        Kind::OptionalNames => names(json!(["array", "null"]), 0),
        Kind::Layers => json!({
            "type": ["array", "null"], "minItems": 1, "items": { "type": "integer", "minimum": 0 },
        }),
        Kind::Ranks | Kind::Alphas => json!({
            "type": "array", "items": { "type": "string", "pattern": "^[A-Za-z0-9_.-]+=[0-9.eE+-]+$" },
        }),
        Kind::Columns => json!({
            "type": ["array", "null"], "minItems": 2, "maxItems": 2, "uniqueItems": true,
            "items": { "type": "string", "minLength": 1 },
        }),
        Kind::OptionalWords(words) => json!({
            "type": ["array", "null"], "minItems": 1, "items": { "enum": words },
        }),
        Kind::Texts => json!({
            "type": "array", "maxItems": 64, "uniqueItems": true,
            "items": { "type": "string", "minLength": 1 },
        }),
        Kind::Sources => json!({
            "type": "array", "items": { "type": "string", "minLength": 1 },
        }),
        Kind::Named(parts) => json!({
            "type": "array",
            "items": { "type": "string", "pattern": format!("^({})=.+$", parts.join("|")) },
        }),
        Kind::Rules => json!({
            "type": "array", "items": { "type": "string", "pattern": RULE },
        }),
        Kind::Device => {
            json!({ "type": "string", "pattern": "^(auto|cpu|cuda|cuda:(0|[1-9][0-9]{0,4}))$" })
        }
        Kind::Resume => json!({ "type": ["string", "null"] }),
    }
}

fn names(types: Value, least: u64) -> Value {
    json!({ "type": types, "minItems": least, "items": {
        "type": "string", "pattern": MODULE_NAME, "not": { "enum": GROUPS } } })
}

fn whole(types: Value, least: Value, most: u64) -> Value {
    let mut rules = json!({ "type": types, "minimum": least, "pattern": NUMBER_IN_TEXT });
    if most != ANY {
        rules["maximum"] = json!(most);
    }
    rules
}

fn real(range: Range) -> Value {
    let mut rules = json!({ "type": ["number", "string"], "pattern": NUMBER_IN_TEXT });
    let low = if range.low_included {
        "minimum"
    } else {
        "exclusiveMinimum"
    };
    rules[low] = json!(range.low);
    if range.high.is_finite() {
        let high = if range.high_included {
            "maximum"
        } else {
            "exclusiveMaximum"
        };
        rules[high] = json!(range.high);
    }
    rules
}
