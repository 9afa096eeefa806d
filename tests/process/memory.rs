//! A micro-batch that does not fit is found before step 1, wherever in the run it is.
//!
//! The worker's memory is bounded by the kernel (`ulimit -d`). The long rows are in the last step.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::time::Duration;

use cluster_tests::{Finished, Run, Worker};

/// What a worker may have of its own: enough for one long row, not for eight.
const MEGABYTES: u64 = 360;

/// 8 short rows, then 8 long ones.
fn data(folder: &Path) {
    let row = |number: usize, words: usize| {
        let answer = format!("{number} ").repeat(words);
        serde_json::json!({ "instruction": format!("{number}?"), "output": answer }).to_string()
    };
    let rows: Vec<String> = (0..16)
        .map(|number| row(number, if number < 8 { 3 } else { 500 }))
        .collect();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/rows.jsonl"), rows.join("\n")).unwrap();
}

fn start(folder: &Path, micro_batch_size: &str, checkpointing: &str) -> (Run, Worker) {
    data(folder);
    let config = Run::config(
        folder,
        &[
            ("train_data_dir", "data"),
            ("batch_size", "8"),
            ("micro_batch_size", micro_batch_size),
            ("activation_checkpointing", checkpointing),
            ("max_steps", "2"),
            ("max_seq_length", "1024"),
            ("shuffle", "false"),
        ],
    );
    let run = Run::start(folder, &config, &[]);
    let worker = run.worker_within(MEGABYTES, &["--threads", "1"]);
    (run, worker)
}

#[test]
fn what_does_not_fit_in_the_last_step_is_told_before_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let (mut run, worker) = start(folder.path(), "8", "off");
    let (code, said) = worker.finish();
    println!("{said}");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("E0402"), "{said}");
    assert!(
        said.contains("the largest micro-batch of the run does not fit in memory"),
        "{said}"
    );
    assert!(said.contains("micro-batch 0 of step 2"), "{said}");
    assert!(said.contains("--set micro_batch_size=4"), "{said}");
    while let Some(event) = run.next_event(Duration::from_millis(500)) {
        assert_ne!(event["event"], "step", "no step was made: {event}");
    }
}

#[test]
fn what_the_message_advises_fits() {
    let folder = tempfile::tempdir().unwrap();
    let (run, worker) = start(folder.path(), "1", "off");
    let (code, said) = worker.finish();
    assert_eq!(code, Some(0), "{said}");
    let finished: Finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(finished.events("step").len(), 2);
}

#[test]
fn activations_that_do_not_fit_are_computed_again_unless_that_is_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let (run, worker) = start(folder.path(), "8", "auto");
    let (code, said) = worker.finish();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("they are computed again"), "{said}");
    let finished: Finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}
