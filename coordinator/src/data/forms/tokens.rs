//! Samples that come as tokens: `input_ids`, with `labels` and `attention_mask` where they are there.
//!
//! In: an object with these keys. Out: ids and which of them are learned. Keeps: a label is its
//! token's own id, or -100 for a token that is not learned; without labels every token is learned,
//! which `loss_on: all` must say. Padding (mask 0 at an end) is taken off. Nothing is rendered.

use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};

use super::at::At;
use super::columns::INPUT_IDS;
use super::object::Object;
use crate::data::excerpt::excerpt;
use crate::data::file_report::Form;
use crate::data::sample::Tokens;

const LABELS: &str = "labels";
const MASK: &str = "attention_mask";
/// Marks a token that is not learned.
const IGNORED: i64 = -100;

/// Reads an object with `input_ids`.
pub(crate) fn read(object: &Map<String, Value>, at: At<'_>) -> Result<Object> {
    let ids = numbers(object, INPUT_IDS, at)?.unwrap_or_default();
    let labels = numbers(object, LABELS, at)?;
    let mask = numbers(object, MASK, at)?;
    for (name, list) in [(LABELS, &labels), (MASK, &mask)] {
        if let Some(list) = list.as_ref().filter(|list| list.len() != ids.len()) {
            return Err(bad(at, format!("`{name}` is not as long as `{INPUT_IDS}`"))
                .why(format!("{} against {} entries", list.len(), ids.len()))
                .fix("give one entry per token, or leave the list out"));
        }
    }
    let kept = without_padding(mask.as_deref(), ids.len(), at)?;
    let padding = ids.len() - kept.len();
    if kept.is_empty() {
        return Err(bad(at, format!("`{INPUT_IDS}` holds no token"))
            .why(format!("{} entries, {padding} of them padding", ids.len()))
            .fix("take the sample out"));
    }
    let mut tokens = Vec::with_capacity(kept.len());
    for place in kept.clone() {
        let id = u32::try_from(ids[place]).map_err(|_| {
            bad(at, format!("{INPUT_IDS}[{}] is no token id", place + 1))
                .why(format!("it is {}", ids[place]))
                .fix("a token id is a whole number from 0")
        })?;
        tokens.push(id);
    }
    let targets = labels
        .map(|labels| targets(&ids, &labels, kept, at))
        .transpose()?;
    let used = [INPUT_IDS, LABELS, MASK];
    let unused = object.keys().filter(|k| !used.contains(&k.as_str()));
    let mut found = Object::new(Form::Tokens, Vec::new());
    found.tokens = Some(Tokens {
        ids: tokens,
        targets,
        padding,
    });
    found.unused = unused.cloned().collect();
    Ok(found)
}

/// A list of whole numbers.
fn numbers(object: &Map<String, Value>, key: &str, at: At<'_>) -> Result<Option<Vec<i64>>> {
    let Some(value) = object.get(key).filter(|v| !v.is_null()) else {
        if key == INPUT_IDS {
            return Err(bad(at, format!("`{INPUT_IDS}` has no value"))
                .why("it is null")
                .fix("take the sample out"));
        }
        return Ok(None);
    };
    let wrong = |what: String, found: &Value| {
        bad(at, what)
            .why(format!("it is {}", excerpt(&found.to_string())))
            .fix("write a list of whole numbers, one per token")
    };
    let list = value
        .as_array()
        .ok_or_else(|| wrong(format!("`{key}` is no list of numbers"), value))?;
    let number = |(place, item): (usize, &Value)| {
        let whole = item.as_i64().or_else(|| item.as_bool().map(i64::from));
        whole.ok_or_else(|| wrong(format!("{key}[{}] is no whole number", place + 1), item))
    };
    list.iter()
        .enumerate()
        .map(number)
        .collect::<Result<_>>()
        .map(Some)
}

/// The tokens between padding.
fn without_padding(mask: Option<&[i64]>, len: usize, at: At<'_>) -> Result<std::ops::Range<usize>> {
    let Some(mask) = mask else { return Ok(0..len) };
    let first = mask.iter().position(|&m| m != 0).unwrap_or(len);
    let last = mask.iter().rposition(|&m| m != 0).map_or(first, |p| p + 1);
    if let Some(hole) = mask[first..last].iter().position(|&m| m != 1) {
        let place = first + hole;
        return Err(bad(at, format!("{MASK}[{}] is no padding", place + 1))
            .why(format!(
                "it is {}; 0 may stand at the ends, 1 between",
                mask[place]
            ))
            .fix("packed samples must be given one by one"));
    }
    Ok(first..last)
}

fn targets(
    ids: &[i64],
    labels: &[i64],
    kept: std::ops::Range<usize>,
    at: At<'_>,
) -> Result<Vec<u8>> {
    let outside = (0..ids.len()).filter(|place| !kept.contains(place));
    if let Some(place) = outside.into_iter().find(|&place| labels[place] != IGNORED) {
        return Err(bad(
            at,
            format!("{LABELS}[{}] is learned and padding", place + 1),
        )
        .why(format!("the label is {}, `{MASK}` 0", labels[place]))
        .fix(format!("write {IGNORED} there, or 1 in `{MASK}`")));
    }
    let one = |place: usize| match labels[place] {
        IGNORED => Ok(0),
        label if label == ids[place] => Ok(1),
        label => {
            let error = bad(at, format!("{LABELS}[{}] is not its token's id", place + 1))
                .why(format!("it is {label}, the token {}", ids[place]));
            let shifted =
                (1..ids.len()).all(|p| labels[p - 1] == ids[p] || labels[p - 1] == IGNORED);
            Err(if shifted {
                error
                    .why("the labels are shifted by one already")
                    .fix("give them unshifted: the shift is done in training")
            } else {
                error.fix(format!("a label is the token's own id, or {IGNORED}"))
            })
        }
    };
    kept.map(one).collect()
}

fn bad(at: At<'_>, what: String) -> Error {
    at.error(Code::BadTokens, what)
}
