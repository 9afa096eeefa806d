//! The house stays as it was drawn: who may import whom, how long a file may be, what is linked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod figures;
mod names;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster_tests::{program, repository};
use figures::{measured, page, sources};

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
    let home = repository().join("shared/src/run_paths.rs");
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

/// How a connection is secured is decided where it is made, so it is made in one place.
#[test]
fn there_is_one_way_to_the_network() {
    let home = repository().join("shared/src/net");
    let house = repository().join("tests/house");
    let (mut seen, mut elsewhere) = (BTreeSet::new(), Vec::new());
    for path in all_sources() {
        if path.starts_with(&house) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for word in [
            "http://",
            "Server::builder",
            "Endpoint::",
            "HttpConnector",
            "TcpSocket::",
            "TcpIncoming",
        ] {
            if !text.contains(word) {
                continue;
            }
            seen.insert(word);
            if !path.starts_with(&home) {
                elsewhere.push(format!("{} has {word}", path.display()));
            }
        }
        // A socket of the standard library is what a test stands up to be refused.
        let in_src = path.components().any(|part| part.as_os_str() == "src");
        if in_src && !path.starts_with(&home) && text.contains("TcpListener") {
            elsewhere.push(format!("{} has a listener", path.display()));
        }
    }
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert_eq!(seen.len(), 5, "{seen:?}");
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

/// A value that cannot be written must not travel as an empty text. An error's text is for people: without it the code
/// still travels.
#[test]
fn no_failed_serialisation_is_hidden() {
    for name in sources::CRATES {
        for path in sources(&repository().join(name).join("src")) {
            let text = std::fs::read_to_string(&path).unwrap();
            let hides = |line: &&str| {
                line.contains("serde_json::to_") && line.contains("unwrap_or_default")
            };
            let hidden = text.lines().filter(hides).count();
            let argued = usize::from(path.ends_with("wire/convert/mod.rs"));
            assert_eq!(hidden, argued, "{}", path.display());
        }
    }
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

/// Rows depend on no key that `DataConfig` does not have.
#[test]
fn the_rooms_of_data_know_only_their_part_of_the_configuration() {
    let data = repository().join("coordinator/src/data");
    for path in sources(&data) {
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = text.contains("RunConfig");
        assert_eq!(whole, path == data.join("config.rs"), "{}", path.display());
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

/// What each top room of `shared` may import.
const SHARED: &[(&str, &[&str])] = &[
    ("config", &["error", "numerics"]),
    ("dataset", &["error", "run_paths", "storage"]),
    ("evaluation", &["config", "dataset", "error", "ids", "plan"]),
    ("faults", &["error", "ids"]),
    (
        "ledger",
        &["error", "evaluation", "hex", "ids", "numerics", "plan"],
    ),
    ("limits", &["error"]),
    (
        "manifest",
        &[
            "error",
            "evaluation",
            "hex",
            "ids",
            "ledger",
            "numerics",
            "run_paths",
            "storage",
            "wire",
        ],
    ),
    (
        "model",
        &["config", "error", "manifest", "numerics", "storage"],
    ),
    ("net", &["error", "limits", "security"]),
    ("numerics", &["ids"]),
    ("objective", &["dataset"]),
    ("run_paths", &["ids"]),
    ("plan", &["config", "ids"]),
    ("security", &["error"]),
    ("signals", &["error"]),
    ("storage", &["error", "run_paths"]),
    ("telemetry", &["error"]),
    ("tensors", &["error", "manifest"]),
    ("text", &["error"]),
    ("wire", &["error", "evaluation", "ids", "numerics"]),
];

/// What each top room of `coordinator` may import.
const COORDINATOR: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "data", "driver", "estimate", "history", "import", "rpc", "start", "store",
        ],
    ),
    ("driver", &["engine", "estimate", "history", "rpc", "store"]),
    ("history", &["engine"]),
    ("import", &["data"]),
    ("main", &["cli", "driver", "history", "start"]),
    (
        "start",
        &["data", "driver", "engine", "history", "rpc", "store"],
    ),
];

/// What each top room of `worker` may import.
const WORKER: &[(&str, &[&str])] = &[
    ("adapter", &["device", "model"]),
    ("checkpoint", &["adapter", "progress"]),
    ("cli", &["adapter", "device", "generate", "session"]),
    ("collective", &["progress"]),
    ("generate", &["adapter", "device", "model"]),
    ("main", &["cli", "device"]),
    ("model", &["device", "progress"]),
    (
        "session",
        &["checkpoint", "collective", "progress", "train"],
    ),
    (
        "train",
        &[
            "adapter",
            "checkpoint",
            "collective",
            "device",
            "generate",
            "model",
            "progress",
        ],
    ),
];

#[test]
fn a_room_imports_only_what_the_table_allows() {
    let sources = sources::Sources::read(&repository()).unwrap();
    for (name, table) in [
        ("shared", SHARED),
        ("coordinator", COORDINATOR),
        ("worker", WORKER),
    ] {
        let rows = |(from, to): &(&'static str, &'static [&'static str])| {
            let from = (*from).to_owned();
            to.iter()
                .map(move |to| (from.clone(), (*to).to_owned()))
                .collect::<Vec<_>>()
        };
        let allowed: BTreeSet<_> = table.iter().flat_map(rows).collect();
        let found = measured::Measured::new(&sources, name)
            .unwrap()
            .top_arrows();
        let new: Vec<_> = found.difference(&allowed).collect();
        let gone: Vec<_> = allowed.difference(&found).collect();
        assert!(new.is_empty(), "{name}: not in the table: {new:?}");
        assert!(gone.is_empty(), "{name}: only in the table: {gone:?}");
    }
}

#[test]
fn the_figures_are_those_of_all_crates() {
    let sources = sources::Sources::read(&repository()).unwrap();
    let crates = sources::CRATES.map(|name| measured::Measured::new(&sources, name).unwrap());
    let page = page::page(&sources, &crates, true).unwrap();
    for part in [
        "shared/src/wire",
        "coordinator/src/engine",
        "worker/src/train",
        "functions over 80 lines",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
}

/// Every document of the repository, but for what was built or fetched.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![repository()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "output" {
                    waiting.push(path);
                }
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_relative_link_of_a_document_leads_somewhere() {
    let mut broken = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        // Blocks of code hold no links.
        let prose = text.split("```").step_by(2);
        for link in prose.flat_map(|prose| prose.split("](").skip(1)) {
            let target = link.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://");
            if !elsewhere && !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_that_a_source_names_is_there() {
    let mut broken = Vec::new();
    for path in all_sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for rest in text.split("docs/").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/-_.".contains(c));
            let name = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
            if name.ends_with(".md") && !repository().join("docs").join(name).exists() {
                broken.push(format!("{}: docs/{name}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Functions over the limit, and why: a `match` with an arm for each variant reads no better in pieces.
const ARGUED: &[&str] = &[
    "CoordinatorMessage::from",
    "Notice::fmt",
    "Notice::fmt_trouble",
    "StateThread::handle",
];

#[test]
fn a_function_is_longer_than_80_lines_only_for_a_reason() {
    let sources = sources::Sources::read(&repository()).unwrap();
    let mut long = Vec::new();
    for name in sources::CRATES {
        long.extend(
            measured::Measured::new(&sources, name)
                .unwrap()
                .long_functions(),
        );
    }
    let argued = |text: &&String| {
        ARGUED
            .iter()
            .any(|name| text.starts_with(&format!("{name} ")))
    };
    let (argued, new): (Vec<_>, Vec<_>) = long.iter().partition(argued);
    assert!(new.is_empty(), "{new:#?}");
    assert_eq!(argued.len(), ARGUED.len(), "not long any more: {argued:#?}");
}

#[test]
fn no_circle_goes_through_the_rooms_of_a_crate() {
    let sources = sources::Sources::read(&repository()).unwrap();
    for name in sources::CRATES {
        let circles = measured::Measured::new(&sources, name)
            .unwrap()
            .folder_circles();
        assert!(circles.is_empty(), "{name}: {circles:?}");
    }
}
