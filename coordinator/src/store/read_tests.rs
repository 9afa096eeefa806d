//! A broken ledger names the way out.

use std::collections::BTreeMap;

use shared::ids::Step;
use shared::manifest::{FORMAT, checkpoint_name};

use super::*;

/// A checkpoint whose only file is its manifest.
fn checkpoint(output_dir: &Path, step: u64) {
    let folder = output_dir.join(checkpoint_name(Step(step)));
    std::fs::create_dir(&folder).unwrap();
    let manifest = manifest::Manifest {
        format: FORMAT,
        version: "1.2.3".into(),
        run_id: shared::ids::RunId("1234".into()),
        run_identity: "identity".into(),
        identity: BTreeMap::new(),
        step: Step(step),
        total_steps: 9,
        state_digest: format!("state-{step}"),
        scale_bits: (40, 40),
        parent: None,
        evaluations: BTreeMap::new(),
        device_classes: std::collections::BTreeSet::new(),
        files: Vec::new(),
        parameters: Vec::new(),
        own_sha256: String::new(),
    };
    manifest.write(&Folder::new(&folder)).unwrap();
}

fn broken(output_dir: &Path) -> Error {
    let path = output_dir.join(shared::run_paths::LEDGER);
    std::fs::write(&path, "{\"kind\":\"run\"}\n{\"kind\":\"run\"}\n").unwrap();
    let error = read(&path, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::LedgerBroken);
    error
}

#[test]
fn a_broken_ledger_names_the_newest_whole_checkpoint_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    for step in [5, 10, 15] {
        checkpoint(folder.path(), step);
    }
    std::fs::write(folder.path().join("checkpoint-15/manifest.json"), "torn").unwrap();
    let error = broken(folder.path());
    let way = error.fix.iter().find(|fix| fix.contains("checkpoint-10"));
    let way = way.unwrap_or_else(|| panic!("{error:?}"));
    assert!(way.contains("--set resume_from_checkpoint=") && way.contains("--set output_dir="));
    let last = error.fix.last().unwrap();
    assert!(last.contains("--overwrite"), "{error:?}");
}

#[test]
fn without_a_checkpoint_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = broken(folder.path());
    assert!(!error.fix.iter().any(|fix| fix.contains("resume_from")));
}
