//! The house stays as it was drawn: who may import whom, how long a file may be, what is linked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster_tests::{program, repository};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn all_sources() -> Vec<PathBuf> {
    ["shared", "coordinator", "worker", "tests"]
        .iter()
        .flat_map(|name| sources(&repository().join(name)))
        .collect()
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    for path in all_sources() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}

/// Where a run's files lie is decided in one place, so that they may once lie elsewhere.
#[test]
fn a_name_in_the_output_folder_is_spelled_once() {
    let home = repository().join("shared/src/paths.rs");
    let text = std::fs::read_to_string(&home).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once(": &str = ")?.1.strip_suffix(';'))
        // The others are words too, and a preparation has a lock of its own.
        .filter(|name| name.contains('.') && *name != "\".lock\"")
        .collect();
    assert!(names.contains(&"\"ledger.jsonl\""), "{names:?}");
    for path in all_sources() {
        let own = path.strip_prefix(repository()).unwrap();
        let of_tests = own.components().any(|c| c.as_os_str() == "tests")
            || path
                .file_stem()
                .is_some_and(|s| s.to_string_lossy().ends_with("tests"));
        if of_tests || path == home {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in &names {
            assert!(!code.contains(name), "{} spells {name}", path.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_is_for() {
    for path in all_sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} has no header", path.display());
    }
}

#[test]
fn coordinator_and_worker_never_import_each_other() {
    for (crate_name, other) in [("coordinator", "worker"), ("worker", "coordinator")] {
        let manifest = repository().join(crate_name).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        assert!(
            !manifest.contains(&format!("{other}.workspace")),
            "{crate_name} needs {other}"
        );
    }
    let shared = std::fs::read_to_string(repository().join("shared/Cargo.toml")).unwrap();
    assert!(!shared.contains("tch"), "shared must not need libtorch");
}

#[test]
fn the_engine_knows_no_world() {
    for path in sources(&repository().join("coordinator/src/engine")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for forbidden in [
            "tokio::",
            "tonic::",
            "std::fs",
            "std::net",
            "Instant::now",
            "SystemTime",
            "HashMap",
        ] {
            assert!(
                !text.contains(forbidden),
                "{} uses {forbidden}",
                path.display()
            );
        }
    }
}

#[test]
fn the_coordinator_is_free_of_libtorch() {
    let of_torch = |name: &String| name.starts_with("libtorch") || name.starts_with("libc10");
    let coordinator = linked(&program("coordinator"));
    assert!(!coordinator.iter().any(of_torch), "{coordinator:?}");
    let worker = linked(&program("worker"));
    assert!(worker.iter().any(of_torch), "{worker:?}");
}

/// The names of the libraries a program is linked to. Only the names: `ldd`
/// prints addresses beside them, and an address may hold the letters of a name.
fn linked(program: &Path) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let names: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect();
    assert!(
        names.iter().any(|name| name.starts_with("libc.so")),
        "{}: {names:?}",
        program.display()
    );
    names
}
