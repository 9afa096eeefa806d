//! `privacy_kinds` and `privacy_rules`: written lists to kinds and rules, or why not.
//!
//! In: an [`Item`] and its [`Key`]. Out: the typed value, or a [`Problem`].
//! Keeps: a pattern that is accepted compiles, and never matches the empty text.

use regex::Regex;

use super::document::{Item, Node};
use super::key::Key;
use super::privacy::{PrivacyKind, PrivacyRule};
use super::value::{Problem, Read, out_of_range, with_nearest, wrong_type};
use super::words::Word;
use crate::error::Code;

/// Some kinds, or nothing; a kind written twice counts once.
pub(super) fn kinds(key: &Key, item: &Item) -> Read<Option<Vec<PrivacyKind>>> {
    let items = match &item.node {
        Node::Null => return Ok(None),
        Node::List(items) if items.is_empty() => return Err(out_of_range(key, item)),
        Node::List(items) => items.as_slice(),
        Node::Text(_) => std::slice::from_ref(item),
        _ => return Err(wrong_type(key, item)),
    };
    let mut kinds = Vec::new();
    for entry in items {
        let Node::Text(word) = &entry.node else {
            return Err(wrong_type(key, entry).within(entry));
        };
        let kind = PrivacyKind::of_word(word).ok_or_else(|| {
            with_nearest(out_of_range(key, entry), word, PrivacyKind::WORDS).within(entry)
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(Some(kinds))
}

/// Rules `NAME=REGEX`, names in capitals.
pub(super) fn rules(key: &Key, item: &Item) -> Read<Vec<PrivacyRule>> {
    let items = match &item.node {
        Node::List(items) => items.as_slice(),
        Node::Text(_) => std::slice::from_ref(item),
        _ => return Err(wrong_type(key, item)),
    };
    let mut rules: Vec<PrivacyRule> = Vec::new();
    for entry in items {
        let rule = rule(key, entry).map_err(|problem| problem.within(entry))?;
        let taken = PrivacyKind::ALL
            .iter()
            .any(|kind| kind.placeholder() == rule.name);
        if taken || rules.iter().any(|earlier| earlier.name == rule.name) {
            let whose = if taken {
                "a built-in kind"
            } else {
                "another rule"
            };
            let what = format!(
                "`{}`: the name `{}` is that of {whose}",
                key.name, rule.name
            );
            return Err(Problem::new(Code::Contradiction, what)
                .fix("give each rule a name of its own; `A|B` matches either in one rule")
                .within(entry));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(key: &Key, entry: &Item) -> Read<PrivacyRule> {
    let Node::Text(text) = &entry.node else {
        return Err(wrong_type(key, entry).fix("put the rule in single quotes"));
    };
    let named = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let Some((name, pattern)) = text.split_once('=').filter(|(name, _)| named(name)) else {
        let what = format!("a rule in `{}` must begin with a name and `=`", key.name);
        return Err(Problem::new(Code::OutOfRange, what)
            .fix("a name has letters, digits and `_`, as in `CONTRACT=HT-[0-9]{6}`"));
    };
    let regex = Regex::new(pattern).map_err(|error| {
        let what = format!(
            "`{}`: the pattern of `{name}` is no regular expression: {}",
            key.name,
            reason(&error)
        );
        Problem::new(Code::OutOfRange, what).fix(
            "look-around and back-references are not built; write a special character as itself with `\\` before it",
        )
    })?;
    if regex.is_match("") {
        let what = format!(
            "`{}`: the pattern of `{name}` matches the empty text",
            key.name
        );
        return Err(Problem::new(Code::OutOfRange, what)
            .fix("ask for at least one character, with `+` instead of `*`"));
    }
    Ok(PrivacyRule {
        name: name.to_ascii_uppercase(),
        pattern: pattern.to_owned(),
    })
}

/// The last line of what the compiler says: the reason without the drawing above it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
