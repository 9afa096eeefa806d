//! `dataset_info.json` of LLaMA-Factory: which file a name stands for, its columns and its tags.
//!
//! In: the names in `dataset`. Out: a [`DataSet`] for each, and a remark for every key of an entry that has no
//! counterpart. Keeps: an entry reads the columns that it names and no others; data that compares answers is refused.

use std::path::Path;

use serde_json::{Map, Value};
use shared::config::Node;
use shared::error::{Code, Error, Result};

use super::Outcome;
use super::datasets::DataSet;
use super::values::names;
use super::work::{SourceKey, Work};

/// Keys of an entry that are read.
const READ: &[&str] = &["file_name", "formatting", "columns", "tags"];
/// Where an entry may come from instead of a file.
const ELSEWHERE: &[&str] = &[
    "hf_hub_url",
    "ms_hub_url",
    "om_hub_url",
    "script_url",
    "cloud_file_name",
];
/// Columns of data that compares answers, or says which are good.
const PREFERENCES: &[&str] = &["chosen", "rejected", "kto_tag"];

/// An entry's columns in the order of our parts, with what the tool takes without any.
const COLUMNS: &[(&str, &str, Option<&str>)] = &[
    ("prompt", "question", Some("instruction")),
    ("query", "input", Some("input")),
    ("response", "answer", Some("output")),
    ("history", "history", None),
    ("system", "system", None),
];
/// An entry's tags with what the tool takes without any.
const TAGS: &[(&str, &str, &str)] = &[
    ("user_tag", "user", "human"),
    ("assistant_tag", "assistant", "gpt"),
    ("observation_tag", "tool", "observation"),
    ("system_tag", "system", "system"),
];

type Entry = Map<String, Value>;

/// Looks the names in `at` up.
///
/// # Errors
/// `E0304`, `E0104`, and `E0107` for a data set of preferences.
pub(super) fn look_up(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<Vec<DataSet>> {
    let wanted = names(at.value);
    let folder = match work.other("dataset_dir") {
        Some(Node::Text(folder)) => folder,
        _ => "data".to_owned(),
    };
    let folder = folder.trim_end_matches('/').to_owned();
    let file = Path::new(&folder).join("dataset_info.json");
    let text = match std::fs::read_to_string(work.cwd.join(&file)) {
        Ok(text) => text,
        Err(error) => {
            let reason = format!(
                "`{}` cannot be read ({error}), and it says which file `{}` is",
                file.display(),
                wanted.join(", ")
            );
            work.say(
                Outcome::Changed,
                at,
                &reason,
                "the name in `dataset_dir` is kept, as a place to write the file's name",
            );
            let named = wanted.iter().map(|name| DataSet {
                path: format!("{folder}/{name}"),
                ..DataSet::default()
            });
            return Ok(named.collect());
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let info: Value = serde_json::from_str(text).map_err(|error| {
        Error::new(Code::MalformedJson, format!("this is not JSON: {error}"))
            .at_line(&file, error.line() as u64)
            .why(format!("`{}` is looked up in it", wanted.join(", ")))
            .fix("mend the file, or name another `dataset_dir`")
    })?;
    let mut sets = Vec::new();
    for name in &wanted {
        let Some(entry) = info.get(name).and_then(Value::as_object) else {
            let known: Vec<String> = info.as_object().map_or_else(Vec::new, |all| {
                all.keys().take(8).map(|key| format!("`{key}`")).collect()
            });
            let what = format!("`{name}` is not in {}", file.display());
            return Err(work
                .error(Code::OutOfRange, what, at.value.mark)
                .why(format!("it lists {}", known.join(", ")))
                .fix("write a name that is there"));
        };
        refuse_preferences(work, at, name, entry)?;
        remarks(work, at, name, entry);
        sets.push(data_set(work, at, name, &folder, entry));
    }
    Ok(sets)
}

/// Answers that are compared are not answers to learn.
fn refuse_preferences(work: &Work<'_>, at: SourceKey<'_>, name: &str, entry: &Entry) -> Result<()> {
    let columns = entry.get("columns").and_then(Value::as_object);
    let column = columns.and_then(|c| PREFERENCES.iter().find(|p| c.contains_key(**p)));
    let because = match (entry.get("ranking"), column) {
        (Some(Value::Bool(true)), _) => "ranking: true".to_owned(),
        (_, Some(column)) => format!("a column `{column}`"),
        _ => return Ok(()),
    };
    let what = format!("`{name}` is preference data, which is not built");
    Err(work
        .error(Code::NotYet, what, at.value.mark)
        .why(format!("its entry in dataset_info.json has {because}"))
        .why("its answers are compared (DPO, KTO, reward models), and those that are rejected must not be learned")
        .fix(format!("take `{name}` out of `dataset`")))
}

fn data_set(
    work: &mut Work<'_>,
    at: SourceKey<'_>,
    name: &str,
    folder: &str,
    entry: &Entry,
) -> DataSet {
    let text = |part: &str, key: &str| {
        let value = entry.get(part).and_then(|part| part.get(key));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let mut set = DataSet {
        path: path_of(work, at, name, folder, entry),
        named: entry.contains_key("columns"),
        ..DataSet::default()
    };
    let formatting = entry.get("formatting").and_then(Value::as_str);
    if matches!(formatting, None | Some("alpaca")) {
        for (key, part, default) in COLUMNS {
            let found = text("columns", key);
            let default = default.filter(|_| !set.named).map(str::to_owned);
            set.columns
                .extend(found.or(default).map(|name| (*part, name)));
        }
        // Of an entry's own columns, the tool needs these two.
        for (part, default) in [("question", "instruction"), ("answer", "output")] {
            if set.columns.iter().all(|(of, _)| *of != part) {
                set.columns.push((part, default.to_owned()));
            }
        }
        return set;
    }
    let openai = formatting == Some("openai");
    let or =
        |part: &str, key: &str, default: &str| text(part, key).unwrap_or_else(|| default.into());
    let default = if openai {
        ("messages", "role", "content")
    } else {
        ("conversations", "from", "value")
    };
    set.columns = vec![
        ("messages", or("columns", "messages", default.0)),
        ("role", or("tags", "role_tag", default.1)),
        ("content", or("tags", "content_tag", default.2)),
    ];
    for part in ["system", "tools"] {
        set.columns
            .extend(text("columns", part).map(|name| (part, name)));
    }
    for (tag, role, default) in TAGS {
        let default = match (openai, *role) {
            (true, role) => role,
            (false, _) => default,
        };
        set.roles.push((role, or("tags", tag, default)));
    }
    if let Some(calls) =
        text("tags", "function_tag").filter(|tag| tag != "function_call" && tag != "tool_calls")
    {
        let why = format!("turns of `{calls}` (`function_tag`) of `{name}` call tools");
        let instead = "no role of ours is called so; rename it to `function_call` in the data";
        work.say(Outcome::NoCounterpart, at, &why, instead);
    }
    set
}

/// The path of an entry's file, or its name on a hub.
fn path_of(
    work: &mut Work<'_>,
    at: SourceKey<'_>,
    name: &str,
    folder: &str,
    entry: &Entry,
) -> String {
    for hub in ELSEWHERE {
        if let Some(url) = entry.get(*hub).and_then(Value::as_str) {
            work.say(
                Outcome::Changed,
                at,
                &format!("`{name}` is read from a hub or by a script (`{hub}: {url}`)"),
                "its name is kept; download the files and point `train_data_dir` or `data_sources` at them",
            );
            return url.to_owned();
        }
    }
    match entry.get("file_name").and_then(Value::as_str) {
        Some(file) => format!("{folder}/{file}"),
        None => {
            let why = format!("`{name}` has no `file_name` in dataset_info.json");
            work.say(
                Outcome::Changed,
                at,
                &why,
                "its name in `dataset_dir` is kept",
            );
            format!("{folder}/{name}")
        }
    }
}

/// Adds a remark for every key, column and tag of an entry that is not read.
fn remarks(work: &mut Work<'_>, at: SourceKey<'_>, name: &str, entry: &Entry) {
    let says = |value: &Value| !value.is_null() && *value != Value::Bool(false);
    let mut lost = |what: String, instead: &str| {
        let why = format!("{what} of `{name}` in dataset_info.json");
        work.say(Outcome::NoCounterpart, at, &why, instead);
    };
    for (key, value) in entry {
        let read = READ.contains(&key.as_str()) || ELSEWHERE.contains(&key.as_str());
        let usual = key == "split" && value == "train";
        if !read && !usual && says(value) {
            lost(format!("`{key}: {value}`"), "the whole file is read");
        }
    }
    let formatting = entry.get("formatting").and_then(Value::as_str);
    if let Some(form) = formatting.filter(|form| !["alpaca", "sharegpt", "openai"].contains(form)) {
        lost(format!("`formatting: {form}`"), "it is read as `sharegpt`");
    }
    let turns = !matches!(formatting, None | Some("alpaca"));
    let of = |part: &str| entry.get(part).and_then(Value::as_object);
    for (key, value) in of("columns").into_iter().flatten().filter(|(_, v)| says(v)) {
        let read = match turns {
            true => ["messages", "system", "tools"].contains(&key.as_str()),
            false => COLUMNS.iter().any(|(column, ..)| column == key),
        };
        if !read {
            lost(format!("the column {value} (`{key}`)"), "it is not read");
        }
    }
    for (key, value) in of("tags").into_iter().flatten().filter(|(_, v)| says(v)) {
        let known = ["role_tag", "content_tag", "function_tag"].contains(&key.as_str());
        if !turns || !(known || TAGS.iter().any(|(tag, ..)| tag == key)) {
            lost(format!("the tag {value} (`{key}`)"), "it is not read");
        }
    }
}
