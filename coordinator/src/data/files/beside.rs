//! What lies beside the data: files that nobody reads, and what their names tell.
//!
//! In: the files of a folder. Out: those that are read; the others, with what to do about each kind;
//! what a person should know. Keeps: descriptions of data sets are no data, and are named; of a
//! `datasets` folder that lists its shards those are read and no others.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};
use shared::error::{Code, Error, Result};

use super::source_file::{KNOWN, SourceFile, ending};
use crate::data::listed::listed;

/// What is not read, and what is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Files of a kind that nobody reads.
    pub skipped: Vec<String>,
    pub notices: Vec<String>,
}

/// The files that are read, and what lies beside them.
pub(crate) fn sort_out(
    files: Vec<SourceFile>,
    also: &dyn Fn(&str) -> bool,
) -> Result<(Vec<SourceFile>, Beside)> {
    let knows = |ending: &str| KNOWN.contains(&ending) || also(ending);
    let mut beside = Beside::default();
    let mut described = BTreeSet::new();
    let mut shards = BTreeSet::new();
    for file in &files {
        no_link(file)?;
        if let Some(about) = Description::of(file) {
            described.insert(file.path.clone());
            beside.notices.extend(about.notice(file));
            if let Description::State(names) = about {
                shards.extend(present(file, &names)?);
            }
        }
    }
    let of_state: BTreeSet<_> = shards.iter().filter_map(|path| path.parent()).collect();
    let mut known = Vec::new();
    let mut unlisted = Vec::new();
    for file in files.iter().filter(|file| !described.contains(&file.path)) {
        let shard =
            file.extension() == "arrow" && file.path.parent().is_some_and(|p| of_state.contains(p));
        if shard && !shards.contains(&file.path) {
            unlisted.push(file.name.clone());
        } else if is_lock(&file.name) || !knows(&file.extension()) {
            beside.skipped.push(file.name.clone());
        } else {
            known.push(file.clone());
        }
    }
    if !unlisted.is_empty() {
        beside.notices.push(format!(
            "Arrow files that state.json does not name, not read: {}",
            listed(&unlisted)
        ));
    }
    beside.notices.extend(splits(&known));
    Ok((known, beside))
}

/// Refuses a link that was unpacked or copied as a text, which holds only where it points.
fn no_link(file: &SourceFile) -> Result<()> {
    let known =
        |path: &str| KNOWN.contains(&SourceFile::single(Path::new(path)).extension().as_str());
    let small = std::fs::metadata(&file.path).is_ok_and(|m| (1..512).contains(&m.len()));
    if !small || !known(&file.name) {
        return Ok(());
    }
    let text = std::fs::read_to_string(&file.path).unwrap_or_default();
    let text = text.trim();
    if !known(text) || text.contains(|c: char| c.is_whitespace() || "{}[]:：,\"".contains(c)) {
        return Ok(());
    }
    Err(Error::new(
        Code::Unreadable,
        "a data file is a link that was written as text",
    )
    .in_file(&file.path)
    .why(format!("all that it holds is where it points: {text}"))
    .fix("put the file there that it means, or take it out"))
}

/// Whether it is what Office writes beside a file that is open.
fn is_lock(name: &str) -> bool {
    name.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("~$"))
}

/// A JSON file that tells of data and is none.
enum Description {
    /// LLaMA-Factory's list of data sets.
    List,
    /// What `datasets` writes beside data; the shards that belong to it.
    State(Vec<String>),
    Info,
}

impl Description {
    fn of(file: &SourceFile) -> Option<Self> {
        let name = file.name.rsplit('/').next().unwrap_or_default();
        if !matches!(
            name,
            "dataset_info.json" | "state.json" | "dataset_dict.json"
        ) {
            return None;
        }
        let object: Map<String, Value> =
            serde_json::from_slice(&std::fs::read(&file.path).ok()?).ok()?;
        let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
        match name {
            "dataset_dict.json" => has(&["splits"]).then_some(Self::Info),
            "state.json" => {
                let shards = object.get("_data_files")?.as_array()?.iter();
                let name = |shard: &Value| shard.get("filename")?.as_str().map(str::to_owned);
                Some(Self::State(shards.filter_map(name).collect()))
            }
            _ if has(&[
                "features",
                "builder_name",
                "splits",
                "citation",
                "dataset_size",
            ]) =>
            {
                Some(Self::Info)
            }
            _ => {
                let lists = |entry: &Value| {
                    [
                        "file_name",
                        "hf_hub_url",
                        "ms_hub_url",
                        "script_url",
                        "columns",
                        "formatting",
                    ]
                    .iter()
                    .any(|key| entry.get(*key).is_some())
                };
                object.values().any(lists).then_some(Self::List)
            }
        }
    }

    fn notice(&self, file: &SourceFile) -> Option<String> {
        let name = &file.name;
        match self {
            Self::List => Some(format!(
                "{name} is LLaMA-Factory's list of data sets and no data, not read; what it says of columns \
                 comes over by `coordinator import TRAINING.yaml`, with the YAML that trains on it"
            )),
            Self::State(_) | Self::Info => None,
        }
    }
}

/// The shards that a `state.json` names, each of which must be there.
fn present(state: &SourceFile, names: &[String]) -> Result<Vec<std::path::PathBuf>> {
    let folder = state.path.parent().unwrap_or(Path::new(""));
    let shard = |name: &String| {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(
            Error::new(Code::Unreadable, "a part of a saved data set is missing")
                .in_file(&path)
                .why(format!("{} names it", state.name))
                .fix("copy the folder again whole"),
        )
    };
    names.iter().map(shard).collect()
}

/// Words in the names of files that are kept to choose by, and of those that are kept to test on.
const VALIDATION: &[&str] = &[
    "valid",
    "validation",
    "val",
    "dev",
    "eval",
    "heldout",
    "验证",
    "验证集",
];
const TEST: &[&str] = &["test", "测试", "测试集"];

/// Training data beside what is kept to test on, as names say it.
fn splits(files: &[SourceFile]) -> Option<String> {
    let named = |words: &'static [&'static str]| {
        move |file: &&SourceFile| {
            let name = file.name.to_lowercase();
            let mut parts = name.split(|c: char| !c.is_alphanumeric());
            parts.any(|part| words.contains(&part))
        }
    };
    let train: Vec<_> = files
        .iter()
        .filter(named(&["train", "training", "训练", "训练集"]))
        .collect();
    // The one that is named first is the better one to evaluate on.
    let kept: Vec<_> = [VALIDATION, TEST]
        .iter()
        .flat_map(|words| files.iter().filter(named(words)))
        .filter(|file| !train.contains(file))
        .collect();
    let (first, last) = (train.first()?, kept.first()?);
    let names = |files: &[&SourceFile]| {
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        listed(&names)
    };
    Some(format!(
        "{} and {} lie side by side, and all of them are trained on; to keep the latter out: \
         train_data_dir={} and validation_dir={}",
        names(&train),
        names(&kept),
        first.path.display(),
        last.path.display()
    ))
}

/// What to do about files of a kind that nobody reads, a line for each kind.
pub(crate) fn ways_out(skipped: &[String]) -> Vec<String> {
    const KINDS: &[(&[&str], &str)] = &[
        (
            &["docx", "doc", "odt", "rtf", "wps", "pages"],
            "save them as plain text (.txt, UTF-8), with who speaks before each line",
        ),
        (
            &["pdf"],
            "take the text out, as `pdftotext FILE` does, and see that who speaks stands before each line",
        ),
        (
            &["xlsb", "numbers", "et"],
            "save them as .xlsx, or as `CSV UTF-8`",
        ),
        (
            &["zip", "rar", "7z", "tar", "tgz", "bz2", "xz"],
            "unpack them",
        ),
        (
            &["html", "htm", "xml"],
            "take the text out, and give it as JSONL or CSV",
        ),
        (
            &["db", "sqlite", "sqlite3", "mdb"],
            "export the table as `CSV UTF-8`",
        ),
    ];
    let is = |name: &String, endings: &[&str]| endings.contains(&ending(Path::new(name)).as_str());
    let mut ways = Vec::new();
    let locks: Vec<&String> = skipped.iter().filter(|name| is_lock(name)).collect();
    for (endings, way) in KINDS {
        let of_kind: Vec<&String> = skipped
            .iter()
            .filter(|n| is(n, endings) && !is_lock(n))
            .collect();
        if !of_kind.is_empty() {
            ways.push(format!("{}: {way}", listed(&of_kind)));
        }
    }
    if !locks.is_empty() {
        ways.push(format!(
            "{}: a lock of Office, no data; close the file there",
            listed(&locks)
        ));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, text: &str) -> SourceFile {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        SourceFile {
            name: name.into(),
            path,
        }
    }

    #[test]
    fn of_a_saved_data_set_the_named_shards_are_read_and_none_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let state = r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}"#;
        let files = |state: &str| {
            vec![
                file(folder.path(), "s/cache-1f.arrow", ""),
                file(folder.path(), "s/data-00000-of-00001.arrow", ""),
                file(folder.path(), "s/dataset_info.json", r#"{"features": {}}"#),
                file(folder.path(), "s/state.json", state),
            ]
        };
        let (known, beside) = sort_out(files(state), &|_| false).unwrap();
        let names: Vec<_> = known.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["s/data-00000-of-00001.arrow"]);
        assert_eq!(
            beside.notices,
            ["Arrow files that state.json does not name, not read: s/cache-1f.arrow"]
        );
        let error = sort_out(files(&state.replace("00001", "00002")), &|_| false).unwrap_err();
        assert_eq!(error.code, Code::Unreadable);
    }

    #[test]
    fn names_tell_of_splits_and_descriptions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| file(folder.path(), name, "{}");
        let said = |names: &[&str]| {
            sort_out(names.iter().map(|n| at(n)).collect(), &|_| false)
                .unwrap()
                .1
                .notices
        };
        let notices = said(&[
            "data/train-00000-of-00001.parquet",
            "data/test-00000-of-00001.parquet",
        ]);
        assert!(
            notices[0].starts_with("data/train-00000-of-00001.parquet and data/test-"),
            "{notices:?}"
        );
        assert_eq!(
            said(&["train.jsonl", "contest.jsonl", "latest.jsonl"]),
            [""; 0]
        );
        assert_eq!(said(&["test.jsonl", "validation.jsonl"]), [""; 0]);
        assert_eq!(said(&["train_test.jsonl"]), [""; 0]);
        let list = file(
            folder.path(),
            "dataset_info.json",
            r#"{"law": {"file_name": "law.json"}}"#,
        );
        let (known, beside) = sort_out(vec![list], &|_| false).unwrap();
        assert!(known.is_empty() && beside.notices[0].contains("LLaMA-Factory"));
    }

    #[test]
    fn each_kind_of_file_has_a_way_out() {
        let names = ["~$a.docx", "a.docx", "b.PDF", "c.xyz"].map(String::from);
        insta::assert_snapshot!(ways_out(&names).join("\n"));
    }
}
