//! Whatever happens to a checkpoint on storage: it is named, and the one before is used. An audit tells what the result
//! rests on from what it does not, and nobody answers with an adapter that is not what was written.
//!
//! A real run leaves two checkpoints. Then every file of the newer one is cut, emptied, removed, and
//! has bits flipped; and the folder is left as a writer would leave it that died between two files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use cluster_tests::{Finished, Run, coordinator, output, worker};
use serde_json::Value;
use shared::ids::Step;
use shared::manifest::{ADAPTER_FILE, MANIFEST, newest};
use shared::storage::Folder;

const LINES: &[(&str, &str)] = &[("max_steps", "4"), ("save_steps", "2")];

/// Two checkpoints of a real run.
struct Checkpoints {
    _folder: tempfile::TempDir,
    output: PathBuf,
    newer: PathBuf,
}

impl Checkpoints {
    fn of_a_run() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), LINES, 1);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let output = finished.output.clone();
        let newer = output.join("checkpoint-4");
        Self {
            _folder: folder,
            output,
            newer,
        }
    }

    /// The files a checkpoint has, the manifest last, as they are written.
    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.newer).unwrap();
        let mut files: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
        files.sort_by_key(|path| (path.ends_with(MANIFEST), path.clone()));
        files
    }

    /// Which checkpoint is used, and what is said of the others.
    fn used(&self) -> (Step, String) {
        let found = newest(&Folder::new(&self.output)).unwrap().unwrap();
        let said = found.skipped.iter().map(shared::error::render);
        (found.manifest.step, said.collect())
    }

    fn must_be_passed_over(&self, file: &Path, damage: &str) {
        let (step, said) = self.used();
        assert_eq!(step, Step(2), "{damage} {} went unseen", file.display());
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(said.contains(name), "{damage} {name}: {said}");
    }
}

#[test]
fn damage_to_any_file_of_a_checkpoint_is_found_and_named() {
    let run = Checkpoints::of_a_run();
    assert_eq!(run.used(), (Step(4), String::new()));
    let files = run.files();
    println!("{} files: {files:?}", files.len());
    assert!(files.len() >= 5);
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        std::fs::remove_file(file).unwrap();
        run.must_be_passed_over(file, "removing");
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            std::fs::write(file, &whole[..length]).unwrap();
            run.must_be_passed_over(file, &format!("cutting to {length} bytes"));
        }
        // One more byte than there was.
        std::fs::write(file, [&whole[..], b"x"].concat()).unwrap();
        run.must_be_passed_over(file, "adding to");
        for place in (0..whole.len()).step_by((whole.len() / 32).max(1)) {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            // Between two words of the manifest a blank may be another one.
            if file.ends_with(MANIFEST) && whole[place].is_ascii_whitespace() {
                continue;
            }
            std::fs::write(file, &flipped).unwrap();
            run.must_be_passed_over(file, &format!("flipping a bit of byte {place} of"));
        }
        std::fs::write(file, &whole).unwrap();
        assert_eq!(run.used().0, Step(4));
    }
}

#[test]
fn every_bit_of_a_manifest_counts() {
    let run = Checkpoints::of_a_run();
    let file = run.newer.join(MANIFEST);
    let whole = std::fs::read(&file).unwrap();
    let mut places = 0;
    for place in (0..whole.len()).filter(|p| !whole[*p].is_ascii_whitespace()) {
        for bit in [0, 3, 6] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1 << bit;
            std::fs::write(&file, &flipped).unwrap();
            run.must_be_passed_over(&file, &format!("flipping bit {bit} of byte {place} of"));
        }
        places += 1;
    }
    println!("{places} bytes of the manifest, three bits each");
    assert!(places > 500);
}

#[test]
fn a_writer_that_died_between_two_files_leaves_no_checkpoint() {
    let run = Checkpoints::of_a_run();
    let files = run.files();
    let whole: Vec<_> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
    for written in 0..files.len() {
        for file in &files {
            std::fs::remove_file(file).unwrap();
        }
        for (file, bytes) in files.iter().zip(&whole).take(written) {
            std::fs::write(file, bytes).unwrap();
        }
        run.must_be_passed_over(&run.newer.join(MANIFEST), &format!("{written} files of"));
        for (file, bytes) in files.iter().zip(&whole) {
            std::fs::write(file, bytes).unwrap();
        }
    }
    assert_eq!(run.used().0, Step(4));
}

/// Exit code, report and errors of an audit: stdout and stderr as people see them, and its events.
fn audited(output_dir: &Path) -> (Option<i32>, String, Vec<Value>) {
    let audit = |more: &[&str]| {
        let mut command = coordinator();
        command.arg("audit").arg(output_dir).args(more);
        output(command, Duration::from_secs(90))
    };
    let text = audit(&[]);
    let said = [text.stdout, text.stderr].concat();
    let events = audit(&["--output", "json"]);
    assert_eq!(text.status.code(), events.status.code());
    let events = String::from_utf8(events.stdout).unwrap();
    let events = events.lines().map(|l| serde_json::from_str(l).unwrap());
    (
        text.status.code(),
        String::from_utf8(said).unwrap(),
        events.collect(),
    )
}

fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let last = bytes.len() - 8;
    bytes[last] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Does what a `fix` tells to do, which stands between backquotes.
fn obey(error: &Value) {
    let fixes = error["fix"].as_array().unwrap().iter();
    let mut told = fixes.filter_map(|fix| fix.as_str().unwrap().split('`').nth(1));
    let command = told.find(|text| text.starts_with("mv ") || text.starts_with("cp "));
    let done = std::process::Command::new("sh")
        .args(["-c", command.unwrap()])
        .status();
    assert!(done.unwrap().success());
}

const PROOF: &[&str] = &[
    "none altered",
    "1 to 4 of 4, no gap, none twice",
    "lost 0, repeated 0",
];

fn says(said: &str, all: &[&str]) {
    for text in all {
        assert!(said.contains(text), "nobody says `{text}`\n{said}");
    }
}

#[test]
fn the_proof_stands_without_a_damaged_checkpoint_that_the_result_does_not_rest_on() {
    let run = Checkpoints::of_a_run();
    flip_a_bit(&run.output.join("checkpoint-2").join(ADAPTER_FILE));
    let (code, said, events) = audited(&run.output);
    assert_eq!(code, Some(0), "{said}");
    says(&said, PROOF);
    says(
        &said,
        &[
            "as recorded",
            "4, as committed",
            "checkpoint-2, the proof stands without it",
        ],
    );
    says(
        &said,
        &["E0702", "checkpoint-2/adapter_model.safetensors", "sha256"],
    );
    assert_eq!((events.len(), &events[0]["proved"]), (1, &true.into()));
    let damaged = &events[0]["damaged"][0];
    assert_eq!(
        (&damaged["step"], &damaged["result_rests_on_it"]),
        (&2.into(), &false.into())
    );
    obey(&damaged["error"]);
    let (code, said, _) = audited(&run.output);
    assert!(code == Some(0) && !said.contains("E0702"), "{said}");
}

#[test]
fn a_damaged_checkpoint_that_the_result_rests_on_ends_the_audit_behind_what_is_proved() {
    let run = Checkpoints::of_a_run();
    for file in ["optimizer.safetensors", MANIFEST, ADAPTER_FILE] {
        let whole = std::fs::read(run.newer.join(file)).unwrap();
        flip_a_bit(&run.newer.join(file));
        let (code, said, events) = audited(&run.output);
        assert_eq!(code, Some(7), "{said}");
        says(&said, PROOF);
        says(
            &said,
            &[
                "E0702",
                &format!("checkpoint-4/{file}"),
                "put the folder back",
            ],
        );
        let kinds: Vec<_> = events
            .iter()
            .map(|e| e["event"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["audit", "error"]);
        assert_eq!(events[0]["proved"], false);
        assert_eq!(events[0]["damaged"][0]["result_rests_on_it"], true);
        std::fs::write(run.newer.join(file), whole).unwrap();
    }
    flip_a_bit(&run.newer.join(ADAPTER_FILE));
    obey(&audited(&run.output).2[0]["damaged"][0]["error"]);
    let (code, said, _) = audited(&run.output);
    assert_eq!(code, Some(0), "{said}");
    // The adapter itself.
    flip_a_bit(&run.output.join(ADAPTER_FILE));
    let (code, said, events) = audited(&run.output);
    assert_eq!(code, Some(7), "{said}");
    says(&said, PROOF);
    says(
        &said,
        &[
            "the file does not prove to be it",
            "the adapter is not the one the run wrote",
        ],
    );
    obey(&events[1]);
    assert_eq!(audited(&run.output).0, Some(0));
}

/// A step at which no checkpoint is due: nothing would ever take the damaged one's place.
#[test]
fn a_run_that_went_on_without_a_damaged_checkpoint_is_proved_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        ("max_steps", "24"),
        ("save_steps", "100"),
        ("failure_detection", "3"),
    ];
    let config = Run::config(folder.path(), &lines);
    let mut stopped = Vec::new();
    for _ in 0..2 {
        let mut run = Run::start(folder.path(), &config, &["--local-workers", "1"]);
        run.event("step");
        run.signal("TERM");
        let finished = run.finish();
        assert_eq!(finished.code, Some(6), "{}", finished.stderr);
        stopped.push(finished.events("checkpoint")[0]["step"].as_u64().unwrap());
    }
    let out = folder.path().join("out");
    let newest = format!("checkpoint-{}", stopped[1]);
    flip_a_bit(&out.join(&newest).join(ADAPTER_FILE));
    let (code, said, events) = audited(&out);
    assert_eq!(code, Some(7), "the run would go on from it\n{said}");
    says(&said, &[&format!("goes on from checkpoint-{}", stopped[0])]);
    assert_eq!(events[0]["damaged"][0]["result_rests_on_it"], true);
    let finished = Run::start(folder.path(), &config, &["--local-workers", "1"]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let next = finished.events("step")[0]["step"].as_u64();
    assert_eq!(next, Some(stopped[0] + 1), "{}", finished.stderr);
    let (code, said, events) = audited(&out);
    assert_eq!(code, Some(0), "{said}");
    says(
        &said,
        &["1 to 24 of 24", "set aside", "adapter_model.safetensors"],
    );
    says(
        &said,
        &[&format!("{}, found after step {}", stopped[1], stopped[1])],
    );
    assert!(!out.join(&newest).exists() && out.join(format!("{newest}.damaged")).is_dir());
    assert_eq!(events[0]["set_aside"][0]["step"], stopped[1]);
}

#[test]
fn nobody_answers_with_an_adapter_that_is_not_what_was_written() {
    let run = Checkpoints::of_a_run();
    let base = cluster_tests::repository().join("models/tiny-law");
    let generate = |adapter: &Path| {
        let mut command = worker();
        command.args(["generate", "--device", "cpu", "--max-new-tokens", "4"]);
        command.args(["--prompt", "你好", "--adapter"]).arg(adapter);
        command.arg("--base").arg(&base);
        let said = output(command, Duration::from_secs(90));
        let error = String::from_utf8(said.stderr).unwrap();
        (said.status.code(), error, said.stdout)
    };
    for folder in [&run.newer, &run.output] {
        let whole = generate(folder);
        assert_eq!(whole.0, Some(0), "{}", whole.1);
        for file in [ADAPTER_FILE, "adapter_config.json", MANIFEST] {
            let file = folder.join(file);
            let bytes = std::fs::read(&file).unwrap();
            if file.ends_with("adapter_config.json") {
                // JSON that says the same.
                std::fs::write(&file, [&bytes[..], b"\n"].concat()).unwrap();
            } else {
                flip_a_bit(&file);
            }
            let (code, said, answer) = generate(folder);
            assert_eq!((code, answer), (Some(7), Vec::new()), "{said}");
            says(
                &said,
                &[
                    "E0702",
                    &file.display().to_string(),
                    "put the f",
                    "without manifest.json",
                ],
            );
            std::fs::write(&file, bytes).unwrap();
        }
        // What is not loaded is not asked for, and without a manifest it is anybody's adapter.
        let _ = std::fs::remove_file(folder.join("optimizer.safetensors"));
        assert_eq!(generate(folder).0, Some(0));
        flip_a_bit(&folder.join(ADAPTER_FILE));
        let file = folder.join(ADAPTER_FILE);
        assert_eq!(generate(&file).0, Some(7), "named by its file");
        std::fs::remove_file(folder.join(MANIFEST)).unwrap();
        assert_eq!(generate(folder).0, Some(0));
    }
}

#[test]
fn no_run_begins_with_a_damaged_adapter() {
    let run = Checkpoints::of_a_run();
    flip_a_bit(&run.newer.join(ADAPTER_FILE));
    let folder = tempfile::tempdir().unwrap();
    let newer = run.newer.display().to_string();
    let config = Run::config(folder.path(), &[("init_adapter", &newer)]);
    let mut command = coordinator();
    command
        .current_dir(folder.path())
        .arg("up")
        .arg("--config")
        .arg(config);
    let refused = output(command, Duration::from_secs(60));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(7), "{said}");
    says(
        &said,
        &[
            "E0702",
            "checkpoint-4/adapter_model.safetensors",
            "fix: put the file back",
        ],
    );
    assert!(!folder.path().join("out").exists(), "something was written");
}
