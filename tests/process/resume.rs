//! Stopping at a checkpoint and going on with another number of workers; training on with new data.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;

use cluster_tests::{Finished, Run, coordinator, output};

const LINES: &[(&str, &str)] = &[
    ("max_steps", "6"),
    ("save_steps", "100"),
    ("failure_detection", "3"),
];

/// Long enough that a stop after the second step comes before the end on any machine.
const LONG: &[(&str, &str)] = &[
    ("max_steps", "24"),
    ("save_steps", "100"),
    ("failure_detection", "3"),
];

/// What stays equal whatever the number of workers: adapter and curve.
fn outcome(finished: &Finished) -> (String, serde_json::Value) {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (finished.adapter(), finished.log_history())
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Runs until step 2 is committed, then stops it politely: the state of the next commit is safe.
fn stopped(folder: &Path, workers: &str) -> u64 {
    let config = Run::config(folder, LONG);
    let mut run = Run::start(folder, &config, &["--local-workers", workers]);
    run.event("step");
    run.event("step");
    run.signal("TERM");
    let stopped = run.finish();
    assert_eq!(stopped.code, Some(6), "{}", stopped.stderr);
    let checkpoints = stopped.events("checkpoint");
    assert_eq!(checkpoints.len(), 1, "{}", stopped.stderr);
    checkpoints[0]["step"].as_u64().unwrap()
}

#[test]
fn a_run_goes_on_with_any_other_number_of_workers() {
    let whole = tempfile::tempdir().unwrap();
    let expected = outcome(&Finished::local(whole.path(), LONG, 1));
    println!("uninterrupted: {}", expected.0);
    for before in ["1", "2", "4"] {
        let first = tempfile::tempdir().unwrap();
        let step = stopped(first.path(), before);
        assert!(step < 24, "stopped after the end");
        for after in ["1", "2", "4"] {
            let folder = tempfile::tempdir().unwrap();
            copy(&first.path().join("out"), &folder.path().join("out"));
            let config = Run::config(folder.path(), LONG);
            let run = Run::start(folder.path(), &config, &["--local-workers", after]);
            let finished = run.finish();
            let next = finished.events("step")[0]["step"].as_u64();
            assert_eq!(next, Some(step + 1), "{}", finished.stderr);
            let found = outcome(&finished);
            println!("{before} workers, step {step}, then {after}: {}", found.0);
            assert_eq!(found, expected, "{before} workers, then {after}");
        }
    }
}

/// A unit that starts the same command again must not wait for a host that is gone for good.
#[test]
fn a_run_that_has_steps_waits_for_no_more_workers_than_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    stopped(folder.path(), "2");
    let config = Run::config(folder.path(), LONG);
    let again = ["--wait-workers", "2", "--local-workers", "1"];
    let finished = Run::start(folder.path(), &config, &again).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let (_, again) = finished.stderr.split_once("going on from").unwrap();
    assert!(!again.contains("of 2 ready"), "{again}");
}

/// 100 rows that no run has seen.
fn new_rows(folder: &Path) {
    let data = folder.join("new");
    std::fs::create_dir_all(&data).unwrap();
    let row = |i: u32| {
        format!(
            "{{\"instruction\": \"合同第{i}条怎么写？\", \"output\": \"按约定第{i}款写明。\"}}\n"
        )
    };
    let rows: String = (0..100).map(row).collect();
    std::fs::write(data.join("new.jsonl"), rows).unwrap();
}

fn trained_on(parent: &Path, workers: usize, optimizer: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap().keep();
    new_rows(&folder);
    let parent = parent.display().to_string();
    let finished = Finished::local(
        &folder,
        &[
            ("train_data_dir", "new"),
            ("parent", &parent),
            ("parent_optimizer", optimizer),
            ("max_steps", "4"),
            ("validation_split", "0.1"),
            ("eval_steps", "2"),
        ],
        workers,
    );
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished
}

/// Each evaluation has the loss on the parent's rows too, in the event and in the history.
fn forgetting(finished: &Finished) {
    let evaluations = finished.evaluations();
    assert_eq!(evaluations.len(), 2, "{}", finished.stderr);
    let history = finished.log_history();
    for event in evaluations {
        let (step, loss) = (&event["step"], &event["eval_parent_loss"]);
        println!(
            "step {step}: validation {}, parent {loss}",
            event["eval_loss"]
        );
        assert!(loss.as_f64().is_some_and(|loss| loss > 0.0), "{event}");
        assert_ne!(loss, &event["eval_train_sample_loss"]);
        let entries = history.as_array().unwrap().iter();
        let mut entry = entries.filter(|e| e["step"] == *step && !e["eval_loss"].is_null());
        assert_eq!(&entry.next().unwrap()["eval_parent_loss"], loss);
    }
}

#[test]
fn new_data_is_trained_on_from_an_earlier_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = Finished::local(folder.path(), LINES, 2);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let mut adapters = Vec::new();
    for optimizer in ["true", "false"] {
        // The output folder of a run and its last checkpoint are the same parent.
        let alone = trained_on(&first.output, 1, optimizer);
        let three = trained_on(&first.output.join("checkpoint-6"), 3, optimizer);
        println!("parent_optimizer {optimizer}: {}", alone.adapter());
        assert_eq!(outcome(&alone), outcome(&three));
        forgetting(&alone);
        let (manifest, before) = (alone.json("manifest.json"), first.json("manifest.json"));
        let parent = &manifest["parent"];
        println!("{parent}");
        assert_eq!(parent["run_id"], before["run_id"]);
        assert_eq!(parent["state_digest"], before["state_digest"]);
        assert_eq!(parent["step"], 6);
        assert_eq!(parent["optimizer_kept"].to_string(), optimizer);
        assert_eq!(
            (&parent["cursor"], &parent["schedule"]),
            (&"restarts".into(), &"restarts".into())
        );
        adapters.push(alone.adapter());
        for run in [alone, three] {
            std::fs::remove_dir_all(run.output.parent().unwrap()).unwrap();
        }
    }
    assert_ne!(adapters[0], adapters[1]);
    assert_ne!(adapters[0], first.adapter());
}

#[test]
fn a_parent_that_does_not_fit_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let first = Finished::local(folder.path(), LINES, 1);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let refused = |set: &[&str]| {
        let mut command = coordinator();
        command
            .current_dir(folder.path())
            .args(["up", "--config", "run.yaml"]);
        command.args(["--overwrite", "--set", "parent=out"]);
        for set in set {
            command.args(["--set", set]);
        }
        let output = output(command, std::time::Duration::from_secs(60));
        assert_eq!(output.status.code(), Some(2));
        assert!(
            !folder.path().join("other").exists(),
            "something was written"
        );
        String::from_utf8(output.stderr).unwrap()
    };
    let own = refused(&[]);
    assert!(
        own.contains("E0105") && own.contains("--overwrite would remove"),
        "{own}"
    );
    let rank = refused(&["output_dir=other", "lora_rank=8"]);
    assert!(
        rank.contains("E0610") && rank.contains("lora_rank: was 4, now 8"),
        "{rank}"
    );
    let modules = refused(&["output_dir=other", "target_modules=[q_proj]"]);
    assert!(
        modules.contains("E0610") && modules.contains("target_modules"),
        "{modules}"
    );
    std::fs::write(
        first.output.join("checkpoint-6/optimizer.safetensors"),
        "torn",
    )
    .unwrap();
    let torn = refused(&["output_dir=other"]);
    assert!(torn.contains("optimizer.safetensors"), "{torn}");
}
