//! A name in a comment or on a page is the name of something that is there: a file of the tree, an item of the code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cluster_tests::repository;

/// Folders of the tree that hold sources and pages.
const FOLDERS: &[&str] = &[
    "shared",
    "coordinator",
    "worker",
    "tests",
    "proto",
    "docs",
    "deploy",
];

/// Every file of these endings, with its path in the repository.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let mut waiting: Vec<PathBuf> = FOLDERS.iter().map(|f| repository().join(f)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let ending = path.extension().and_then(|e| e.to_str());
            if path.is_dir() {
                waiting.push(path);
            } else if ending.is_some_and(|ending| endings.contains(&ending)) {
                let own = path.strip_prefix(repository()).unwrap().to_path_buf();
                found.push((own, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ] {
        if endings.contains(&"md") {
            let text = std::fs::read_to_string(repository().join(page)).unwrap();
            found.push((page.into(), text));
        }
    }
    found
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "md")
}

/// What stands in backticks on a page, or in the comments of a source.
fn spans(path: &Path, text: &str) -> Vec<String> {
    let told = text
        .lines()
        .filter(|line| is_page(path) || line.trim_start().starts_with("//"));
    told.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Every identifier outside comments.
fn identifiers(sources: &[(PathBuf, String)]) -> BTreeSet<String> {
    let code = sources.iter().flat_map(|(_, text)| text.lines());
    code.map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| is_word(word))
        .map(str::to_owned)
        .collect()
}

/// The items `A::b` that a text names and the code does not have.
fn unknown_items(path: &Path, text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let named = spans(path, text).into_iter();
    let paths = named.filter(|span| span.contains("::"));
    paths
        .filter(|span| {
            let parts: Vec<_> = span.trim_end_matches("()").split("::").collect();
            parts.iter().all(|part| is_word(part))
                && parts.iter().any(|part| !known.contains(*part))
        })
        .collect()
}

#[test]
fn an_item_that_a_comment_names_is_in_the_code() {
    let sources = files(&["rs", "cpp", "h", "proto"]);
    let known = identifiers(&sources);
    let gone: Vec<_> = sources
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "rs"))
        .flat_map(|(path, text)| {
            let unknown = unknown_items(path, text, &known).into_iter();
            unknown.map(move |name| format!("{}: {name}", path.display()))
        })
        .collect();
    assert!(gone.is_empty(), "{gone:#?}");
    // What a walk through the code once said of a method that had been renamed.
    let gone = ["Replica::shade", "it", "all"].join("_");
    let stale = format!("/// `{gone}`, then `Replica::commit`.");
    assert_eq!(unknown_items(Path::new("a.rs"), &stale, &known), [gone]);
}

#[test]
fn a_source_file_that_a_comment_or_a_page_names_is_in_the_tree() {
    let endings = ["rs", "cpp", "h", "md", "py", "sh"];
    let all = files(&endings);
    let is_there = |name: &str| {
        all.iter().any(|(path, _)| path.ends_with(name)) || repository().join(name).exists()
    };
    let mut gone = Vec::new();
    for (path, text) in &all {
        for span in spans(path, text) {
            let plain = span
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
            let source = [".rs", ".cpp", ".h"]
                .iter()
                .any(|ending| span.ends_with(ending));
            if plain && source && !is_there(&span) {
                gone.push(format!("{}: {span}", path.display()));
            }
        }
    }
    assert!(gone.is_empty(), "{gone:#?}");
}
