//! The resolved configuration as YAML: every key, its value, where it came from.
//!
//! In: a [`Loaded`]. Out: `resolved.yaml`, or pairs for a table.
//! Keeps: loading the text gives the same [`RunConfig`], whatever the folder.

use super::document::Source;
use super::keys::{ROWS, RunConfig, row};
use super::loaded::Loaded;
use super::yaml::unsafe_in_yaml;

/// The resolved configuration: one `key: value  # origin` per line.
#[must_use]
pub fn resolved_yaml(loaded: &Loaded) -> String {
    let lines: Vec<(String, &str)> = values(&loaded.config)
        .into_iter()
        .map(|(key, value)| {
            let origin = loaded.origins.get(key).map_or("default", String::as_str);
            (format!("{key}: {value}"), origin)
        })
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0)
        .min(48);
    let mut text = String::from("# Every value of this run and where it came from.\n");
    for (line, origin) in lines {
        let origin: String = origin.chars().filter(|c| !unsafe_in_yaml(*c)).collect();
        text.push_str(&format!("{line:width$}  # {origin}\n"));
    }
    text
}

/// Every key with its value as YAML, in the order of the table.
#[must_use]
pub fn values(config: &RunConfig) -> Vec<(&'static str, String)> {
    ROWS.iter()
        .map(|row| (row.key.name, row.value(config)))
        .collect()
}

/// Every key with its value as JSON, in the order of the table.
#[must_use]
pub fn json_values(config: &RunConfig) -> Vec<(&'static str, serde_json::Value)> {
    let json = |text: &str| {
        Source::new("value", text)
            .item()
            .map_or(serde_json::Value::Null, |item| item.node.to_json())
    };
    values(config)
        .into_iter()
        .map(|(key, text)| (key, json(&text)))
        .collect()
}

/// The value of one key as YAML.
pub(super) fn value(config: &RunConfig, key: &str) -> Option<String> {
    row(key).map(|row| row.value(config))
}
