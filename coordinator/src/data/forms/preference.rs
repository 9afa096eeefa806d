//! Preference data: samples that say which of two answers is better, or whether an answer is good.
//!
//! In: an object, or a table's header. Out: the same under `preference: chosen`, where the better answers are learned:
//! earlier ones of a conversation are context, worse ones are gone. Keeps: else such data is refused by its name;
//! what is called worse is never learned, nor proposed as something to learn from.

use std::path::Path;

use serde_json::{Map, Value, json};
use shared::config::{FormatConfig, Preference};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::columns::{Columns, TURN_LISTS};
use super::{marks, speakers};

/// Words that say better or worse by themselves, and those that do where their opposite is there too.
const BETTER: &[&str] = &["chosen", "优选"];
const BETTER_BESIDE: &[&str] = &[
    "accepted",
    "preferred",
    "winner",
    "better",
    "good",
    "correct",
    "采纳",
    "更优",
    "正确",
];
const WORSE: &[&str] = &["rejected", "dispreferred", "nonpreferred", "拒绝", "劣选"];
const WORSE_BESIDE: &[&str] = &[
    "reject",
    "loser",
    "worse",
    "bad",
    "wrong",
    "incorrect",
    "negative",
    "较差",
    "错误",
];
/// What may stand beside such a word in the name of a field.
const NOUNS: &[&str] = &[
    "response",
    "responses",
    "answer",
    "output",
    "completion",
    "message",
    "messages",
    "text",
    "conversation",
    "conversations",
    "content",
    "reply",
    "turns",
    "回答",
    "答案",
];
/// Fields that say whether an answer is good.
const LABELS: &[&str] = &["kto_tag", "label", "desirable", "is_desirable"];

/// A label of a sample: its field, and whether it says that the answer is good.
pub(super) type Label = Option<(String, bool)>;

/// Whether a name calls an answer worse.
pub(super) fn worse(name: &str) -> bool {
    says(name, WORSE) || says(name, WORSE_BESIDE)
}

/// Whether a name may say of a sample whether its answer is good.
pub(super) fn is_label(name: &str) -> bool {
    LABELS.contains(&name.trim().to_lowercase().as_str())
}

/// Whether a name is one of these words, alone or with a noun.
fn says(name: &str, words: &[&str]) -> bool {
    let name = name.trim().to_lowercase();
    let name = name.replace("non_preferred", "nonpreferred");
    let name = name.replace("non-preferred", "nonpreferred");
    let chinese = words.iter().filter(|word| !word.is_ascii());
    for word in chinese {
        let rest = name
            .strip_prefix(*word)
            .or_else(|| name.strip_suffix(*word));
        if rest.is_some_and(|rest| rest.is_empty() || NOUNS.contains(&rest)) {
            return true;
        }
    }
    let parts: Vec<&str> = name.split(['_', '-', ' ', '.']).collect();
    let (said, rest): (Vec<&str>, Vec<&str>) = parts.into_iter().partition(|p| words.contains(p));
    !said.is_empty() && rest.iter().all(|part| NOUNS.contains(part))
}

/// The fields that say better and worse.
#[derive(Debug, Default)]
struct Found {
    better: Vec<String>,
    worse: Vec<String>,
    label: Label,
}

impl Found {
    fn of_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let all = |words: &'static [&'static str]| -> Vec<String> {
            let said = names.clone().filter(|name| says(name, words));
            said.map(str::to_owned).collect()
        };
        let (mut better, mut worse) = (all(BETTER), all(WORSE));
        if better.is_empty() {
            let beside = all(BETTER_BESIDE);
            let weak = all(WORSE_BESIDE);
            let judged = !worse.is_empty() || !weak.is_empty();
            if judged && !beside.is_empty() {
                better = beside;
                worse.extend(weak);
            }
        }
        Self {
            better,
            worse,
            label: None,
        }
    }

    fn of_object(object: &Map<String, Value>, at: At<'_>) -> Result<Self> {
        let texts = object.iter().filter(|(_, value)| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(object) => !object.is_empty(),
            _ => false,
        });
        let mut found = Self::of_names(texts.map(|(key, _)| key.as_str()));
        let keys: Vec<&str> = object.keys().map(String::as_str).collect();
        let answer = Columns::find(&keys).is_ok_and(|columns| columns.answer.is_some());
        let lists = TURN_LISTS.iter().any(|list| object.contains_key(*list));
        if answer || lists {
            found.label = label(object, at)?;
        }
        Ok(found)
    }

    fn is_none(&self) -> bool {
        self.better.is_empty() && self.worse.is_empty() && self.label.is_none()
    }
}

/// What the fields say about whether the answer is good.
fn label(object: &Map<String, Value>, at: At<'_>) -> Result<Label> {
    for (key, value) in object {
        let lower = key.to_lowercase();
        if LABELS.contains(&lower.as_str()) {
            match marks::flag(value) {
                Some(good) => return Ok(Some((key.clone(), good))),
                None if lower == "kto_tag" && !value.is_null() => {
                    return Err(at
                        .error(
                            Code::Preference,
                            format!("`{key}` is neither true nor false"),
                        )
                        .why(format!(
                            "it is {value}; it must say whether the answer is good (KTO)"
                        ))
                        .fix("write true or false"));
                }
                None => {}
            }
        }
        if let Value::Bool(flag) = value {
            let is = lower.strip_prefix("is_").unwrap_or(&lower);
            if says(is, BETTER) || is == "accepted" || is == "preferred" {
                return Ok(Some((key.clone(), *flag)));
            }
            if says(is, WORSE) {
                return Ok(Some((key.clone(), !flag)));
            }
        }
    }
    Ok(None)
}

/// An object with the better answer alone, and its label; one that says neither better nor worse as it is.
pub(super) fn settle(
    object: Map<String, Value>,
    formats: &FormatConfig,
    at: At<'_>,
) -> Result<(Map<String, Value>, Label)> {
    let mut found = Found::of_object(&object, at)?;
    // Whoever names the answer has chosen between answers; a label still says what it is worth.
    if formats.columns.iter().any(|named| named.part == "answer") {
        found.better.clear();
        found.worse.clear();
    }
    if found.is_none() {
        return Ok((object, None));
    }
    let keys: Vec<String> = object.keys().cloned().collect();
    match (formats.preference, chosen(object, &found)) {
        (Preference::Chosen, Some(object)) => Ok((object, found.label)),
        (Preference::Chosen, None) => Err(at
            .error(Code::Preference, "which answer of a sample is the better one cannot be told")
            .why(format!("its keys: {}", keys.join(", ")))
            .why("`preference: chosen` needs a question, or turns that end with one, and one better answer to it")
            .fix("give the question and the better answer as fields of their own, such as `question` and `answer`")),
        (Preference::Refuse, can) => Err(refused(&found, can.is_some(), at)
            .why(format!("its keys: {}", keys.join(", ")))),
    }
}

fn refused(found: &Found, can: bool, at: At<'_>) -> Error {
    let error = |what: &str| at.error(Code::Preference, what);
    let learn = "--set preference=chosen";
    match &found.label {
        Some((field, good)) if found.better.is_empty() && found.worse.is_empty() => {
            error("a sample is preference data: a label says whether its answer is good (KTO)")
                .why(format!(
                    "`{field}` says {good}; learning every answer would teach the bad ones too"
                ))
                .fix(format!(
                    "{learn} learns the samples whose label is true or 1, and leaves the others out"
                ))
                .fix(format!(
                    "or give `{field}` another name where it says something else"
                ))
        }
        _ => {
            let names = |fields: &[String]| fields.join("`, `");
            let error =
                error("a sample is preference data: better and worse answers (DPO and its kin)");
            let mut said = Vec::new();
            if !found.better.is_empty() {
                said.push(format!("`{}` is the better answer", names(&found.better)));
            }
            if !found.worse.is_empty() {
                said.push(format!("`{}` the worse", names(&found.worse)));
            }
            let error = error.why(format!(
                "{}; a run learns answers, not which of two is better",
                said.join(", ")
            ));
            let error = if can {
                error.fix(format!(
                    "{learn} learns the better answers and leaves the worse ones out"
                ))
            } else {
                error
            };
            error.fix(
                "or give each better answer as the answer to its question, in a form for answers",
            )
        }
    }
}

/// The object with the better answer where answers stand; nothing where it is not one answer to a question.
fn chosen(mut object: Map<String, Value>, found: &Found) -> Option<Map<String, Value>> {
    if let Some((field, _)) = &found.label {
        object.shift_remove(field);
    }
    for field in &found.worse {
        object.shift_remove(field);
    }
    let better = match &found.better[..] {
        [] => None,
        [one] => object.shift_remove(one),
        _ => return None,
    };
    // OpenAI's own form has the conversation in `input`.
    if let Some(Value::Object(input)) = object.get("input").cloned() {
        object.shift_remove("input");
        object.extend(input);
    }
    let list = TURN_LISTS.iter().find(|list| object.contains_key(**list));
    let judged = !found.worse.is_empty();
    match (list, better) {
        (Some(list), better) if better.is_some() || judged => {
            let mut turns = object.get(*list)?.as_array()?.clone();
            if let Some(better) = better {
                turns.extend(answers(better)?);
            }
            object.insert((*list).to_string(), last_learned(turns)?);
            Some(object)
        }
        (None, Some(better)) => beside_a_question(object, better),
        _ => Some(object),
    }
}

/// A better answer beside its question.
fn beside_a_question(mut object: Map<String, Value>, better: Value) -> Option<Map<String, Value>> {
    let keys: Vec<String> = object.keys().cloned().collect();
    let columns = Columns::find(&keys).ok()?;
    if columns.answer.is_some() {
        return None;
    }
    let question = columns.question.map(|index| keys[index].clone());
    match (question, better) {
        (Some(_), Value::String(text)) => {
            object.insert("answer".into(), text.into());
            Some(object)
        }
        (Some(question), better) => {
            let mut turns = match object.shift_remove(&question)? {
                Value::Array(turns) => turns,
                Value::String(text) if columns.input.is_none() => {
                    vec![json!({"role": "user", "content": text})]
                }
                _ => return None,
            };
            turns.extend(answers(better)?);
            object.insert("messages".into(), last_learned(turns)?);
            Some(object)
        }
        // The question is the beginning that both answers share.
        (None, Value::Array(turns)) if turns.len() > 1 => {
            object.insert("messages".into(), last_learned(turns)?);
            Some(object)
        }
        _ => None,
    }
}

/// The turns that an answer is.
fn answers(better: Value) -> Option<Vec<Value>> {
    match better {
        Value::String(text) => Some(vec![json!({"role": "assistant", "content": text})]),
        Value::Object(turn) => Some(vec![Value::Object(turn)]),
        Value::Array(turns) if turns.iter().all(Value::is_object) => Some(turns),
        _ => None,
    }
}

fn speaker(turn: &Value) -> Option<&'static str> {
    let name = ["from", "role"].iter().find_map(|key| turn.get(*key))?;
    speakers::role(name.as_str()?)
}

/// Turns that end with an answer, of which no earlier one is learned.
fn last_learned(mut turns: Vec<Value>) -> Option<Value> {
    let answered = speaker(turns.last()?) == Some("assistant");
    if !answered {
        return None;
    }
    let earlier = turns.len() - 1;
    for turn in &mut turns[..earlier] {
        if speaker(turn) != Some("assistant") {
            continue;
        }
        let turn = turn.as_object_mut()?;
        turn.retain(|key, _| !marks::is_mark(key));
        turn.insert("weight".into(), 0.into());
    }
    Some(Value::Array(turns))
}

/// A table's header with the better answers where answers stand.
pub(super) fn header(
    path: &Path,
    mut names: Vec<String>,
    formats: &FormatConfig,
) -> Result<Vec<String>> {
    if formats.columns.iter().any(|named| named.part == "answer") {
        return Ok(names);
    }
    let found = Found::of_names(names.iter().map(|name| name.trim()));
    if found.is_none() {
        return Ok(names);
    }
    let columns = Columns::find(&names).unwrap_or_default();
    let can = match &found.better[..] {
        [] => columns.question.is_some() && columns.answer.is_some(),
        [_] => columns.question.is_some() && columns.answer.is_none(),
        _ => false,
    };
    let at = At { path, line: 1 };
    if formats.preference == Preference::Refuse || !can {
        return Err(refused(&found, can, at).why(format!("its columns: {}", names.join(", "))));
    }
    for name in &mut names {
        if found.better.iter().any(|better| better == name.trim()) {
            "answer".clone_into(name);
        } else if worse(name) {
            name.clear();
        }
    }
    Ok(names)
}
