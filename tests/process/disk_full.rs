//! A disk that is really full: the training goes on, and what could not be written comes later.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cluster_tests::{Disk, Finished, Run, coordinator, output, skipped};
use serde_json::Value;

const STEPS: u64 = 80;

const LINES: &[(&str, &str)] = &[
    ("max_steps", "80"),
    ("save_steps", "10"),
    ("batch_size", "2"),
    ("failure_detection", "3"),
];

/// Room for the whole run, and not much more.
const DISK: u64 = 4 << 20;

/// Room for a part of a checkpoint: all of it is about 140 KB.
const PART: u64 = 96 << 10;

/// What the kernel says.
const FULL: &str = "No space left on device";

const PATIENCE: Duration = Duration::from_secs(90);

fn is(event: &Value, name: &str) -> bool {
    event["event"] == name
}

fn text(event: &Value) -> &str {
    event["text"].as_str().unwrap_or_default()
}

/// Every event until a checkpoint could not be written; what is freed meanwhile is taken again.
fn until_a_checkpoint_fails(run: &mut Run, take: impl Fn()) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let event = run.next_event(PATIENCE).unwrap();
        let failed = failed_step(&event).is_some();
        seen.push(event);
        if failed {
            return seen;
        }
        take();
    }
}

/// The step whose checkpoint could not be written, when the event says that.
fn failed_step(event: &Value) -> Option<&str> {
    let failed = text(event).strip_prefix("checkpoint of step ")?;
    failed
        .split_once(" could not be written")
        .map(|(step, _)| step)
}

/// Names in a folder, none when it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// Checkpoints of the output folder, by their names.
fn checkpoints(output: &Path) -> BTreeSet<String> {
    let all = names(output).into_iter();
    all.filter(|n| n.starts_with("checkpoint-")).collect()
}

/// The checkpoints that were announced.
fn announced(events: &[Value]) -> BTreeSet<String> {
    let announced = events.iter().filter(|e| is(e, "checkpoint"));
    announced
        .map(|e| format!("checkpoint-{}", e["step"]))
        .collect()
}

/// The proof of a run, which must hold.
fn audited(output_dir: &Path) -> String {
    let mut command = coordinator();
    command.arg("audit").arg(output_dir);
    let audit = output(command, PATIENCE);
    let said = [audit.stdout, audit.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(audit.status.code(), Some(0), "{said}");
    said
}

/// Whoever waits for room says why; the words are the kernel's.
fn check_what_was_said(events: &[Value]) {
    let waiting = ["the run goes on", "could not be written"];
    let notices = events.iter().filter(|e| is(e, "notice")).map(text);
    let complaints: Vec<_> = notices
        .filter(|t| waiting.iter().any(|w| t.contains(w)))
        .collect();
    for complaint in &complaints {
        assert!(complaint.contains(FULL), "without a reason: {complaint}");
    }
    for wanted in ["its ledger waits", "checkpoint of step"] {
        let complaint = complaints.iter().find(|t| t.contains(wanted)).unwrap();
        println!("{complaint}\n");
    }
    println!("{} complaints while it was full", complaints.len());
    let mut goes_on: Vec<_> = complaints
        .iter()
        .filter(|t| t.contains("the run goes on"))
        .collect();
    let all = goes_on.len();
    goes_on.sort();
    goes_on.dedup();
    assert_eq!(goes_on.len(), all, "said twice between two checkpoints");
}

/// Whole records of TensorBoard's file; a torn one would make the lengths nonsense.
fn events(logs: &Path) -> u64 {
    let names = names(logs).into_iter();
    let files: Vec<_> = names.filter(|n| n.starts_with("events.out")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let bytes = std::fs::read(logs.join(&files[0])).unwrap();
    let (mut rest, mut whole) = (bytes.as_slice(), 0);
    while !rest.is_empty() {
        // Length, its checksum, the event, its checksum.
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap());
        let length = usize::try_from(length).unwrap();
        let sum = crc32c::crc32c(&rest[12..12 + length]).rotate_right(15);
        let sum = sum.wrapping_add(0xa282_ead8).to_le_bytes();
        assert_eq!(rest[12 + length..16 + length], sum, "record {whole}");
        rest = &rest[16 + length..];
        whole += 1;
    }
    whole
}

/// Everything a run leaves is there as if the disk had never been full.
fn check_what_it_left(finished: &Finished, undisturbed: &Finished) {
    assert_eq!(checkpoints(&finished.output), announced(&finished.events));
    assert_eq!(names(&finished.output.join(".staging")), BTreeSet::new());
    assert_eq!(finished.adapter(), undisturbed.adapter());
    assert_eq!(finished.log_history(), undisturbed.log_history());
    let losses = |run: &Finished| {
        let lines = run.lines("metrics.jsonl").into_iter();
        lines
            .map(|l| (l["step"].clone(), l["loss"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(losses(finished), losses(undisturbed));
    let log = std::fs::read_to_string(finished.output.join("logs/cluster.jsonl")).unwrap();
    assert_eq!(events(&finished.output.join("logs")), 1 + STEPS);
    for line in log.lines() {
        let whole: Result<Value, _> = serde_json::from_str(line);
        assert!(whole.is_ok(), "not one JSON object a line: {line}");
    }
}

#[test]
fn a_full_disk_costs_checkpoints_and_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let disk = match Disk::new(&folder.path().join("disk"), DISK) {
        Ok(disk) => disk,
        Err(why) => {
            skipped(&why);
            return;
        }
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let undisturbed = Finished::local(elsewhere.path(), LINES, 1);
    assert_eq!(undisturbed.code, Some(0), "{}", undisturbed.stderr);

    let lines = [LINES, &[("output_dir", "disk/out")]].concat();
    let config = Run::config(folder.path(), &lines);
    let output = folder.path().join("disk/out");
    let mut run = Run::start(folder.path(), &config, &["--local-workers", "2"]);
    let first = run.event("checkpoint");

    disk.fill();
    let mut full = until_a_checkpoint_fails(&mut run, || disk.fill());
    // What was announced until then, and not one more.
    let mut safe = announced(&full);
    safe.extend(announced(&[first]));
    for _ in 0..2 {
        full.extend(until_a_checkpoint_fails(&mut run, || disk.fill()));
    }
    // Adapter first, then the optimizer: a part is written, and taken away again.
    disk.leave(PART);
    full.extend(until_a_checkpoint_fails(&mut run, || {}));
    assert_eq!(checkpoints(&output), safe, "nothing half-written");
    for step in full.iter().filter_map(failed_step) {
        let part = output.join(format!(".staging/checkpoint-{step}"));
        assert!(!part.exists(), "{} takes up room", part.display());
    }
    disk.empty();
    check_what_was_said(&full);
    let steps = full.iter().filter(|e| is(e, "step")).count();
    assert!(steps >= 20, "{steps} steps while it was full");

    let next = run.event("checkpoint");
    let mut finished = run.finish();
    finished.output = output;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains(FULL), "{}", finished.stderr);
    println!("{steps} steps while it was full, then {next}");
    let steps = finished.events("step").into_iter();
    let steps: Vec<_> = steps.filter_map(|e| e["step"].as_u64()).collect();
    assert!(steps.iter().copied().eq(1..=STEPS), "{steps:?}");
    check_what_it_left(&finished, &undisturbed);
    println!("{}", audited(&finished.output));
    println!("adapter {}", finished.adapter());
}
