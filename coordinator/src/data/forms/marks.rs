//! Fields that say whether something is to be learned: `weight`, `train`, `loss` and their kin.
//!
//! In: a turn, or a sample. Out: whether it is to be learned, where a field says so. Keeps: a mark that is
//! there is obeyed or refused with its place, never passed over; one that two tools read in opposite ways
//! is not read.

use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};

use super::at::At;
use crate::data::excerpt::excerpt;

/// True or 1: learned. OpenAI, Axolotl, ms-swift, LLaMA-Factory, verl.
const LEARNED: &[&str] = &[
    "weight",
    "loss_weight",
    "loss_scale",
    "train",
    "training",
    "trainable",
    "loss",
    "loss_mask",
    "compute_loss",
    "learn",
    "learned",
    "is_train",
];
/// True or 1: not learned. torchtune, and names that say so by themselves.
const UNLEARNED: &[&str] = &[
    "masked",
    "is_masked",
    "ignore",
    "ignored",
    "ignore_loss",
    "no_loss",
    "do_not_train",
    "do_not_learn",
    "no_train",
    "exclude",
    "excluded",
];
/// Tools disagree about what these say.
const UNCLEAR: &[&str] = &["mask"];
/// Parts of a text that are learned, by their places in it. Axolotl.
const SPANS: &[&str] = &["train_detail", "training_detail"];

/// Whether a field is a mark, whatever its case.
pub(super) fn is_mark(key: &str) -> bool {
    let key = plain(key);
    let among = |keys: &[&str]| keys.contains(&key.as_str());
    among(LEARNED) || among(UNLEARNED) || among(UNCLEAR) || among(SPANS)
}

/// Whether these fields say that something is to be learned, and under which name; `name` is the field's name
/// for a message.
pub(super) fn of<'a>(
    fields: &'a Map<String, Value>,
    name: &dyn Fn(&str) -> String,
    at: At<'_>,
) -> Result<Option<(bool, &'a str)>> {
    let mut found: Option<(bool, &str)> = None;
    for (key, value) in fields.iter().filter(|(key, _)| is_mark(key)) {
        let Some(learned) = one(key, value, &name(key), at)? else {
            continue;
        };
        match found {
            Some((other, earlier)) if other != learned => {
                return Err(at
                    .error(
                        Code::BadWeight,
                        format!("{} and {} contradict each other", name(earlier), name(key)),
                    )
                    .why("one says that this is to be learned, the other that it is not")
                    .fix("take one of the two out"));
            }
            _ => found = Some((learned, key)),
        }
    }
    Ok(found)
}

/// A name in lower case with `_` between its words: `lossWeight` as `loss_weight`.
fn plain(key: &str) -> String {
    let mut plain = String::with_capacity(key.len() + 2);
    let mut lower = false;
    for letter in key.trim().chars() {
        if lower && letter.is_uppercase() {
            plain.push('_');
        }
        lower = letter.is_lowercase();
        match letter {
            '-' | ' ' => plain.push('_'),
            _ => plain.extend(letter.to_lowercase()),
        }
    }
    plain
}

/// What one mark says; nothing where it is null.
fn one(key: &str, value: &Value, name: &str, at: At<'_>) -> Result<Option<bool>> {
    if value.is_null() {
        return Ok(None);
    }
    let plain = plain(key);
    let key = plain.as_str();
    if SPANS.contains(&key) {
        let parts = value.as_array().is_some_and(|parts| !parts.is_empty());
        return if parts {
            Err(spans(name, at))
        } else {
            Ok(None)
        };
    }
    if UNCLEAR.contains(&key) {
        return Err(unclear(name, value, at));
    }
    match flag(value) {
        Some(flag) => Ok(Some(flag != UNLEARNED.contains(&key))),
        None => Err(no_flag(key, value, name, at)),
    }
}

/// The value of a flag, in the ways that files write it.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "1" | "1.0" => Some(true),
            "false" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn no_flag(key: &str, value: &Value, name: &str, at: At<'_>) -> Error {
    let words = matches!(
        key,
        "train" | "training" | "trainable" | "loss" | "is_train" | "learn" | "learned"
    );
    let what = if words {
        "neither true nor false"
    } else {
        "neither 0 nor 1"
    };
    let error = at
        .error(Code::BadWeight, format!("{name} is {what}"))
        .why(format!("it is {}", excerpt(&value.to_string())))
        .why("0 or false leaves the answer out of what is learned, 1 or true learns it (`masked`, `ignore` and their kin the other way round); parts are not built");
    let error = if words {
        error.fix("write true or false")
    } else {
        error.fix("write 0 or 1")
    };
    error.fix("or give the field another name where it says something else")
}

fn unclear(name: &str, value: &Value, at: At<'_>) -> Error {
    let error = at
        .error(Code::BadWeight, format!("{name} can be read in two ways"))
        .why(format!("it is {}", excerpt(&value.to_string())))
        .why("some tools do not learn what has `mask` true or 1 (it is masked out), others learn just that (it is a loss mask)")
        .fix("write `train: true` where something is learned and `train: false` where it is not, in the place of `mask`");
    match flag(value) {
        Some(_) => error,
        None => error.fix("or take it out where it names who is not learned: answers are learned, questions are not"),
    }
}

fn spans(name: &str, at: At<'_>) -> Error {
    at.error(
        Code::BadWeight,
        format!("{name} learns parts of a text, which is not built"),
    )
    .why("an answer is learned whole or not at all")
    .fix("take the field out and write `train: true` or `train: false` for the whole answer")
}

/// A mark that asks to learn what is no answer.
pub(super) fn no_answer(name: &str, role: &str, at: At<'_>) -> Error {
    at.error(
        Code::BadWeight,
        format!("{name} stands in a message of {role}"),
    )
    .why("only answers are learned one by one; which other tokens count, `loss_on` says")
    .fix("take the mark out of this message")
}
