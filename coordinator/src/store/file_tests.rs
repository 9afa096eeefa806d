//! One writer, one reading, lines whole or not at all.

use std::os::unix::fs::FileExt;

use shared::ids::{Step, Term};
use shared::ledger::{Checkpoint, Commit, Leader, Run};

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn lock(folder: &tempfile::TempDir) -> Arc<OutputLock> {
    Arc::new(OutputLock::take(&folder.path().join(".lock")).unwrap())
}

fn run() -> Record {
    Record::Run(Run {
        run_identity: "one".into(),
        total_steps: 9,
        ..Run::default()
    })
}

fn term(term: u64) -> Record {
    Record::Term(Leader {
        term: Term(term),
        address: "127.0.0.1:7400".into(),
    })
}

fn commit(step: u64) -> Record {
    Record::Commit(Commit {
        step: Step(step),
        term: Term(1),
        state_digest: format!("state-{step}"),
        ..Commit::default()
    })
}

/// A ledger of a run under its first term.
fn begun(folder: &tempfile::TempDir) -> FileStore {
    let mut store = FileStore::open(folder.path(), None, lock(folder))
        .unwrap()
        .store;
    store.append(&run()).unwrap();
    store.append(&term(1)).unwrap();
    store
}

fn bytes(folder: &tempfile::TempDir) -> Vec<u8> {
    std::fs::read(folder.path().join(LEDGER)).unwrap()
}

#[test]
fn behind_what_a_stranger_appended_nothing_is_written() {
    let folder = folder();
    let mut store = begun(&folder);
    let mut stranger = OpenOptions::new()
        .append(true)
        .open(folder.path().join(LEDGER))
        .unwrap();
    Write::write_all(&mut stranger, b"{\"kind\":\"term\"}\n").unwrap();
    let before = bytes(&folder);
    for _ in 0..2 {
        let error = store.append(&commit(1)).unwrap_err();
        assert_eq!(error.code, Code::Locked, "not tried again like a full disk");
        assert!(error.what.contains("somebody else leads"));
    }
    assert_eq!(bytes(&folder), before);
}

#[test]
fn a_ledger_that_was_cut_or_replaced_is_no_place_to_write() {
    let folder = folder();
    let mut store = begun(&folder);
    let path = folder.path().join(LEDGER);
    let before = bytes(&folder);
    std::fs::write(&path, &before[..before.len() - 1]).unwrap();
    assert_eq!(store.append(&commit(1)).unwrap_err().code, Code::Locked);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(store.append(&commit(1)).unwrap_err().code, Code::Locked);
    std::fs::write(&path, &before).unwrap();
    assert_eq!(store.append(&commit(1)).unwrap_err().code, Code::Locked);
    assert_eq!(bytes(&folder), before);
}

#[test]
fn once_the_lock_is_another_s_nothing_is_written() {
    let folder = folder();
    let mut store = begun(&folder);
    let before = bytes(&folder);
    std::fs::remove_file(folder.path().join(".lock")).unwrap();
    assert_eq!(store.append(&commit(1)).unwrap_err().code, Code::Locked);
    // The second coordinator reads what the first one left, and leads alone.
    let second = FileStore::open(folder.path(), None, lock(&folder));
    let mut second = second.unwrap().store;
    assert_eq!(store.append(&commit(1)).unwrap_err().code, Code::Locked);
    assert_eq!(bytes(&folder), before);
    second.append(&term(2)).unwrap();
    assert!(read(&folder.path().join(LEDGER), |_, _| Ok(())).is_ok());
}

/// Writes half a line and fails, and cannot cut it off at once.
struct Full {
    file: File,
    full: u32,
}

impl Medium for Full {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.full > 0 {
            Write::write_all(&mut self.file, &bytes[..bytes.len() / 2])?;
            return Err(io::Error::other("no space left"));
        }
        Write::write_all(&mut self.file, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.full = self.full.saturating_sub(1);
        if self.full > 0 {
            return Err(io::Error::other("not now"));
        }
        self.file.set_len(length)
    }
}

#[test]
fn its_own_torn_line_is_no_stranger() {
    let folder = folder();
    let mut store = begun(&folder);
    let path = folder.path().join(LEDGER);
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    store.medium = Box::new(Full { file, full: 2 });
    let error = store.append(&commit(1)).unwrap_err();
    assert_eq!(error.code, Code::LedgerUnwritable);
    store.append(&commit(1)).unwrap();
    store.append(&commit(2)).unwrap();
    let read = read(&path, |_, _| Ok(())).unwrap().unwrap();
    assert_eq!(read.book.state().unwrap().committed, Step(2));
    assert_eq!(read.torn, 0);
}

#[test]
fn every_line_is_read_once_from_the_first_look_to_the_lead() {
    let folder = folder();
    let path = folder.path().join(LEDGER);
    let mut store = begun(&folder);
    for step in 1..=5 {
        store.append(&commit(step)).unwrap();
    }
    let looked = read(&path, |_, _| Ok(())).unwrap();
    // Until the lock is free the other coordinator goes on.
    store.append(&commit(6)).unwrap();
    let checkpoint = Checkpoint {
        step: Step(4),
        state_digest: "state-4".into(),
        ..Checkpoint::default()
    };
    store.append(&Record::Checkpoint(checkpoint)).unwrap();
    drop(store);
    // Whoever read the first line again would find it broken.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"read", 1).unwrap();
    assert!(read(&path, |_, _| Ok(())).is_err());
    let opened = FileStore::open(folder.path(), looked, lock(&folder)).unwrap();
    assert_eq!(opened.store.book.lines(), 9);
    let since = opened.replay.since(Step(4)).unwrap().commits;
    assert_eq!(since.iter().map(|c| c.step.0).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(opened.state.unwrap().committed, Step(6));
}

#[test]
fn another_file_under_the_same_name_is_read_from_its_beginning() {
    let folder = folder();
    let path = folder.path().join(LEDGER);
    let store = begun(&folder);
    let looked = read(&path, |_, _| Ok(())).unwrap();
    drop(store);
    std::fs::rename(&path, folder.path().join("away")).unwrap();
    let mut other = begun(&folder);
    other.append(&commit(1)).unwrap();
    let found = read_on(&path, looked).unwrap().unwrap();
    assert_eq!(found.book.lines(), 3);
    assert_eq!(found.lines_read, 2 + 3);
}

#[test]
fn other_lines_in_the_same_file_are_read_from_their_beginning() {
    let folder = folder();
    let path = folder.path().join(LEDGER);
    let mut store = begun(&folder);
    let looked = read(&path, |_, _| Ok(())).unwrap();
    store.append(&commit(1)).unwrap();
    drop(store);
    let other = tempfile::tempdir().unwrap();
    let mut store = FileStore::open(other.path(), None, lock(&other))
        .unwrap()
        .store;
    store.append(&run()).unwrap();
    store.append(&term(7)).unwrap();
    std::fs::write(&path, bytes(&other)).unwrap();
    let found = read_on(&path, looked).unwrap().unwrap();
    assert_eq!(found.book.state().unwrap().term(), Term(7));
}

#[test]
fn what_was_added_can_be_waited_for_elsewhere() {
    let folder = folder();
    let store = begun(&folder);
    let waits = store.synced();
    std::thread::spawn(waits).join().unwrap().unwrap();
}
