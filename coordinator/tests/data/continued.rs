//! A preparation that is killed goes on where it was, and ends with the same bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Enough for several durable points.
const ROWS: usize = 60_000;

fn command(data: &Path, output: &Path, sets: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command
        .current_dir(&root)
        .args(["data", "prepare", "--config", "configs/quickstart.yaml"])
        .args(["--set", "overflow=truncate", "--set"])
        .arg(format!("train_data_dir={}", data.display()))
        .arg("--set")
        .arg(format!("output_dir={}", output.display()))
        .args(sets.iter().flat_map(|set| ["--set", *set]))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Names and contents of the prepared files.
fn published(output: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(output.join("prepared")).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn durable_point(output: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(output.join("prepared")).ok()?.flatten();
    let mut points = entries.map(|entry| entry.path().join("point.json"));
    points.find(|point| point.is_file())
}

#[test]
fn a_killed_preparation_goes_on_and_gives_the_same_bytes() {
    killed_and_continued(&[], 3);
}

#[test]
fn rows_that_are_kept_out_and_mixed_have_the_same_bytes_after_a_kill_too() {
    let sets = ["validation_split=0.3", "data_sources=['a.jsonl=1']"];
    killed_and_continued(&sets, 5);
}

/// A preparation that is killed at a durable point against one that is not; both give so many files.
fn killed_and_continued(sets: &[&str], files: usize) {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut lines = String::new();
    for n in 0..ROWS {
        let question = "试用期最长多久？ How long is the notice period? ".repeat(n % 7 + 1);
        let answer = "劳动合同期限三年以上的，试用期不得超过六个月。".repeat(n % 5 + 1);
        writeln!(
            lines,
            r#"{{"messages": [{{"role": "user", "content": "{n} {question}"}}, {{"role": "assistant", "content": "{answer}"}}]}}"#
        )
        .unwrap();
    }
    fs::write(data.join("a.jsonl"), lines).unwrap();
    let (whole, cut) = (root.path().join("whole"), root.path().join("cut"));

    let output = command(&data, &whole, sets).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));

    let mut child = command(&data, &cut, sets)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while durable_point(&cut).is_none() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before a durable point"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let left = fs::read_dir(cut.join("prepared")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 1, "nothing half-written is visible: {left:?}");

    let output = command(&data, &cut, sets).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let (_, after) = said
        .split_once("an interrupted preparation goes on after sample ")
        .unwrap_or_else(|| panic!("{said}"));
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    let done: usize = digits.parse().unwrap();
    assert!(done > 0 && done < ROWS, "{done}");
    let (whole, cut) = (published(&whole), published(&cut));
    assert_eq!(whole.len(), files);
    assert!(whole == cut, "the bytes differ");
}
