//! Who is awaited, what is known, and from how much reading.

use std::path::Path;
use std::sync::Arc;

use shared::ids::{Generation, Term};
use shared::ledger::{Checkpoint, Leader, Members, Record, Rewind, Run};
use shared::storage::OutputLock;

use super::*;
use crate::store::{FileStore, Opened};

fn commit(step: u64) -> Record {
    Record::Commit(Commit {
        step: Step(step),
        term: Term(1),
        state_digest: format!("state-{step}"),
        ..Commit::default()
    })
}

fn members(generation: u64, incarnations: &[&str], class: &str) -> Record {
    Record::Members(Members {
        generation: Generation(generation),
        incarnations: incarnations.iter().map(|&i| i.to_owned()).collect(),
        device_classes: vec![class.to_owned()],
        ..Members::default()
    })
}

fn checkpoint(step: u64) -> Record {
    Record::Checkpoint(Checkpoint {
        step: Step(step),
        folder: format!("checkpoint-{step}"),
        state_digest: format!("state-{step}"),
        ..Checkpoint::default()
    })
}

/// Six steps, checkpoints of two and four, another machine from step 3 on; then what else happened.
fn opened(folder: &Path, then: &[Record]) -> Opened<FileStore> {
    let open = || {
        let lock = OutputLock::take(&folder.join(".lock")).unwrap();
        FileStore::open(folder, None, Arc::new(lock)).unwrap()
    };
    let mut store = open().store;
    let run = Run {
        total_steps: 9,
        ..Run::default()
    };
    let mut records = vec![
        Record::Run(run),
        Record::Term(Leader {
            term: Term(1),
            address: String::new(),
        }),
    ];
    records.extend([members(1, &["a"], "one"), commit(1), commit(2)]);
    records.extend([checkpoint(2), members(2, &["b", "c"], "two")]);
    records.extend([commit(3), commit(4), checkpoint(4), commit(5), commit(6)]);
    records.extend_from_slice(then);
    for record in &records {
        store.append(record).unwrap();
    }
    drop(store);
    open()
}

fn recalled(folder: &Path, from: u64, then: &[Record]) -> Recalled {
    let Opened { store, replay, .. } = opened(folder, then);
    let from = Restorable {
        step: Step(from),
        source: SyncSource::Initial,
        state_digest: None,
    };
    recall(&Folder::new(folder), &store, &replay, &from).unwrap()
}

fn steps(recalled: &Recalled) -> Vec<u64> {
    recalled.since.iter().map(|commit| commit.step.0).collect()
}

#[test]
fn whoever_was_a_member_is_awaited_by_its_incarnation() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("checkpoint-4")).unwrap();
    let found = recalled(folder.path(), 4, &[]);
    assert_eq!(steps(&found), [5, 6]);
    let remembered = found.remembered;
    assert_eq!(remembered.awaited, ["b".to_owned(), "c".to_owned()].into());
    assert_eq!(remembered.generation, Generation(2));
    assert_eq!(remembered.digests[&Step(5)], "state-5");
    assert_eq!(remembered.parts.from(Step(5)), ["two".to_owned()].into());
    let stored: Vec<u64> = remembered.stored.iter().map(|s| s.step.0).collect();
    assert_eq!(stored, [4], "the other one is not on storage");
}

/// The newest checkpoint is damaged: the one before it needs what came between.
#[test]
fn an_older_checkpoint_finds_every_step_and_class_since() {
    let folder = tempfile::tempdir().unwrap();
    let found = recalled(folder.path(), 1, &[]);
    assert_eq!(steps(&found), [2, 3, 4, 5, 6]);
    let classes = ["one".to_owned(), "two".to_owned()];
    assert_eq!(found.remembered.parts.from(Step(2)), classes.into());
}

/// Everybody died and the run went back: the engine judges what comes again by what the ledger's rules
/// judge it by, or a difference that it could announce as a fork ends the run with E0706.
#[test]
fn what_was_rewound_still_binds_whoever_computes_it_again() {
    let back = |step| {
        Record::Rewind(Rewind {
            step: Step(step),
            state_digest: Some(format!("state-{step}")),
            ..Rewind::default()
        })
    };
    for from in [4, 2] {
        let folder = tempfile::tempdir().unwrap();
        let found = recalled(folder.path(), from, &[back(from)]);
        assert_eq!(found.remembered.committed, Step(from));
        assert_eq!(steps(&found), [0u64; 0]);
        let bound: Vec<u64> = found.remembered.digests.keys().map(|s| s.0).collect();
        assert_eq!(bound, [1, 2, 3, 4, 5, 6]);
        let ahead: Vec<u64> = found.ahead.iter().map(|commit| commit.step.0).collect();
        assert_eq!(ahead, (from + 1..=6).collect::<Vec<_>>());
    }
}
