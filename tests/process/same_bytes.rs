//! The spine: one worker or four, one thread or four, the adapter has the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use cluster_tests::{Finished, Run};
use serde_json::Value;

const LINES: &[(&str, &str)] = &[
    ("batch_size", "8"),
    ("micro_batch_size", "1"),
    ("max_steps", "5"),
    ("lora_dropout", "0.1"),
    ("target_modules", "all-linear"),
    ("save_steps", "2"),
];

#[test]
fn one_to_four_workers_give_the_same_bytes() {
    let mut first: Option<Finished> = None;
    for workers in 1..=4 {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), LINES, workers);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        for step in finished.events("step") {
            assert_eq!(
                step["workers"], workers,
                "every worker contributes in every step"
            );
        }
        println!(
            "{workers} worker(s): every step by {workers}, sha256 {}",
            finished.adapter()
        );
        let Some(one) = &first else {
            std::mem::forget(folder);
            first = Some(finished);
            continue;
        };
        assert_eq!(finished.adapter(), one.adapter());
        assert_eq!(finished.log_history(), one.log_history());
    }
}

/// What `packing` is tried with: 32 samples in a step, eight micro-batches of about four.
const PACKED: &[(&str, &str)] = &[
    ("batch_size", "32"),
    ("micro_batch_size", "4"),
    ("max_steps", "4"),
    ("lora_dropout", "0.1"),
    ("packing", "true"),
];

#[test]
fn packed_one_two_and_four_workers_give_the_same_bytes_and_the_unpacked_losses() {
    let run = |lines: &[(&str, &str)], workers: usize| {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), lines, workers);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        (finished.adapter(), finished.log_history())
    };
    let one = run(PACKED, 1);
    for workers in [2, 4] {
        assert_eq!(run(PACKED, workers), one, "{workers} workers");
    }
    println!("packed, 1, 2 and 4 workers: sha256 {}", one.0);

    let unpacked = [PACKED, &[("packing", "false")]].concat();
    let (adapter, history) = run(&unpacked, 2);
    assert_ne!(adapter, one.0, "other micro-batches round otherwise");
    let losses = |history: &Value| -> Vec<f64> {
        let entries = history.as_array().unwrap().iter();
        entries.filter_map(|entry| entry["loss"].as_f64()).collect()
    };
    let (ours, theirs) = (losses(&one.1), losses(&history));
    assert_eq!((ours.len(), theirs.len()), (4, 4));
    for (packed, unpacked) in ours.iter().zip(&theirs) {
        println!("loss packed {packed}, unpacked {unpacked}");
        assert!((packed / unpacked - 1.0).abs() < 1e-5);
    }
}

/// One worker with so many threads.
fn with_threads(lines: &[(&str, &str)], threads: &str) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), lines);
    let run = Run::start(folder.path(), &config, &[]);
    let worker = run.worker(&["--threads", threads]);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(worker.finish().0, Some(0));
    println!("{threads} thread(s): sha256 {}", finished.adapter());
    (finished.adapter(), finished.log_history())
}

#[test]
fn one_two_and_four_threads_give_the_same_bytes() {
    let found = ["1", "2", "4"].map(|threads| with_threads(LINES, threads));
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}

/// 1,118,208 elements: long enough that the host shares out integers, proofs and updates to its threads.
#[test]
fn a_long_adapter_has_the_same_bytes_for_any_threads_and_workers() {
    let wide = "[q_proj, o_proj, gate_proj, up_proj, down_proj]";
    let lines = [
        ("lora_rank", "112"),
        ("target_modules", wide),
        ("max_steps", "3"),
    ];
    let long = [LINES, &lines].concat();
    let found = ["1", "2", "3"].map(|threads| with_threads(&long, threads));
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    let folder = tempfile::tempdir().unwrap();
    let two = Finished::local(folder.path(), &long, 2);
    assert_eq!(two.code, Some(0), "{}", two.stderr);
    assert_eq!((two.adapter(), two.log_history()), found[0]);
    let file = two.output.join("adapter_model.safetensors");
    assert!(std::fs::metadata(file).unwrap().len() > 4 << 20);
}

#[test]
fn the_seed_decides() {
    let adapter = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let lines = [LINES, &[("seed", seed), ("max_steps", "1")]].concat();
        Finished::local(folder.path(), &lines, 1).adapter()
    };
    assert_ne!(adapter("1"), adapter("2"));
}
