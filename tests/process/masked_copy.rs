//! The copy that `coordinator data mask` writes trains, and gives the adapter of `privacy: mask`.
//!
//! The samples are the planted sentences of the test of recall, so every kind is in them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../../coordinator/tests/data/privacy/draw.rs"]
mod draw;
#[path = "../../coordinator/tests/data/privacy/planted.rs"]
#[expect(dead_code, reason = "the test of recall draws more")]
mod planted;

use std::path::Path;
use std::time::Duration;

use cluster_tests::{Finished, coordinator, output};
use serde_json::json;
use shared::config::PrivacyKind;

const DEADLINE: Duration = Duration::from_secs(60);

/// Kinds that are found always; names in the middle of a sentence are not.
const SURE: &[PrivacyKind] = &[
    PrivacyKind::Ids,
    PrivacyKind::BankCards,
    PrivacyKind::Emails,
];

fn train(folder: &Path, data: &Path, privacy: &str) -> Finished {
    std::fs::create_dir_all(folder).unwrap();
    let data = data.display().to_string();
    let lines = [
        ("train_data_dir", data.as_str()),
        ("max_steps", "4"),
        ("privacy", privacy),
    ];
    let finished = Finished::local(folder, &lines, 1);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished
}

#[test]
fn the_masked_copy_trains_like_masking_in_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let planted = planted::planted(7);
    let mut rows = String::new();
    for sample in &planted {
        let row = json!({"messages": [
            {"role": "user", "content": sample.text},
            {"role": "assistant", "content": "请提交材料原件。"},
        ]});
        rows.push_str(&format!("{row}\n"));
    }
    std::fs::write(data.join("train.jsonl"), rows).unwrap();
    let yaml = "train_data_dir: data\nbase_model: none\noutput_dir: output\n";
    std::fs::write(folder.path().join("run.yaml"), yaml).unwrap();

    let copy = folder.path().join("clean/train.jsonl");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    let mut command = coordinator();
    command.current_dir(folder.path());
    command.args(["data", "mask", "--config", "run.yaml", "--out"]);
    command.arg(&copy);
    let masked = output(command, DEADLINE);
    let said = String::from_utf8_lossy(&masked.stdout).into_owned()
        + &String::from_utf8_lossy(&masked.stderr);
    assert!(masked.status.success(), "{said}");
    println!("{said}");

    let clean = std::fs::read_to_string(&copy).unwrap();
    assert_eq!(clean.lines().count(), planted.len());
    for sample in planted.iter().filter(|s| SURE.contains(&s.kind)) {
        assert!(!clean.contains(&sample.value), "{}", sample.text);
    }

    let run = |name: &str| folder.path().join(name);
    let from_copy = train(&run("a"), copy.parent().unwrap(), "off");
    let in_the_run = train(&run("b"), &data, "mask");
    let as_it_was = train(&run("c"), &data, "off");
    println!(
        "copy {}, masked in the run {}, unmasked {}",
        from_copy.adapter(),
        in_the_run.adapter(),
        as_it_was.adapter()
    );
    assert_eq!(from_copy.adapter(), in_the_run.adapter());
    assert_eq!(from_copy.log_history(), in_the_run.log_history());
    assert_ne!(from_copy.adapter(), as_it_was.adapter());
}
