//! Beginning, going on, ending: what a user meets around a run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use cluster_tests::{Finished, Proxy, Run};
use serde_json::Value;

const LINES: &[(&str, &str)] = &[
    ("max_steps", "6"),
    ("save_steps", "2"),
    ("failure_detection", "3"),
];

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn uninterrupted() -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), LINES, 1);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (finished.adapter(), finished.log_history())
}

#[test]
fn a_run_leaves_everything_the_readme_names() {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), LINES, 2);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let found = names(&finished.output);
    for name in [
        "adapter_config.json",
        "adapter_model.safetensors",
        "pytorch_lora_weights.safetensors",
        "tokenizer.json",
        "resolved.yaml",
        "manifest.json",
        "trainer_state.json",
        "metrics.jsonl",
        "logs",
        "checkpoint-2",
        "checkpoint-4",
        "checkpoint-6",
    ] {
        assert!(
            found.iter().any(|n| n == name),
            "{name} is missing in {found:?}"
        );
    }
    let read = |name: &str| std::fs::read(finished.output.join(name)).unwrap();
    assert_eq!(
        read("adapter_model.safetensors"),
        read("pytorch_lora_weights.safetensors")
    );
    let logs = names(&finished.output.join("logs"));
    assert!(
        logs.iter().any(|n| n.starts_with("events.out.tfevents")),
        "{logs:?}"
    );
    let steps: Vec<_> = finished
        .events("step")
        .iter()
        .map(|e| e["step"].clone())
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
    for key in ["loss", "grad_norm", "learning_rate", "workers"] {
        assert!(
            finished.events("step").iter().all(|e| e[key].is_number()),
            "{key}"
        );
    }
    assert_eq!(finished.events("worker_joined").len(), 2);
    assert_eq!(finished.events("checkpoint").len(), 3);
    assert_eq!(finished.events("complete").len(), 1);
    assert_eq!(finished.lines("metrics.jsonl").len(), 6);
    assert_eq!(finished.log_history().as_array().unwrap().len(), 6);
}

#[test]
fn a_killed_coordinator_goes_on_from_its_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &[]);
    let worker = run.worker(&[]);
    run.event("checkpoint");
    run.signal("KILL");
    drop(run);
    // Nobody holds the state any more, and the new coordinator waits for whom it knew in vain.
    worker.kill();
    let finished = Run::start(folder.path(), &config, &["--local-workers", "2"]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let first = finished.events("step")[0]["step"].as_u64().unwrap();
    assert!(first > 1, "it began again at step {first}");
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
    assert_eq!(finished.lines("metrics.jsonl").len(), 6);
}

#[test]
fn an_interrupted_coordinator_makes_the_state_safe_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [LINES, &[("save_steps", "100")]].concat();
    let config = Run::config(folder.path(), &lines);
    let mut run = Run::start(folder.path(), &config, &["--local-workers", "1"]);
    run.event("step");
    run.signal("TERM");
    let interrupted = run.finish();
    assert_eq!(interrupted.code, Some(6), "{}", interrupted.stderr);
    assert_eq!(interrupted.events("checkpoint").len(), 1);
    let finished = Run::start(folder.path(), &config, &["--local-workers", "1"]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn a_coordinator_that_is_stopped_tells_its_workers_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        LINES,
        &[
            ("save_steps", "100"),
            ("ride_through", "3"),
            ("max_steps", "1000"),
        ],
    ]
    .concat();
    let config = Run::config(folder.path(), &lines);
    let arguments = ["--local-workers", "1", "--wait-workers", "2"];
    let mut run = Run::start(folder.path(), &config, &arguments);
    let elsewhere = run.worker(&[]);
    run.event("step");
    run.signal("TERM");
    let interrupted = run.finish();
    assert_eq!(interrupted.code, Some(6), "{}", interrupted.stderr);
    assert!(interrupted.stderr.contains("asked to stop"));
    // Its own process was told to go, and went before it could be ended.
    let own = std::fs::read_to_string(interrupted.output.join("logs/worker-1.log")).unwrap();
    assert!(
        own.contains("the run was stopped, the state of step"),
        "{own}"
    );
    // One from elsewhere waits for a coordinator that is started again, and was not lost when none is.
    let (code, said) = elsewhere.finish();
    assert_eq!(code, Some(6), "{said}");
    let words = "holding on for one that is started again";
    assert!(said.contains(words), "{said}");
}

#[test]
fn an_export_that_fails_says_what_is_safe_and_is_done_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let run = Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    // Something stands where the adapter belongs.
    let place = folder.path().join("out/adapter_model.safetensors");
    std::fs::create_dir_all(place.join("in the way")).unwrap();
    let _worker = run.worker(&[]);
    let failed = run.finish();
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    for said in [
        "every step is committed and the last checkpoint is safe",
        "fix: make room where the output is written, and start again",
    ] {
        assert!(failed.stderr.contains(said), "{}", failed.stderr);
    }
    std::fs::remove_dir_all(&place).unwrap();
    let finished = Run::start(folder.path(), &config, &["--local-workers", "1"]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn a_worker_that_dies_and_one_that_joins_do_not_change_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let (stays, dies) = (run.worker(&[]), run.worker(&[]));
    run.event("step");
    dies.signal("KILL");
    let late = run.worker(&[]);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(stays.finish().0, Some(0));
    drop((dies, late));
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn a_drained_worker_leaves_with_its_code_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let (stays, drained) = (run.worker(&[]), run.worker(&[]));
    run.event("step");
    drained.signal("TERM");
    assert_eq!(drained.finish().0, Some(6));
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(stays.finish().0, Some(0));
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn several_devices_in_one_join_are_one_process_each() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let both = run.worker(&["--device", "cpu,cpu"]);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(both.finish().0, Some(0));
    assert_eq!(finished.events("worker_joined").len(), 2);
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn another_identity_is_refused_with_the_difference_and_a_finished_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), LINES, 1);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let config = folder.path().join("run.yaml");
    let again = |arguments: &[&str]| {
        let mut command = cluster_tests::coordinator();
        command
            .current_dir(folder.path())
            .arg("up")
            .arg("--config")
            .arg(&config);
        command
            .args(["--listen", "127.0.0.1:0", "--local-workers", "1"])
            .args(arguments);
        let output = cluster_tests::output(command, std::time::Duration::from_secs(240));
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = again(&[]);
    assert!(code == Some(2) && said.contains("E0604"), "{said}");
    let (code, said) = again(&["--set", "lora_rank=8"]);
    assert!(
        code == Some(2) && said.contains("E0603") && said.contains("lora_rank"),
        "{said}"
    );
    let (code, said) = again(&["--overwrite"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn a_torn_checkpoint_is_named_and_the_one_before_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &[]);
    let worker = run.worker(&[]);
    run.event("checkpoint");
    run.event("checkpoint");
    run.signal("KILL");
    drop(run);
    worker.kill();
    let torn = folder.path().join("out/checkpoint-4/optimizer.safetensors");
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    if folder.path().join("out/checkpoint-6").exists() {
        std::fs::remove_dir_all(folder.path().join("out/checkpoint-6")).unwrap();
    }
    let finished = Run::start(folder.path(), &config, &["--local-workers", "1"]).finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("E0702"), "{}", finished.stderr);
    assert_eq!(finished.events("step")[0]["step"], 3);
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
}

#[test]
fn workers_ride_through_a_killed_coordinator_and_the_same_step_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let workers = [run.worker(&[]), run.worker(&[])];
    run.event("step");
    run.event("step");
    run.signal("KILL");
    let address = run.address.clone();
    drop(run);
    let again = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    assert_eq!(again.address, address, "where its workers look for it");
    let finished = again.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(
        finished.stderr.contains("the same step goes on"),
        "{}",
        finished.stderr
    );
    for worker in workers {
        let (code, said) = worker.finish();
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(
        (finished.adapter(), finished.log_history()),
        uninterrupted()
    );
    assert_eq!(finished.lines("metrics.jsonl").len(), 6);
}

/// The coordinator's own worker is gone; the line of another one breaks again and again.
#[test]
fn who_is_no_local_worker_is_waited_for_when_the_local_ones_have_ended() {
    let lines = [LINES, &[("max_steps", "60"), ("save_steps", "100")]].concat();
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), &lines);
    let both = ["--local-workers", "1", "--wait-workers", "2"];
    let mut run = Run::start(folder.path(), &config, &both);
    let line = Proxy::to(&run.address);
    let _worker = run.worker_at(&line.address(), &[], "");
    run.event("step");
    run.kill_local_workers();
    for _ in 0..5 {
        run.event("step");
        line.reset();
    }
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("is back"), "{}", finished.stderr);
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = Finished::local(folder.path(), &lines, 1);
    assert_eq!(finished.adapter(), undisturbed.adapter());
}
