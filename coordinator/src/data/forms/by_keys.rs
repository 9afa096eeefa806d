//! One JSON object to one conversation: its keys say which reader it needs.
//!
//! In: an object and its place. Out: turns with the roles `system`, `developer`, `user`, `assistant`, `tool`, or
//! tokens; or that the sample is to be left out. Keeps: texts are taken unchanged; a role, a type or a form nobody
//! knows is refused; a field that says what is not to be learned, or which answer is worse, is obeyed or refused.

use serde_json::{Map, Value};
use shared::config::DataForm;
use shared::error::{Error, Result};

use super::ambiguity;
use super::at::At;
use super::columns::{INPUT_IDS, TURN_LISTS, setting};
use super::object::Object;
use super::renaming::Renaming;
use super::{marks, pairs, plain, preference, tokens, turns};

/// Texts that stand for what is no text.
const MEDIA: &[(&str, &[&str])] = &[
    ("<image>", &["images", "image"]),
    ("<video>", &["videos", "video"]),
    ("<audio>", &["audios", "audio"]),
];

/// Reads an object as its configuration names and marks its parts.
pub(crate) fn sample(
    object: Map<String, Value>,
    renaming: Renaming<'_>,
    at: At<'_>,
) -> Result<Object> {
    let (object, aside) = renaming.object(object, at)?;
    let (object, left_out) = unmarked(object, renaming, at)?;
    let mut found = match renaming.formats.form {
        DataForm::Text => plain::read(&object, at)?,
        DataForm::Auto => conversation(&object, at)?,
    };
    without_media(&object, &found, at)?;
    found.unused.extend(aside);
    found.left_out = left_out;
    Ok(found)
}

/// An object without the fields that say whether it is to be learned, and which of them says that it is not.
fn unmarked(
    object: Map<String, Value>,
    renaming: Renaming<'_>,
    at: At<'_>,
) -> Result<(Map<String, Value>, Option<String>)> {
    let (mut object, label) = preference::settle(object, renaming.formats, at)?;
    let said = marks::of(&object, &|key| format!("`{key}`"), at)?;
    let said = said.map(|(learned, key)| (key.to_owned(), learned));
    object.retain(|key, _| !marks::is_mark(key));
    let no = [label, said].into_iter().flatten().find(|(_, yes)| !yes);
    Ok((object, no.map(|(key, _)| format!("`{key}`"))))
}

/// Which of the further cells of a table's row says that the row is not to be learned.
pub(super) fn left_out(
    mut cells: Map<String, Value>,
    renaming: Renaming<'_>,
    at: At<'_>,
) -> Result<Option<String>> {
    if cells.is_empty() {
        return Ok(None);
    }
    // A row has an answer, to which a label belongs.
    cells.insert("answer".into(), Value::Null);
    unmarked(cells, renaming, at).map(|(_, no)| no)
}

/// Whether a column may say that a row is not to be learned.
pub(super) fn says_what_is_learned(column: &str) -> bool {
    marks::is_mark(column) || preference::is_label(column)
}

/// A sample whose texts point at pictures, sounds or films cannot be learned from its texts.
fn without_media(object: &Map<String, Value>, found: &Object, at: At<'_>) -> Result<()> {
    for (mark, keys) in MEDIA {
        let given = keys.iter().find(|key| match object.get(**key) {
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Object(_)) => true,
            _ => false,
        });
        let points = |message: &shared::text::Message| message.content.contains(mark);
        if let Some(key) = given.filter(|_| found.messages.iter().any(points)) {
            return Err(at
                .unknown(format!("`{key}` and {mark} in a text: the sample is about more than texts"))
                .why("only texts are trained on; the answer would be learned without what it is about")
                .fix("take the sample out"));
        }
    }
    Ok(())
}

/// Reads an object in any of the known forms.
pub(super) fn conversation(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let there = |key: &&str| object.get(*key).is_some_and(|value| !value.is_null());
    let lists: Vec<&str> = TURN_LISTS.iter().copied().filter(there).collect();
    let lists = if lists.is_empty() {
        let named = |key: &&str| object.contains_key(*key);
        TURN_LISTS.iter().copied().filter(named).collect()
    } else {
        lists
    };
    let ambiguous = |why: &str, ways: [(&str, &str); 2]| -> Error {
        ambiguity::sample(at, &keys, why, ways.map(|way| setting(&[way])))
    };
    if object.contains_key(INPUT_IDS) {
        return match lists[..] {
            [] => tokens::read(object, at),
            [list, ..] => Err(ambiguous(
                "turns and tokens are both there",
                [("messages", list), ("input_ids", INPUT_IDS)],
            )),
        };
    }
    match lists[..] {
        [list] => turns::read(object, list, at),
        [] => pairs::read(object, &keys, at),
        [one, other, ..] => Err(ambiguous(
            "both `messages` and `conversations` are there",
            [("messages", one), ("messages", other)],
        )),
    }
}

#[cfg(test)]
#[path = "by_keys_tests.rs"]
mod tests;
