//! `data_sources`, `columns`, `roles`, `eval_prompts`: written lists to their values, or why not.
//!
//! In: an [`Item`] and its [`Key`]. Out: the typed value, or a [`Problem`].
//! Keeps: a path is named once, a part of a sample once, a role's name once.

use super::document::{Item, Node};
use super::formats::{DataSource, MILLION, Named};
use super::key::{Key, Kind};
use super::value::{Problem, Read, out_of_range, with_nearest, wrong_type};
use crate::error::Code;

/// Largest weight that a data source may be given; the smallest is 0.
const HEAVIEST: f64 = 1e6;

/// Paths, each with `=WEIGHT` behind it; without one it is 1.
pub(super) fn sources(key: &Key, item: &Item) -> Read<Vec<DataSource>> {
    let mut sources: Vec<DataSource> = Vec::new();
    for entry in items(key, item)? {
        let source = source(key, entry).map_err(|problem| problem.within(entry))?;
        if sources.iter().any(|earlier| earlier.path == source.path) {
            let what = format!("`{}` names {} twice", key.name, source.path);
            return Err(Problem::new(Code::Contradiction, what)
                .fix("name each path once, with one weight")
                .within(entry));
        }
        sources.push(source);
    }
    Ok(sources)
}

fn source(key: &Key, entry: &Item) -> Read<DataSource> {
    let text = text(key, entry)?;
    let (path, weight) = match text.rsplit_once('=') {
        Some((path, weight)) => (path, weight.trim().parse::<f64>().ok()),
        None => (text, Some(1.0)),
    };
    let path = path.trim().trim_end_matches('/');
    let path = path.strip_prefix("./").unwrap_or(path);
    let units = weight
        .filter(|weight| (0.0..=HEAVIEST).contains(weight))
        .map(|weight| (weight * MILLION as f64).round() as u64);
    match units {
        Some(weight) if weight > 0 && !path.is_empty() => Ok(DataSource {
            path: path.to_owned(),
            weight,
        }),
        _ => {
            let what = format!("`{}`: {text:?} is no path with a weight", key.name);
            Err(Problem::new(Code::OutOfRange, what)
                .fix("write PATH=WEIGHT, the weight from 0.000001 to 1000000, as in `law=3`"))
        }
    }
}

/// Most texts of a list.
const TEXTS: usize = 64;

/// Texts, none empty and none twice.
pub(super) fn texts(key: &Key, item: &Item) -> Read<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    for entry in items(key, item)? {
        let text = text(key, entry).map_err(|problem| problem.within(entry))?;
        if text.trim().is_empty() {
            return Err(out_of_range(key, entry).within(entry));
        }
        if texts.iter().any(|earlier| earlier == text) {
            let what = format!("`{}` holds {text:?} twice", key.name);
            return Err(Problem::new(Code::Contradiction, what)
                .fix("take one of the two out")
                .within(entry));
        }
        texts.push(text.to_owned());
    }
    if texts.len() > TEXTS {
        let what = format!("`{}` holds {} texts", key.name, texts.len());
        return Err(Problem::new(Code::OutOfRange, what).fix(format!("keep {TEXTS} at most")));
    }
    Ok(texts)
}

/// `PART=NAME`, any part under as many names as there are.
pub(super) fn named(key: &Key, item: &Item) -> Read<Vec<Named>> {
    let Kind::Named(parts) = key.kind else {
        return Err(wrong_type(key, item));
    };
    let columns = parts.contains(&"question");
    // A part that a tool does not read although a field is called so.
    let nothing = |part: &str| columns && ["input", "system", "history", "tools"].contains(&part);
    let mut all: Vec<Named> = Vec::new();
    for entry in items(key, item)? {
        let text = text(key, entry).map_err(|problem| problem.within(entry))?;
        let pair = text.split_once('=').map(|(p, n)| (p.trim(), n.trim()));
        let Some((part, name)) = pair.filter(|(part, name)| !name.is_empty() || nothing(part))
        else {
            return Err(out_of_range(key, entry).within(entry));
        };
        if !parts.contains(&part) {
            return Err(with_nearest(out_of_range(key, entry), part, parts).within(entry));
        }
        let taken = all.iter().find(|earlier| {
            let same = !name.is_empty() && earlier.name == name;
            let silent = name.is_empty() || earlier.name.is_empty();
            same || (earlier.part == part && silent)
        });
        if let Some(earlier) = taken {
            let what = format!(
                "`{}`: `{part}={name}` contradicts `{}={}`",
                key.name, earlier.part, earlier.name
            );
            return Err(Problem::new(Code::Contradiction, what)
                .fix("keep one of the two")
                .within(entry));
        }
        all.push(Named {
            part: part.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok(all)
}

/// A list, or one entry without a list.
fn items<'a>(key: &Key, item: &'a Item) -> Read<&'a [Item]> {
    match &item.node {
        Node::List(items) => Ok(items),
        Node::Text(_) => Ok(std::slice::from_ref(item)),
        _ => Err(wrong_type(key, item)),
    }
}

fn text<'a>(key: &Key, entry: &'a Item) -> Read<&'a str> {
    match &entry.node {
        Node::Text(text) => Ok(text),
        _ => Err(wrong_type(key, entry).fix("put the entry in single quotes")),
    }
}
