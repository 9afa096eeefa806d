//! Every remedy that the sources print, as they write it.
//!
//! In: the sources of configuration, data, import, start and the commands. Out: for each call of `fix` the text in
//! it, with `{}` for what is put in; of a call without a text its expression.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

const ROOMS: &[&str] = &[
    "coordinator/src/cli",
    "coordinator/src/data",
    "coordinator/src/import",
    "coordinator/src/start",
    "coordinator/src/store",
    "shared/src/config",
    "shared/src/text",
];

/// The remedies of all rooms, each once: the file, and the text.
pub fn remedies() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for room in ROOMS {
        of_folder(&root, &root.join(room), &mut found);
    }
    found
}

fn of_folder(root: &Path, folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if name.contains("tests") {
            continue;
        }
        if path.is_dir() {
            of_folder(root, &path, found);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod").next().unwrap();
            found.extend(of_source(code).into_iter().map(|form| (name.clone(), form)));
        }
    }
}

fn of_source(code: &str) -> Vec<String> {
    let calls = Regex::new(r"\bfix(?:_first)?\(").unwrap();
    let mut forms = Vec::new();
    for call in calls.find_iter(code) {
        if code[..call.start()].ends_with("fn ") {
            continue;
        }
        let argument = argument(&code[call.end()..]);
        let texts = texts(argument);
        if texts.is_empty() {
            let words: Vec<&str> = argument.split_whitespace().collect();
            forms.push(format!("({})", words.join(" ")));
        }
        forms.extend(texts.into_iter().filter(|text| text.trim().contains(' ')));
    }
    forms
}

/// What stands between the parentheses that are open.
fn argument(code: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..at];
        }
    }
    code
}

/// The texts of an argument as they are printed, `{}` for what is put in.
fn texts(argument: &str) -> Vec<String> {
    let text = Regex::new(r#""((?:[^"\\]|\\.|\\\n)*)""#).unwrap();
    let hole = Regex::new(r"\{[^{}]*\}").unwrap();
    let clean = |raw: &str| {
        let joined = Regex::new(r"\\\n\s*")
            .unwrap()
            .replace_all(raw, "")
            .into_owned();
        let plain = joined.replace("\\\"", "\"").replace("\\\\", "\\");
        if argument.contains("format!") {
            let kept = plain.replace("{{", "\u{1}").replace("}}", "\u{2}");
            let holes = hole.replace_all(&kept, "{}").into_owned();
            holes.replace('\u{1}', "{").replace('\u{2}', "}")
        } else {
            plain
        }
    };
    text.captures_iter(argument)
        .map(|found| clean(&found[1]))
        .collect()
}

/// Whether a printed remedy is of this form.
pub fn fits(form: &str, printed: &str) -> bool {
    if form.starts_with('(') {
        return false;
    }
    let parts: Vec<String> = form.split("{}").map(regex::escape).collect();
    let pattern = format!("(?s)^{}$", parts.join(".*"));
    Regex::new(&pattern).unwrap().is_match(printed)
}
