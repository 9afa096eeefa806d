//! A start that is refused leaves the output folder as it was, however many rows it had to prepare.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coordinator::start::{Request, prepare};
use shared::error::Code;

/// Rows of so many tokens, more than the 32 MiB that stay in memory.
const ROWS: usize = 28_000;
const TOKENS: usize = 256;

/// A folder for the data and the output of a run.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out")
    }

    /// The start of a run on the data that ship, with other keys.
    fn request(&self, set: &[&str]) -> Request {
        let cwd = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let output = format!("output_dir={}", self.output().display());
        let set = [output.as_str()].into_iter().chain(set.iter().copied());
        Request {
            config: cwd.join("configs/quickstart.yaml"),
            set: set.map(str::to_owned).collect(),
            cwd,
            overwrite: false,
        }
    }

    /// The key for data of which most rows have to lie in the output folder.
    fn many_rows(&self) -> String {
        let folder = self.0.path().join("data");
        fs::create_dir(&folder).unwrap();
        let tokens = vec!["7"; TOKENS].join(",");
        let row = format!("{{\"input_ids\": [{tokens}], \"labels\": [{tokens}]}}\n");
        let lines = row.repeat(ROWS);
        fs::write(folder.join("a.jsonl"), lines).unwrap();
        format!("train_data_dir={}", folder.display())
    }

    /// Every file below the output folder.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.output()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path.clone());
                }
                let bytes = fs::read(&path).unwrap_or_default();
                found.insert(path, bytes);
            }
        }
        found
    }

    /// When something was last made or removed among the prepared datasets.
    fn touched(&self) -> SystemTime {
        let prepared = fs::metadata(self.output().join("prepared")).unwrap();
        prepared.modified().unwrap()
    }
}

const ADDRESS: &str = "127.0.0.1:7400";

#[test]
fn a_folder_in_which_somebody_leads_is_left_alone_before_a_row_is_prepared() {
    let home = Home::new();
    let leads = prepare(&home.request(&[])).unwrap();
    let leads = leads.begin(ADDRESS).unwrap();
    let (files, touched) = (home.files(), home.touched());
    let second = home.request(&[&home.many_rows()]);
    let refused = prepare(&second).err().unwrap();
    assert_eq!(refused.code, Code::Locked, "{refused:?}");
    assert!(home.files() == files && home.touched() == touched);
    drop(leads);
}

#[test]
fn a_run_of_another_identity_is_left_alone_before_a_row_is_prepared() {
    let home = Home::new();
    let run = prepare(&home.request(&["lora_rank=16"])).unwrap();
    drop(run.begin(ADDRESS).unwrap());
    let (files, touched) = (home.files(), home.touched());
    let other = home.request(&[&home.many_rows(), "lora_rank=4"]);
    let refused = prepare(&other).err().unwrap();
    assert_eq!(refused.code, Code::OtherRun);
    assert_eq!(refused.why, ["lora_rank: was 16, now 4"]);
    assert!(home.files() == files && home.touched() == touched);
}

/// Only the data are others: that is known once they are prepared.
#[test]
fn rows_that_lay_in_the_folder_of_another_run_are_gone_when_it_is_refused() {
    let home = Home::new();
    let run = prepare(&home.request(&[])).unwrap();
    drop(run.begin(ADDRESS).unwrap());
    let (files, touched) = (home.files(), home.touched());
    let refused = prepare(&home.request(&[&home.many_rows()]));
    let refused = refused.err().unwrap();
    assert_eq!(refused.code, Code::OtherRun);
    assert!(refused.why[0].starts_with("dataset: was "), "{refused:?}");
    assert!(home.touched() > touched, "all rows stayed in memory");
    assert!(home.files() == files);
}

#[test]
fn a_start_that_is_given_up_before_it_begins_leaves_no_folder() {
    let home = Home::new();
    let prepared = prepare(&home.request(&[&home.many_rows()])).unwrap();
    assert!(home.output().join("prepared").is_dir());
    drop(prepared);
    assert!(!home.output().exists());
    fs::write(home.0.path().join("data/a.jsonl"), "no JSON\n").unwrap();
    let data = format!("train_data_dir={}", home.0.path().join("data").display());
    prepare(&home.request(&[&data])).err().unwrap();
    assert!(!home.output().exists());
}

#[test]
fn a_run_that_goes_on_is_led_under_the_next_term() {
    let home = Home::new();
    for term in 1..=2_usize {
        let run = prepare(&home.request(&[])).unwrap();
        assert_eq!(run.address(), (term > 1).then_some(ADDRESS));
        drop(run.begin(ADDRESS).unwrap());
        let ledger = fs::read_to_string(home.output().join("ledger.jsonl")).unwrap();
        assert_eq!(ledger.lines().count(), 1 + term);
    }
}
