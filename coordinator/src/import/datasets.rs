//! The path of the training data, and the names of its columns and roles.
//!
//! In: LLaMA-Factory's names of datasets, or the paths of Axolotl's. Out: `train_data_dir`, and `columns`, `roles` or
//! `csv_columns` where our reader does not know the names in the rows.
//! Side effects: reads `dataset_info.json`, looks whether paths exist.

use std::path::Path;

use serde_json::Value;
use shared::config::Node;
use shared::error::{Code, Error, Result};

use super::values::{list, names};
use super::work::{SourceKey, Work};
use super::{Outcome, axolotl};
use crate::data::knows_columns;

/// Keys of an entry of `dataset_info.json` that are read.
const READ: &[&str] = &["file_name", "formatting", "columns", "tags"];
/// Columns of an entry that have no counterpart.
const NO_COLUMNS: &[&str] = &[
    "images", "videos", "audios", "chosen", "rejected", "kto_tag",
];

/// Writes `train_data_dir` from the first path; each further path becomes a remark.
pub(super) fn put(work: &mut Work<'_>, at: SourceKey<'_>, paths: &[String]) -> Result<()> {
    let Some(first) = paths.first() else {
        return Ok(());
    };
    if !work.put("train_data_dir", &Node::Text(first.clone()), at)? {
        return Ok(());
    }
    for more in &paths[1..] {
        work.say(
            Outcome::NoCounterpart,
            at,
            &format!("`{more}` is a further source, and `train_data_dir` is one file or folder"),
            "only the first is read; put all files into one folder and point `train_data_dir` at it",
        );
    }
    if !work.cwd.join(first).exists() {
        let (why, instead) = if axolotl::looks_like_a_path(first) {
            (
                "it is not there from here",
                "kept as it is; relative paths start from the folder the command is run in",
            )
        } else {
            (
                "it is not there from here: the name of a data set on a hub is not downloaded",
                "kept as it is; download the files and point `train_data_dir` at them",
            )
        };
        work.say(Outcome::Changed, at, &format!("`{first}`: {why}"), instead);
    }
    Ok(())
}

/// Resolves the names of `dataset` by `dataset_info.json` in `dataset_dir`.
pub(super) fn look_up(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
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
                "`train_data_dir` is the name in `dataset_dir`, as a place to write the file's name",
            );
            let paths: Vec<String> = wanted
                .iter()
                .map(|name| format!("{folder}/{name}"))
                .collect();
            return put(work, at, &paths);
        }
    };
    let info: Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(Code::MalformedJson, format!("this is not JSON: {error}"))
            .at_line(&file, error.line() as u64)
            .why(format!("`{}` is looked up in it", wanted.join(", ")))
            .fix("mend the file, or name another `dataset_dir`")
    })?;
    let mut paths = Vec::new();
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
        paths.push(path_of(work, at, name, &folder, entry));
        // Only the first data set is read, so only its columns count.
        if paths.len() == 1 {
            form(work, at, name, entry)?;
        }
    }
    put(work, at, &paths)
}

type Entry = serde_json::Map<String, Value>;

/// The path of an entry's file, or its name on a hub.
fn path_of(
    work: &mut Work<'_>,
    at: SourceKey<'_>,
    name: &str,
    folder: &str,
    entry: &Entry,
) -> String {
    for hub in ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url"] {
        if let Some(url) = entry.get(hub).and_then(Value::as_str) {
            work.say(
                Outcome::Changed,
                at,
                &format!("`{name}` is read from a hub or by a script (`{hub}: {url}`)"),
                "its name is kept; download the files and point `train_data_dir` at them",
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

/// Adds a remark for every key and column of an entry that is not read.
fn remarks(work: &mut Work<'_>, at: SourceKey<'_>, name: &str, entry: &Entry) {
    for (key, value) in entry {
        let hub = key.ends_with("_url");
        if !hub && !READ.contains(&key.as_str()) && *value != Value::Bool(false) && !value.is_null()
        {
            let why = format!("`{key}: {value}` of `{name}` in dataset_info.json");
            work.say(
                Outcome::NoCounterpart,
                at,
                &why,
                "the whole file is read as answers to learn",
            );
        }
    }
    for column in NO_COLUMNS {
        let found = entry.get("columns").and_then(|columns| columns.get(column));
        if let Some(found) = found.and_then(Value::as_str) {
            let why = format!("the column `{found}` (`{column}`) of `{name}` in dataset_info.json");
            work.say(Outcome::NoCounterpart, at, &why, "it is not read");
        }
    }
}

/// Writes the names of an entry's columns and roles that our reader does not know, and the remarks on the entry.
fn form(work: &mut Work<'_>, at: SourceKey<'_>, name: &str, entry: &Entry) -> Result<()> {
    let text = |part: &str, key: &str| {
        let value = entry.get(part).and_then(|part| part.get(key));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    remarks(work, at, name, entry);
    let (mut columns, mut roles) = (Vec::new(), Vec::new());
    if entry.get("formatting").and_then(Value::as_str) == Some("sharegpt") {
        let or = |part: &str, key: &str, default: &str| {
            text(part, key).unwrap_or_else(|| default.into())
        };
        let messages = or("columns", "messages", "conversations");
        if !["messages", "conversations"].contains(&messages.as_str()) {
            columns.push(format!("messages={messages}"));
        }
        let tags = (
            or("tags", "role_tag", "from"),
            or("tags", "content_tag", "value"),
        );
        if !matches!(
            (tags.0.as_str(), tags.1.as_str()),
            ("from", "value") | ("role", "content")
        ) {
            columns.push(format!("role={}", tags.0));
            columns.push(format!("content={}", tags.1));
        }
        for (role, tag, known) in [
            ("user", or("tags", "user_tag", "human"), ["user", "human"]),
            (
                "assistant",
                or("tags", "assistant_tag", "gpt"),
                ["assistant", "gpt"],
            ),
        ] {
            if !known.contains(&tag.as_str()) {
                roles.push(format!("{role}={tag}"));
            }
        }
    } else {
        let or = |key: &str, default: &str| text("columns", key).unwrap_or_else(|| default.into());
        let (question, answer) = (or("prompt", "instruction"), or("response", "output"));
        if !knows_columns(&question, &answer) {
            let table = entry
                .get("file_name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !shared::config::is_key("columns") && table.ends_with(".csv") {
                work.put("csv_columns", &list([question, answer]), at)?;
            } else {
                columns.push(format!("question={question}"));
                columns.push(format!("answer={answer}"));
            }
        }
    }
    for (key, named) in [("columns", columns), ("roles", roles)] {
        if !named.is_empty() && !work.put(key, &list(named.iter().cloned()), at)? {
            let why = format!(
                "rows of `{name}` are called otherwise: {}",
                named.join(", ")
            );
            work.say(Outcome::NoCounterpart, at, &why, "rename them in the file");
        }
    }
    Ok(())
}
