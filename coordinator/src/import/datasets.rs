//! The training data: where it lies, how several data sets are mixed, what fields and roles are called.
//!
//! In: data sets as the other tool's file describes them. Out: `train_data_dir`, `data_sources`, `columns`, `roles`.
//! Side effects: looks whether paths exist, and which fields their files mention.
//! Keeps: a field that the other tool does not read is not read here either; what `columns` and `roles` cannot say
//! of several data sets at once is refused.

use std::path::Path;

use shared::config::Node;
use shared::error::Result;

use super::Outcome;
use super::values::list;
use super::work::{SourceKey, Work};
use crate::data::knows_columns;

/// Parts that a sample may lack; a field called so is read unless `columns` says that nothing is.
const OPTIONAL: &[&str] = &["input", "system", "history", "tools"];
/// A file up to this size is searched for the names of fields.
const SEARCHED: u64 = 64 << 20;

/// A data set of the other tool.
#[derive(Clone, Debug, Default)]
pub(super) struct DataSet {
    /// File or folder, or a name on a hub.
    pub path: String,
    /// The parts of a sample that the tool reads, each with the name of its field.
    pub columns: Vec<(&'static str, String)>,
    /// Who speaks under which name.
    pub roles: Vec<(&'static str, String)>,
    /// The names stand in the tool's file, they are not its defaults.
    pub named: bool,
}

/// Writes the lines for all data sets of a run; `weights` where the tool draws from them by share.
pub(super) fn put(
    work: &mut Work<'_>,
    at: SourceKey<'_>,
    sets: &[DataSet],
    weights: Option<&[f64]>,
) -> Result<()> {
    match sets {
        [] => return Ok(()),
        [one] => {
            if !work.put("train_data_dir", &Node::Text(one.path.clone()), at)? {
                return Ok(());
            }
        }
        several => sources(work, at, several, weights)?,
    }
    for set in sets {
        told_when_missing(work, at, &set.path);
    }
    let columns = columns(work, at, sets);
    if !columns.is_empty() {
        work.must("columns", &list(columns), at)?;
    }
    let mut roles: Vec<String> = Vec::new();
    for (role, name) in sets.iter().flat_map(|set| &set.roles) {
        let entry = format!("{role}={name}");
        if !knows_role(role, name) && !roles.contains(&entry) {
            roles.push(entry);
        }
    }
    if !roles.is_empty() {
        work.must("roles", &list(roles), at)?;
    }
    Ok(())
}

/// The folder that holds all data sets, and each as a source.
fn sources(
    work: &mut Work<'_>,
    at: SourceKey<'_>,
    sets: &[DataSet],
    weights: Option<&[f64]>,
) -> Result<()> {
    let folder = common(sets.iter().map(|set| set.path.as_str()));
    if !work.put("train_data_dir", &Node::Text(folder.clone()), at)? {
        return Ok(());
    }
    let entry = |(number, set): (usize, &DataSet)| {
        let below = set.path.strip_prefix(&folder).unwrap_or(&set.path);
        let below = below.trim_start_matches('/');
        match weights.and_then(|weights| weights.get(number)) {
            Some(weight) => format!("{below}={weight}"),
            None if below.contains('=') => format!("{below}=1"),
            None => below.to_owned(),
        }
    };
    let entries: Vec<String> = sets.iter().enumerate().map(entry).collect();
    work.must("data_sources", &list(entries), at)
}

/// The folder that all paths begin with.
fn common<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let folders = paths.map(|path| {
        let mut parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        parts.pop();
        parts
    });
    let shared = folders.reduce(|one, other| {
        let pairs = one.iter().zip(&other);
        let same = pairs.take_while(|(a, b)| a == b).count();
        one[..same].to_vec()
    });
    match shared.unwrap_or_default().join("/") {
        folder if folder.is_empty() => ".".to_owned(),
        folder => folder,
    }
}

fn told_when_missing(work: &mut Work<'_>, at: SourceKey<'_>, path: &str) {
    if work.cwd.join(path).exists() {
        return;
    }
    let (why, instead) = if looks_like_a_path(path) {
        (
            "it is not there from here",
            "kept as it is; relative paths start from the folder the command is run in",
        )
    } else {
        (
            "it is not there from here: the name of a data set on a hub is not downloaded",
            "kept as it is; download the files and point `train_data_dir` or `data_sources` at them",
        )
    };
    work.say(Outcome::Changed, at, &format!("`{path}`: {why}"), instead);
}

/// Whether a name is more likely a path than a repository on a hub.
pub(super) fn looks_like_a_path(name: &str) -> bool {
    name.starts_with(['.', '/', '~']) || Path::new(name).extension().is_some()
}

/// The entries of `columns`: none where the readers find the same fields by themselves.
fn columns(work: &mut Work<'_>, at: SourceKey<'_>, sets: &[DataSet]) -> Vec<String> {
    let mut named: Vec<(&str, &str)> = Vec::new();
    for (part, name) in sets.iter().flat_map(|set| &set.columns) {
        if !named.contains(&(part, name)) {
            named.push((part, name));
        }
    }
    let own = sets.iter().any(|set| set.named || !knows(set));
    let mut entries: Vec<String> = Vec::new();
    for (part, name) in &named {
        let turn = matches!(*part, "role" | "content");
        if own && !(turn && matches!(*name, "role" | "content" | "from" | "value")) {
            entries.push(format!("{part}={name}"));
        }
    }
    for part in OPTIONAL {
        let names = named.iter().filter(|(of, _)| of == part);
        let mut names: Vec<&str> = names.map(|(_, name)| *name).collect();
        let nowhere = names.is_empty();
        if nowhere {
            names.push(part);
        }
        let others = sets.iter().filter(|set| reads(set, part).is_none());
        let holds = |set: &&DataSet| names.iter().any(|name| mentions(work.cwd, &set.path, name));
        let Some(other) = others.clone().find(holds) else {
            continue;
        };
        if nowhere {
            entries.push(format!("{part}="));
        } else {
            let why = format!(
                "`{}` may have a field `{}` too, which there is read from the other data sets only",
                other.path,
                names.join("`, `")
            );
            work.say(Outcome::Changed, at, &why, "it is read from all of them");
        }
    }
    let silent = entries.iter().any(|entry| entry.ends_with('='));
    if silent && !own {
        let whole = named.iter().map(|(part, name)| format!("{part}={name}"));
        let fields =
            whole.filter(|entry| !entry.starts_with("role=") && !entry.starts_with("content="));
        let messages =
            |entry: &String| entry != "messages=messages" && entry != "messages=conversations";
        entries.splice(0..0, fields.filter(messages).collect::<Vec<_>>());
    }
    entries
}

fn reads<'a>(set: &'a DataSet, part: &str) -> Option<&'a str> {
    let found = set.columns.iter().find(|(of, _)| *of == part);
    found.map(|(_, name)| name.as_str())
}

/// Whether the readers find every part of a data set under its name.
fn knows(set: &DataSet) -> bool {
    let pair = reads(set, "question").zip(reads(set, "answer"));
    let turns = (reads(set, "role"), reads(set, "content"));
    let known = |(part, name): &(&str, String)| match *part {
        "messages" => ["messages", "conversations"].contains(&name.as_str()),
        part if OPTIONAL.contains(&part) => part == name,
        _ => true,
    };
    pair.is_none_or(|(question, answer)| knows_columns(question, answer))
        && matches!(
            turns,
            (None, None) | (Some("role"), Some("content")) | (Some("from"), Some("value"))
        )
        && set.columns.iter().all(known)
}

/// Whether the readers know who speaks under this name.
fn knows_role(role: &str, name: &str) -> bool {
    let known: &[&str] = match role {
        "user" => &["user", "human"],
        "assistant" => &["assistant", "gpt", "chatgpt", "model", "bot"],
        "system" => &["system"],
        "tool" => &["tool", "observation"],
        _ => &[],
    };
    known.contains(&name.to_lowercase().as_str())
}

/// Whether a file says this word; a folder, a packed file and a very large one may.
fn mentions(cwd: &Path, path: &str, word: &str) -> bool {
    let path = cwd.join(path);
    let Ok(found) = path.metadata() else {
        return false;
    };
    let ending = path.extension().and_then(|ending| ending.to_str());
    let text = matches!(ending, Some("json" | "jsonl" | "csv" | "tsv"));
    if found.is_dir() || !text || found.len() > SEARCHED {
        return true;
    }
    std::fs::read(&path).is_ok_and(|bytes| {
        let text = String::from_utf8_lossy(&bytes);
        let quoted = matches!(ending, Some("json" | "jsonl"));
        text.contains(&if quoted {
            format!("\"{word}\"")
        } else {
            word.to_owned()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_holds_all_paths() {
        let of = |paths: &[&str]| common(paths.iter().copied());
        assert_eq!(of(&["../d/a.json", "../d/b.json"]), "../d");
        assert_eq!(of(&["data/a.json", "data/more/b.json"]), "data");
        assert_eq!(of(&["a.json", "data/b.json"]), ".");
        assert_eq!(of(&["/x/a", "/y/b"]), ".");
        assert_eq!(of(&["data/law", "data/law2"]), "data");
    }
}
