//! What was meant by a path that leads nowhere: one of Windows, a variable, quotes, a name on a hub.
//!
//! In: a key and its path. Out: what is to be seen in it, and remedies. Side effects: asks the file system and the
//! environment. Keeps: a remedy that names another path has looked that it is there.

use std::path::{Path, PathBuf};

use super::look_alike;

/// What is said of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// Reasons, one line each.
    pub why: Vec<String>,
    /// Remedies, one line each.
    pub fix: Vec<String>,
}

impl Hint {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: vec![why.into()],
            fix: Vec::new(),
        }
    }

    fn fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    /// The remedy that names a path that is there, else one in words.
    fn there(self, key: &str, path: &Path, else_fix: impl Into<String>) -> Self {
        if path.exists() {
            self.fix(set(key, &path.display().to_string()))
        } else {
            self.fix(else_fix)
        }
    }
}

/// What was meant by a path that nobody writes on purpose, whether something is there or not.
pub(super) fn slip(key: &str, path: &Path) -> Option<Hint> {
    let text = path.to_str()?;
    escapes(key, text)
        .or_else(|| drive(key, text))
        .or_else(|| home(key, path))
        .or_else(|| variable(key, text))
        .or_else(|| quotes(key, text))
        .or_else(|| odd(key, text))
}

/// What was meant, where that can be told.
pub(super) fn hint(key: &str, path: &Path) -> Option<Hint> {
    let text = path.to_str()?;
    slip(key, path)
        .or_else(|| backslashes(key, text))
        .or_else(|| hub(key, path))
}

/// `--set` that a shell passes on as it is.
fn set(key: &str, path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-~+@=".contains(c);
    if path.chars().all(plain) {
        format!("--set {key}={path}")
    } else {
        let quoted = format!(
            "{key}=\"{}\"",
            path.replace('\\', "\\\\").replace('"', "\\\"")
        );
        format!("--set '{}'", quoted.replace('\'', "'\\''"))
    }
}

/// Backslashes of a path that double quotes have read as escapes of YAML, such as `\n`.
fn escapes(key: &str, text: &str) -> Option<Hint> {
    const READ: &[(char, &str)] = &[
        ('\n', r"\n"),
        ('\t', r"\t"),
        ('\r', r"\r"),
        ('\0', r"\0"),
        ('\u{7}', r"\a"),
        ('\u{8}', r"\b"),
        ('\u{b}', r"\v"),
        ('\u{c}', r"\f"),
        ('\u{1b}', r"\e"),
        ('\u{85}', r"\N"),
        ('\u{2028}', r"\L"),
        ('\u{2029}', r"\P"),
    ];
    let known = |c: char| READ.iter().find(|(of, _)| *of == c);
    text.chars().find_map(known)?;
    let one = |c: char| known(c).map_or_else(|| c.to_string(), |(_, written)| (*written).into());
    let written: String = text.chars().map(one).collect();
    let meant = drive(key, &written);
    let mut hint =
        Hint::new("a backslash in double quotes begins an escape, and `\\n` is a line end there")
            .fix(format!(
                "put `{key}` in single quotes, where a backslash is one"
            ));
    if let Some(drive) = meant {
        hint.why.extend(drive.why);
        hint.fix.extend(drive.fix);
    }
    Some(hint)
}

/// A path of Windows, behind whatever folder it was laid on.
fn drive(key: &str, text: &str) -> Option<Hint> {
    let starts = text.match_indices('/').map(|(at, _)| at + 1);
    let start = std::iter::once(0).chain(starts).find(|start| {
        let bytes = &text.as_bytes()[*start..];
        let letter = bytes.first().is_some_and(u8::is_ascii_alphabetic);
        letter && bytes.get(1) == Some(&b':') && matches!(bytes.get(2), Some(b'\\' | b'/'))
    })?;
    let written = &text[start..];
    let letter = written[..1].to_lowercase();
    let rest = written[3..].replace('\\', "/");
    let mounted = PathBuf::from(format!("/mnt/{letter}/{rest}"));
    let hint = Hint::new(format!(
        "`{written}` is a path of Windows, and this is no Windows"
    ));
    Some(
        hint.there(
            key,
            &mounted,
            format!(
                "under WSL the drive is a folder: --set {key}={}",
                mounted.display()
            ),
        )
        .fix("elsewhere copy the files to this machine, and write their path here"),
    )
}

fn home(key: &str, path: &Path) -> Option<Hint> {
    let mut parts = path.components();
    parts.find(|part| part.as_os_str() == "~")?;
    let home = PathBuf::from(std::env::var_os("HOME")?).join(parts.as_path());
    let hint = Hint::new("`~` is not expanded");
    Some(hint.there(
        key,
        &home,
        format!("write the home folder in full, as in {}", home.display()),
    ))
}

/// `$NAME`, `${NAME}` and `%NAME%`.
fn variable(key: &str, text: &str) -> Option<Hint> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (whole, name, start) = if let Some(start) = text.find('$') {
        let rest = &text[start + 1..];
        let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        match braced {
            Some((name, _)) => (format!("${{{name}}}"), name, start),
            None => {
                let end = rest.find(|c| !named(c)).unwrap_or(rest.len());
                (format!("${}", &rest[..end]), &rest[..end], start)
            }
        }
    } else {
        let start = text.find('%')?;
        let (name, _) = text[start + 1..].split_once('%')?;
        (format!("%{name}%"), name, start)
    };
    if name.is_empty() || !name.chars().all(named) {
        return None;
    }
    let hint = Hint::new(format!(
        "`{whole}` is not expanded: variables mean nothing in a path here"
    ));
    let value = std::env::var(name).ok();
    let meant = value.map(|value| {
        let behind = &text[start + whole.len()..];
        // What stands before an absolute value is the folder that the path was laid on.
        let before = if value.starts_with('/') {
            ""
        } else {
            &text[..start]
        };
        PathBuf::from(format!("{before}{value}{behind}"))
    });
    Some(match meant {
        Some(meant) => {
            let words = format!("write its value: {}", meant.display());
            hint.there(key, &meant, words)
        }
        None => hint.fix(format!(
            "write the path in full; no variable `{name}` is set here"
        )),
    })
}

/// Quotes that were written as part of the path.
fn quotes(key: &str, text: &str) -> Option<Hint> {
    let quote = |c: char| matches!(look_alike::ascii(c).unwrap_or(c), '"' | '\'' | '`');
    let odd = text.chars().find(|c| quote(*c))?;
    let meant: String = text.chars().filter(|c| !quote(*c)).collect();
    let meant = PathBuf::from(look_alike::meant(&meant));
    let code = u32::from(odd);
    let hint = Hint::new(format!(
        "the quote `{odd}` (U+{code:04X}) is part of the path: YAML's quotes are \" and '"
    ));
    Some(hint.there(key, &meant, "write the path without it"))
}

/// Characters that look like others, or cannot be seen.
fn odd(key: &str, text: &str) -> Option<Hint> {
    let told = look_alike::told(text)?;
    let meant = PathBuf::from(look_alike::meant(text).trim());
    let hint = Hint::new(told);
    let ordinary = text.chars().all(|c| !crate::error::is_invisible(c));
    if ordinary && !meant.exists() {
        return None;
    }
    Some(hint.there(key, &meant, "write the path anew, without that character"))
}

fn backslashes(key: &str, text: &str) -> Option<Hint> {
    let meant = PathBuf::from(text.replace('\\', "/"));
    let hint = Hint::new("parts of a path are separated by `/` here, not by `\\`");
    text.contains('\\')
        .then(|| hint.there(key, &meant, "write it with `/`"))
}

/// `OWNER/NAME`, neither of which is here.
fn hub(key: &str, path: &Path) -> Option<Hint> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent()?;
    let owner = parent.file_name()?.to_str()?;
    let word = |text: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        text.chars().all(known) && !text.starts_with('.')
    };
    let here = [
        "models",
        "model",
        "data",
        "output",
        "outputs",
        "saves",
        "adapters",
        "checkpoints",
    ];
    let fits = word(owner)
        && word(name)
        && !here.contains(&owner)
        && !parent.exists()
        && parent.parent()?.is_dir();
    let (folder, kind, dataset) = match key {
        "base_model" => ("models", "", "--model "),
        "train_data_dir" | "validation_dir" => ("data", "--repo-type dataset ", "--dataset "),
        "init_adapter" => ("adapters", "", "--model "),
        _ => return None,
    };
    if !fits || !of_a_hub(key, name) {
        return None;
    }
    let local = format!("{folder}/{name}");
    let hint = Hint::new(format!(
        "if `{owner}/{name}` is the name of a repository on a hub: nothing is downloaded here"
    ));
    Some(
        hint.fix(format!(
            "download it first: hf download {owner}/{name} {kind}--local-dir {local}"
        ))
        .fix(format!(
            "or from ModelScope: modelscope download {dataset}{owner}/{name} --local_dir {local}"
        ))
        .fix(format!("then --set {key}={local}"))
        .fix(format!(
            "or put it there, or point `--set {key}=PATH` at it"
        )),
    )
}

/// Data that is a file with an ending is not what a hub calls a repository.
fn of_a_hub(key: &str, name: &str) -> bool {
    let file = [
        ".json", ".jsonl", ".txt", ".csv", ".tsv", ".parquet", ".gz", ".zst", ".xlsx",
    ];
    key == "base_model" || !file.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, path: &Path) -> (String, Vec<String>) {
        let found = hint(key, path).unwrap_or_default();
        (found.why.join("; "), found.fix)
    }

    #[test]
    fn what_was_meant_is_looked_for_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("models/law")).unwrap();
        let law = root.join("models/law").display().to_string();
        for written in [
            "“models/law”",
            "\"models/law\"",
            "models\u{200b}/law",
            "models\\law",
            "models/l\u{430}w",
        ] {
            let (why, fix) = of("base_model", &root.join(written));
            assert!(!why.is_empty(), "{written}");
            assert_eq!(fix, [format!("--set base_model={law}")], "{written}: {why}");
        }
        let (why, fix) = of("base_model", &root.join("$HOME/no/such"));
        assert!(why.contains("`$HOME` is not expanded"), "{why}");
        assert!(fix[0].starts_with("write its value: "), "{fix:?}");
        let (why, fix) = of("base_model", &root.join("%USERPROFILE%\\model"));
        assert!(why.contains("`%USERPROFILE%` is not expanded"), "{why}");
        assert!(fix[0].contains("USERPROFILE"), "{fix:?}");
        let (why, fix) = of("train_data_dir", &root.join(r"D:\law\data"));
        assert!(why.contains(r"`D:\law\data` is a path of Windows"), "{why}");
        assert!(
            fix[0].contains("--set train_data_dir=/mnt/d/law/data"),
            "{fix:?}"
        );
        let (why, _) = of("train_data_dir", &root.join("C:/law"));
        assert!(why.contains("`C:/law`"), "{why}");
    }

    #[test]
    fn a_name_of_a_hub_comes_with_its_download() {
        let folder = tempfile::tempdir().unwrap();
        let (why, fix) = of(
            "base_model",
            &folder.path().join("Qwen/Qwen2.5-7B-Instruct"),
        );
        assert!(why.contains("nothing is downloaded"), "{why}");
        assert_eq!(
            fix,
            [
                "download it first: hf download Qwen/Qwen2.5-7B-Instruct --local-dir models/Qwen2.5-7B-Instruct",
                "or from ModelScope: modelscope download --model Qwen/Qwen2.5-7B-Instruct --local_dir models/Qwen2.5-7B-Instruct",
                "then --set base_model=models/Qwen2.5-7B-Instruct",
                "or put it there, or point `--set base_model=PATH` at it",
            ]
        );
        let (_, fix) = of("train_data_dir", &folder.path().join("someone/laws"));
        assert!(
            fix[0].contains("--repo-type dataset --local-dir data/laws"),
            "{fix:?}"
        );
        assert_eq!(
            hint("train_data_dir", &folder.path().join("data/law.json")),
            None
        );
        assert_eq!(hint("base_model", &folder.path().join("model")), None);
    }

    #[test]
    fn backslashes_that_were_read_as_escapes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (why, fix) = of("train_data_dir", &folder.path().join("D:\new\table"));
        assert!(
            why.contains(r"`D:\new\table` is a path of Windows"),
            "{why}"
        );
        assert!(fix[0].contains("single quotes"), "{fix:?}");
        assert!(fix[1].contains("/mnt/d/new/table"), "{fix:?}");
    }

    #[test]
    fn a_path_of_another_script_is_only_not_there() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            hint("train_data_dir", &folder.path().join("数据：一")),
            None
        );
    }
}
