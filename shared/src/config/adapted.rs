//! `target_modules`, the patterns and lists of modules: written values to typed ones, or why not.
//!
//! In: an [`Item`] and its [`Key`]. Out: the typed value, or a [`Problem`].
//! Keeps: lists of names are sorted and hold each once; the order of a pattern is the user's.

use super::adapter::{ALL_LINEAR, GROUPS, REGEX, TargetModules};
use super::document::{Item, Node};
use super::key::Key;
use super::value::{Problem, Read, must, no_name, out_of_range, wrong_type};
use crate::error::Code;

/// Names of modules, one name, or a word for some of them.
pub(super) fn modules(key: &Key, item: &Item) -> Read<TargetModules> {
    match &item.node {
        Node::Text(text) if text == ALL_LINEAR => Ok(TargetModules::AllLinear),
        Node::Text(text) if text == "attention" => Ok(TargetModules::Attention),
        Node::Text(text) if text == "mlp" => Ok(TargetModules::Mlp),
        Node::Text(text) if text.starts_with(REGEX) => {
            let pattern = text.trim_start_matches(REGEX).to_owned();
            match regex::Regex::new(&pattern) {
                Ok(_) if !pattern.is_empty() => Ok(TargetModules::Regex(pattern)),
                Ok(_) => Err(out_of_range(key, item)),
                Err(error) => {
                    let what = format!("`{}` holds no regular expression", key.name);
                    let reason = error.to_string();
                    let reason = reason.lines().last().unwrap_or_default().to_owned();
                    Err(Problem::new(Code::OutOfRange, what).fix(format!(
                        "mend the expression ({reason}); it must fit a whole module path"
                    )))
                }
            }
        }
        Node::List(items) if items.is_empty() => Err(out_of_range(key, item)),
        Node::Text(_) | Node::List(_) => names(key, item).map(TargetModules::Names),
        _ => Err(wrong_type(key, item)),
    }
}

/// Names of modules, perhaps none; or one name.
pub(super) fn names(key: &Key, item: &Item) -> Read<Vec<String>> {
    let mut names = Vec::new();
    for entry in items(key, item)? {
        let Node::Text(name) = &entry.node else {
            return Err(no_name(key, entry));
        };
        names.push(module_name(key, entry, name)?);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Module names as [`names`] reads them, or nothing.
pub(super) fn optional_names(key: &Key, item: &Item) -> Read<Option<Vec<String>>> {
    match item.node {
        Node::Null => Ok(None),
        _ => names(key, item).map(Some),
    }
}

/// Numbers of layers, or nothing.
pub(super) fn layers(key: &Key, item: &Item) -> Read<Option<Vec<u32>>> {
    let items = match &item.node {
        Node::Null => return Ok(None),
        Node::List(items) if !items.is_empty() => items.as_slice(),
        Node::Whole(_) => std::slice::from_ref(item),
        Node::List(_) => return Err(out_of_range(key, item)),
        _ => return Err(wrong_type(key, item)),
    };
    let mut layers = Vec::with_capacity(items.len());
    for entry in items {
        let Node::Whole(layer) = entry.node else {
            return Err(wrong_type(key, entry).within(entry));
        };
        let layer = u32::try_from(layer).map_err(|_| out_of_range(key, entry).within(entry))?;
        layers.push(layer);
    }
    layers.sort_unstable();
    layers.dedup();
    Ok(Some(layers))
}

/// Modules with ranks, `NAME=RANK`, in the order they are written.
pub(super) fn ranks(key: &Key, item: &Item) -> Read<Vec<(String, u32)>> {
    let rank = |text: &str| text.parse().ok().filter(|rank| (1..=65_536).contains(rank));
    pattern(key, item, rank)
}

/// Modules with alphas, `NAME=ALPHA`, in the order they are written.
pub(super) fn alphas(key: &Key, item: &Item) -> Read<Vec<(String, f64)>> {
    let alpha = |text: &str| {
        text.parse()
            .ok()
            .filter(|a: &f64| a.is_finite() && *a > 0.0)
    };
    pattern(key, item, alpha)
}

fn pattern<T>(key: &Key, item: &Item, value: impl Fn(&str) -> Option<T>) -> Read<Vec<(String, T)>> {
    let mut pairs: Vec<(String, T)> = Vec::new();
    for entry in items(key, item)? {
        let Node::Text(text) = &entry.node else {
            return Err(no_name(key, entry));
        };
        let (name, number) = text.rsplit_once('=').unwrap_or((text, ""));
        let Some(number) = value(number.trim()) else {
            return Err(out_of_range(key, entry).within(entry));
        };
        let name = module_name(key, entry, name.trim())?;
        if pairs.iter().any(|(earlier, _)| *earlier == name) {
            let what = format!("`{}` names {name} twice", key.name);
            return Err(Problem::new(Code::Contradiction, what)
                .fix("keep one of the two")
                .within(entry));
        }
        pairs.push((name, number));
    }
    Ok(pairs)
}

fn items<'a>(key: &Key, item: &'a Item) -> Read<&'a [Item]> {
    match &item.node {
        Node::Text(_) => Ok(std::slice::from_ref(item)),
        Node::List(items) => Ok(items.as_slice()),
        _ => Err(wrong_type(key, item)),
    }
}

fn module_name(key: &Key, entry: &Item, name: &str) -> Read<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if GROUPS.contains(&name) {
        let what = format!("`{name}` in a list of `{}`", key.name);
        let fix = format!("write `{}: {name}`, without other names", key.name);
        return Err(Problem::new(Code::Contradiction, what)
            .fix(fix)
            .within(entry));
    }
    if name.contains([',', ' ']) {
        let list: Vec<&str> = name
            .split([',', ' '])
            .filter(|part| !part.is_empty())
            .collect();
        let problem = must(Code::OutOfRange, key, entry).within(entry);
        return Err(problem.fix(format!("write a list: [{}]", list.join(", "))));
    }
    if name.is_empty() || !name.chars().all(fits) {
        let problem = must(Code::OutOfRange, key, entry).within(entry);
        return Err(
            problem.fix("a regular expression is written as in `target_modules: 're:.*proj'`")
        );
    }
    Ok(name.to_owned())
}
