//! One JSON object to one conversation: its keys say which reader it needs.
//!
//! In: an object and its place. Out: turns with the roles `system`, `user`, `assistant`, `tool`, or
//! tokens. Keeps: texts are taken unchanged; a role, a type or a form nobody knows is refused.

use serde_json::{Map, Value};
use shared::error::Result;

use super::ambiguity;
use super::at::At;
use super::columns::{INPUT_IDS, TURN_LISTS, setting};
use super::object::Object;
use super::{pairs, tokens, turns};

/// Reads an object in any of the known forms.
pub(crate) fn conversation(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let lists: Vec<&str> = TURN_LISTS
        .iter()
        .copied()
        .filter(|k| object.contains_key(*k))
        .collect();
    if object.contains_key(INPUT_IDS) {
        return match lists[..] {
            [] => tokens::read(object, at),
            [list, ..] => {
                let why = "turns and tokens are both there";
                let ways = [("messages", list), ("input_ids", INPUT_IDS)];
                let ways = ways.map(|way| setting(&[way]));
                Err(ambiguity::sample(at, &keys, why, ways))
            }
        };
    }
    match lists[..] {
        [list] => turns::read(object, list, at),
        [] => pairs::read(object, &keys, at),
        [one, other, ..] => {
            let why = "both `messages` and `conversations` are there";
            let ways = [one, other].map(|list| setting(&[("messages", list)]));
            Err(ambiguity::sample(at, &keys, why, ways))
        }
    }
}

#[cfg(test)]
#[path = "by_keys_tests.rs"]
mod tests;
