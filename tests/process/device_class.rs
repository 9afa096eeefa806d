//! Workers of unlike device classes: kept out under `strict`, named under `mixed`.
//!
//! The foreign class is a real one: told by `ATEN_CPU_CAPABILITY`, libtorch computes with its plain
//! kernels, which round otherwise. Every run needs two workers and pauses below, so that whoever
//! joins does so when the test says, however fast the machine is.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::time::Duration;

use cluster_tests::{Finished, Run, Worker, coordinator, output, skipped};
use serde_json::Value;
use tempfile::TempDir;

const LINES: &[(&str, &str)] = &[
    ("max_steps", "12"),
    ("batch_size", "4"),
    ("save_steps", "1000"),
    ("failure_detection", "3"),
    ("min_workers", "2"),
];

/// Makes a worker one of another class, on a machine that has more than plain kernels.
const FOREIGN: (&str, &str) = ("ATEN_CPU_CAPABILITY", "default");
const PLAIN: &str = " DEFAULT";

/// What two workers of this machine give.
struct Native {
    folder: TempDir,
    adapter: String,
    class: String,
}

/// `None` when there is no other class than this machine's.
fn native() -> Option<Native> {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), LINES, 2);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let [class] = &classes(&finished)[..] else {
        panic!("two workers of one machine are of one class");
    };
    if class.contains(PLAIN) {
        skipped(&format!("{class} has plain kernels only"));
        return None;
    }
    Some(Native {
        adapter: finished.adapter(),
        class: class.clone(),
        folder,
    })
}

/// The classes that took part, as the manifest has them.
fn classes(finished: &Finished) -> Vec<String> {
    let manifest = finished.json("manifest.json");
    let classes = manifest["device_classes"].as_array().unwrap().iter();
    classes.map(|c| c.as_str().unwrap().to_owned()).collect()
}

fn start(folder: &Path, lines: &[(&str, &str)]) -> Run {
    let config = Run::config(folder, &[LINES, lines].concat());
    Run::start(folder, &config, &["--wait-workers", "2"])
}

fn here(run: &Run) -> Worker {
    run.worker(&["--threads", "1"])
}

fn foreign(run: &Run) -> Worker {
    run.worker_where(FOREIGN, &["--threads", "1"])
}

/// Ends a worker in the third step; the run then waits for another one.
fn lose(run: &mut Run, worker: Worker) {
    for _ in 0..3 {
        run.event("step");
    }
    worker.kill();
    run.told("waiting for workers: 1 of 2");
}

#[test]
fn strict_refuses_a_foreign_worker_and_the_run_goes_on() {
    let Some(native) = native() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), &[("device_class", "strict")]);
    let refused = |run: &mut Run| {
        let (code, said) = foreign(run).finish();
        println!("{said}");
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("E0510"), "{said}");
        assert!(
            said.contains(&native.class) && said.contains(PLAIN),
            "{said}"
        );
        run.told("E0510");
    };
    let first = here(&run);
    run.event("worker_joined");
    refused(&mut run);
    let second = here(&run);
    lose(&mut run, second);
    refused(&mut run);
    let third = here(&run);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!((first.finish().0, third.finish().0), (Some(0), Some(0)));
    assert_eq!(finished.adapter(), native.adapter);
    assert_eq!(
        classes(&finished),
        [native.class],
        "who was refused took no part"
    );
}

/// Micro-batches of one worker that count.
fn credited(finished: &Finished, worker: &Value) -> u64 {
    let steps = finished.lines("logs/cluster.jsonl");
    let name = worker.as_str().unwrap();
    let counts = steps.iter().map(|l| l["micro_batches"][name].as_u64());
    counts.flatten().sum()
}

#[test]
fn mixed_names_both_classes_and_the_replicas_agree() {
    let Some(native) = native() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Drawn from the seed, the first adapter would be another one: see the next test.
    let given = native.folder.path().join("out").display().to_string();
    let lines = [("device_class", "mixed"), ("init_adapter", &given)];
    let mut run = start(folder.path(), &lines);
    // Plain kernels are about ten times slower; so they get a share all the same.
    let first = run.worker_with(&["--threads", "1"], "compute@*=slow:6");
    let one = run.event("worker_joined")["worker"].clone();
    let second = foreign(&run);
    let other = run.event("worker_joined")["worker"].clone();
    let told = run.told("device classes");
    println!("{told}");
    assert!(told.contains("2 device classes"), "{told}");
    assert!(
        told.contains(&native.class) && told.contains(PLAIN),
        "{told}"
    );
    lose(&mut run, second);
    // It takes the state from a worker of the other class, and proves that it is the same.
    let third = foreign(&run);
    let late = run.event("worker_joined")["worker"].clone();
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!((first.finish().0, third.finish().0), (Some(0), Some(0)));
    for disagreement in ["E05", "states differ", "is corrupt", " evicted: "] {
        let disagreed = finished.stderr.contains(disagreement);
        assert!(!disagreed, "{}", finished.stderr);
    }
    let parts = [&one, &other, &late].map(|w| credited(&finished, w));
    println!("micro-batches of {one}, {other}, {late}: {parts:?}");
    assert!(parts.iter().all(|&part| part > 0), "all three took part");
    let both = classes(&finished);
    assert!(both.len() == 2 && both.contains(&native.class), "{both:?}");
    let mut audit = coordinator();
    audit.arg("audit").arg(&finished.output);
    let audit = output(audit, Duration::from_secs(90));
    let said = String::from_utf8_lossy(&audit.stderr);
    assert_eq!(audit.status.code(), Some(0), "{said}");
    // Its bytes are promised to nobody.
    println!("adapter {}", finished.adapter());
}

/// Before step 1 every worker draws the first adapter itself, and plain kernels draw another one:
/// whoever comes second takes the state of the first.
#[test]
fn mixed_gives_the_first_adapter_to_a_worker_that_draws_another() {
    let Some(native) = native() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), &[("device_class", "mixed")]);
    let first = here(&run);
    run.event("worker_joined");
    let second = foreign(&run);
    println!("{}", run.told("draws another first adapter"));
    run.told("2 device classes");
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!((first.finish().0, second.finish().0), (Some(0), Some(0)));
    assert_eq!(classes(&finished).len(), 2);
    println!("one class: {}", native.adapter);
    println!("mixed:     {}", finished.adapter());
}

/// Integers of unlike devices differ, and nobody computed wrongly.
#[test]
fn mixed_compares_only_devices_of_one_class() {
    let Some(native) = native() else { return };
    let folder = tempfile::tempdir().unwrap();
    let given = native.folder.path().join("out").display().to_string();
    let lines = [("audit_rate", "1.0"), ("init_adapter", &given)];
    let config = Run::config(folder.path(), &[LINES, &lines].concat());
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "3"]);
    let workers = [here(&run), foreign(&run), here(&run)];
    run.told("2 device classes");
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!finished.stderr.contains("E0512"), "{}", finished.stderr);
    for worker in workers {
        let (code, said) = worker.finish();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn strict_remembers_its_class_when_it_goes_on() {
    let Some(native) = native() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lines = [("device_class", "strict"), ("min_workers", "1")];
    let config = Run::config(folder.path(), &[LINES, &lines].concat());
    let up = || Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    let mut run = up();
    let worker = here(&run);
    run.event("step");
    run.signal("TERM");
    assert_eq!(run.finish().code, Some(6));
    worker.kill();
    let mut again = up();
    let (code, said) = foreign(&again).finish();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("E0510"), "{said}");
    again.told("E0510");
    let worker = here(&again);
    let finished = again.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(worker.finish().0, Some(0));
    assert_eq!(finished.adapter(), native.adapter);
    assert_eq!(classes(&finished), [native.class]);
}
