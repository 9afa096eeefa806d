//! Every remedy that configuration, data and import print, done as it says on the input that caused it.
//!
//! `cases` inputs with the remedy to do, `scene` a run, `inventory` every remedy in the sources, `words.txt` those
//! that cannot be done by a test, with the reason. docs/reference/remedies.md is written from both.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cases;
mod inventory;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::LazyLock;

use cases::{CASES, Case};
use scene::{Scene, told};
use shared::error::render;

/// What came of a case: the remedy that was printed, or why it was none or did not help.
type Outcome = Result<String, String>;

/// Every case, done once.
static DONE: LazyLock<Vec<Outcome>> = LazyLock::new(|| {
    let (left, right) = CASES.split_at(CASES.len() / 2);
    std::thread::scope(|scope| {
        let right = scope.spawn(|| right.iter().map(done).collect::<Vec<_>>());
        let mut all: Vec<Outcome> = left.iter().map(done).collect();
        all.extend(right.join().unwrap());
        all
    })
});

fn done(case: &Case) -> Outcome {
    let result = std::panic::catch_unwind(|| {
        let mut scene = Scene::new(case);
        let error = scene.attempt().unwrap_err();
        let (of, fix) = told(&error, case);
        scene.apply(&case.apply, of, fix);
        if let Err(error) = scene.attempt() {
            panic!("`{fix}` does not help:\n{}", render(&error));
        }
        fix.to_owned()
    });
    result.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

#[test]
fn each_remedy_helps_on_the_input_that_caused_it() {
    let mut failed = String::new();
    for (case, outcome) in CASES.iter().zip(DONE.iter()) {
        if let Err(why) = outcome {
            let _ = writeln!(failed, "case {} {}: {why}\n", case.code, case.fix);
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// The remedies that a test cannot do, by their text, with the reason.
fn words() -> BTreeMap<(String, String), String> {
    let lines = include_str!("words.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut parts = line.split('\t').map(str::to_owned);
            let mut next = || parts.next().unwrap_or_else(|| panic!("{line}"));
            ((next(), next()), next())
        })
        .collect()
}

/// The case that does a remedy of the sources; a text that is another remedy word for word is not one with holes.
fn case_of(form: &str, all: &BTreeSet<(String, String)>) -> Option<&'static Case> {
    let whole = |text: &String| all.iter().any(|(_, other)| other != form && other == text);
    let fits = |done: &Outcome| {
        let text = done.as_ref().ok();
        text.is_some_and(|text| inventory::fits(form, text) && !whole(text))
    };
    let at = DONE.iter().position(fits)?;
    CASES.get(at)
}

#[test]
fn every_remedy_in_the_sources_is_done_or_named_with_the_reason() {
    let (words, found) = (words(), inventory::remedies());
    let known = |(file, form): &(String, String)| {
        case_of(form, &found).is_some() || words.contains_key(&(file.clone(), form.clone()))
    };
    let missing: Vec<String> = found
        .iter()
        .filter(|remedy| !known(remedy))
        .map(|(file, form)| format!("{file}\t{form}\tREASON"))
        .collect();
    assert!(
        missing.is_empty(),
        "add a case to cases.rs, or a line to words.txt:\n{}",
        missing.join("\n")
    );
    let gone: Vec<&(String, String)> = words.keys().filter(|key| !found.contains(*key)).collect();
    assert!(
        gone.is_empty(),
        "no source prints these any more: {gone:#?}"
    );
    let done: Vec<&(String, String)> = words
        .keys()
        .filter(|(_, form)| case_of(form, &found).is_some())
        .collect();
    assert!(done.is_empty(), "a case does these: {done:#?}");
}

#[test]
fn each_case_does_a_remedy_of_the_sources() {
    let found = inventory::remedies();
    let strange = |text: &&String| !found.iter().any(|(_, form)| inventory::fits(form, text));
    let printed = DONE.iter().filter_map(|done| done.as_ref().ok());
    // What is put together from parts, such as a list of settings, is no text of the sources.
    let parts = [
        "--set '",
        "or iconv",
        "--set columns",
        "--set validation_dir=/",
        "keep one of the two lines",
    ];
    let composed = |text: &&String| parts.iter().any(|part| text.starts_with(part));
    let strange: Vec<&String> = printed.filter(strange).filter(|t| !composed(t)).collect();
    assert!(strange.is_empty(), "{strange:#?}");
}

#[test]
fn the_page_of_remedies_is_that_of_the_table() {
    let mut page = String::from(
        "# Remedies\n\nEvery remedy that messages about configuration, data and import print, in the order of the sources, and what came of\n\
         it on an input that caused it. Written by `UPDATE=1 cargo test --release -p coordinator --test remedies`.\n\n\
         | Code | Remedy | Outcome |\n|---|---|---|\n",
    );
    let words = words();
    let found = inventory::remedies();
    for (file, form) in found.iter().filter(|(_, form)| !form.starts_with('(')) {
        let shown = form
            .replace('|', "\\|")
            .replace("{}", "…")
            .replace('\u{200b}', "");
        let (code, outcome) = match case_of(form, &found) {
            Some(case) => (
                case.code.to_string(),
                "done by a test: the run can start".to_owned(),
            ),
            None => {
                let reason = words.get(&(file.clone(), form.clone())).cloned();
                (
                    String::new(),
                    format!("not done by a test: {}", reason.unwrap_or_default()),
                )
            }
        };
        let _ = writeln!(page, "| {code} | {shown} | {outcome} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/remedies.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "run the test with UPDATE=1 to write {}",
        path.display()
    );
}
