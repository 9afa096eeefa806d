//! Files in the repository that are made from the code: they must not drift from it.
//!
//! `UPDATE=1 cargo test --release -p shared` writes them anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::aliases::ALIASES;
use super::super::key::Fallback;
use super::super::keys::keys;
use super::super::*;
use super::with;
use crate::error::Code;

fn stored(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// Compares a stored file with what the code says, or writes it when `UPDATE` is set.
fn assert_stored(path: &str, expected: &str) {
    let file = stored(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "{path} drifted from the code: run `UPDATE=1 cargo test --release -p shared`"
    );
}

/// The stored file with what lies between the marks replaced.
fn with_section(path: &str, name: &str, section: &str) -> String {
    let text = std::fs::read_to_string(stored(path)).unwrap();
    let begin = text.find(&format!("<!-- {name}: begin")).unwrap();
    let begin = begin + text[begin..].find('\n').unwrap() + 1;
    let end = text.find(&format!("<!-- {name}: end")).unwrap();
    format!("{}{section}{}", &text[..begin], &text[end..])
}

#[test]
fn the_stored_schema_is_the_one_of_the_code() {
    let mut text = serde_json::to_string_pretty(&json_schema()).unwrap();
    text.push('\n');
    assert_stored("configs/run.schema.json", &text);
}

#[test]
fn the_documented_keys_are_those_of_the_code() {
    let mut table = String::from("| Key | Value | Default | Meaning |\n|---|---|---|---|\n");
    for key in keys() {
        let value = key.kind.describe();
        let default = match key.default {
            Fallback::Value("null") | Fallback::Required => key.default.describe(),
            _ => format!("`{}`", key.default.describe()),
        };
        table.push_str(&format!(
            "| `{}` | {value} | {default} | {} |\n",
            key.name, key.about
        ));
    }
    assert_stored(
        "docs/reference/configuration.md",
        &with_section("docs/reference/configuration.md", "keys", &table),
    );
}

#[test]
fn the_documented_aliases_are_those_of_the_code() {
    let mut table = String::from("| Written | Read as | Called so by | |\n|---|---|---|---|\n");
    for alias in ALIASES {
        table.push_str(&format!(
            "| `{}` | `{}` | {} | {} |\n",
            alias.name, alias.key, alias.of, alias.note
        ));
    }
    assert_stored(
        "docs/reference/configuration.md",
        &with_section("docs/reference/configuration.md", "aliases", &table),
    );
}

#[test]
fn the_documented_codes_are_those_of_the_code() {
    let mut table = String::from("| Code | Meaning | Exit code |\n|---|---|---|\n");
    for code in Code::ALL {
        let exit = code.exit_code() as u8;
        table.push_str(&format!("| {code} | {} | {exit} |\n", code.meaning()));
    }
    assert_stored(
        "docs/reference/errors.md",
        &with_section("docs/reference/errors.md", "codes", &table),
    );
}

#[test]
fn no_two_codes_share_a_text() {
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
}

#[test]
fn every_key_has_a_value_a_default_that_loads_and_an_example_that_loads() {
    let config = super::minimal();
    let names: Vec<_> = values(&config).into_iter().map(|(name, _)| name).collect();
    let table: Vec<_> = keys().map(|key| key.name).collect();
    assert_eq!(names, table);
    for key in keys() {
        let line = format!("{}: {}\n", key.name, key.example);
        if key.default != Fallback::Required {
            with(&line).unwrap_or_else(|error| panic!("{line}{}", crate::error::render(&error)));
        }
    }
}
