//! fp16 with overflows, and values that are not finite: the same at every number of workers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster_tests::{Finished, coordinator, device, output, repository};
use serde_json::Value;

/// The first steps overflow until the scale fits.
const LINES: &[(&str, &str)] = &[
    ("fp16", "true"),
    ("initial_loss_scale", "8388608"),
    ("lora_dropout", "0.1"),
    ("max_steps", "8"),
    ("warmup_steps", "2"),
    ("save_steps", "100"),
    ("failure_detection", "3"),
];

/// What must be equal: adapter, curve, and what the ledger says of each step's update.
type Outcome = (String, Value, Vec<(u64, u64, bool)>);

fn outcome(finished: &Finished) -> Outcome {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let lines = finished.lines("ledger.jsonl");
    let commits = lines.iter().filter(|line| line["kind"] == "commit");
    let of = |line: &Value| {
        (
            line["step"].as_u64().unwrap(),
            line["loss_scale"]["scale"].as_u64().unwrap(),
            line["skipped"].as_bool().unwrap(),
        )
    };
    (
        finished.adapter(),
        finished.log_history(),
        commits.map(of).collect(),
    )
}

#[test]
fn fp16_with_overflows_gives_the_same_bytes_whoever_computes() {
    let run = |how: &dyn Fn(&Path) -> Finished| {
        let folder = tempfile::tempdir().unwrap();
        let finished = how(folder.path());
        (outcome(&finished), finished.events("step")[0].clone())
    };
    let (one, event) = run(&|folder| Finished::local(folder, LINES, 1));
    println!("1 worker: sha256 {}, steps {:?}", one.0, one.2);
    let skipped = one.2.iter().filter(|(.., skipped)| *skipped).count();
    assert!(skipped > 0 && skipped < 8, "{:?}", one.2);
    for pair in one.2.windows(2) {
        let (_, scale, skipped) = pair[0];
        assert_eq!(pair[1].1, if skipped { scale / 2 } else { scale });
    }
    assert_eq!(event["loss_scale"], 8_388_608);
    for workers in [2, 4] {
        let (found, _) = run(&|folder| Finished::local(folder, LINES, workers));
        println!("{workers} workers: sha256 {}", found.0);
        assert_eq!(found, one, "{workers} workers");
    }
    let (found, _) = run(&|folder| Finished::killed(folder, LINES));
    println!("2 workers, one killed: sha256 {}", found.0);
    assert_eq!(found, one);
    let (found, _) = run(&|folder| Finished::resumed(folder, LINES));
    println!("2 workers, resumed with 1: sha256 {}", found.0);
    assert_eq!(found, one);
}

/// As it is shipped, but for base model and device; `more` makes it shorter.
fn law_qa(set: &[&str]) -> (String, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["data", "models", "configs"] {
        std::os::unix::fs::symlink(repository().join(name), folder.path().join(name)).unwrap();
    }
    let mut command = coordinator();
    command.current_dir(folder.path()).args([
        "up",
        "--config",
        "configs/law_qa.yaml",
        "--local-workers",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--output",
        "json",
        "--set",
        "base_model=models/tiny-law",
        "--set",
        &format!("device={}", device()),
    ]);
    for set in set {
        command.args(["--set", set]);
    }
    let ended = output(command, Duration::from_secs(3600));
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{stderr}");
    let text = String::from_utf8(ended.stdout).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let adapter = folder
        .path()
        .join("output/law_lora/adapter_model.safetensors");
    assert!(adapter.is_file());
    (stderr, events.collect())
}

/// With `LAW_QA=full` (`make law-qa`) to the end, as it is shipped.
#[test]
fn the_shipped_configuration_trains_in_fp16_and_in_bf16() {
    let full = std::env::var("LAW_QA").is_ok_and(|value| value == "full");
    let shorter: &[&str] = if full { &[] } else { &["max_steps=6"] };
    let mut curves: Vec<Vec<f64>> = Vec::new();
    for more in [&[][..], &["fp16=false", "bf16=true"]] {
        let begun = std::time::Instant::now();
        let (stderr, events) = law_qa(&[shorter, more].concat());
        let steps = events.iter().filter(|event| event["event"] == "step");
        let losses: Vec<f64> = steps.filter_map(|step| step["loss"].as_f64()).collect();
        println!(
            "law_qa {more:?}: {} steps, loss {:.4} -> {:.4}, {:.0} s",
            losses.len(),
            losses[0],
            losses[losses.len() - 1],
            begun.elapsed().as_secs_f64(),
        );
        let expected = if full { 780 } else { 6 };
        assert_eq!(losses.len(), expected, "every step was applied: {stderr}");
        curves.push(losses);
    }
    for (fp16, bf16) in curves[0].iter().zip(&curves[1]).take(6) {
        assert!((fp16 - bf16).abs() < 2e-2, "{fp16} against {bf16}");
    }
    let learned = |curve: &Vec<f64>| curve[curve.len() - 1] < 0.75 * curve[0];
    assert!(!full || curves.iter().all(learned));
}

/// A base model whose every answer is not a number.
fn spoiled(folder: &Path) -> String {
    let base = folder.join("base");
    let from = repository().join("models/tiny-law");
    let copied = Command::new("cp").arg("-rL").args([&from, &base]).status();
    assert!(copied.unwrap().success());
    let file = base.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let names: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let norm = &names["model.norm.weight"]["data_offsets"];
    let place = |index: usize| 8 + header + norm[index].as_u64().unwrap() as usize;
    let (start, end) = (place(0), place(1));
    bytes[start..end].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    base.display().to_string()
}

/// Lines of the configuration, steps that are committed, and what is said.
type Case<'a> = (&'a [(&'a str, &'a str)], usize, &'a str);

#[test]
fn values_that_are_not_finite_end_the_run_by_policy() {
    let house = tempfile::tempdir().unwrap();
    let base = spoiled(house.path());
    let cases: [Case<'_>; 4] = [
        (
            &[("max_skipped_steps", "3")],
            3,
            "3 steps in a row had values that are not finite",
        ),
        (
            &[("on_non_finite", "fail")],
            0,
            "step 1: a loss or gradient is not finite",
        ),
        (
            &[("max_steps", "2")],
            2,
            "none of the 2 steps of the run was applied",
        ),
        // Nothing is left to lower when the scale begins at 1.
        (
            &[
                ("fp16", "true"),
                ("initial_loss_scale", "1"),
                ("on_non_finite", "fail"),
            ],
            0,
            "step 1: a loss or gradient is not finite",
        ),
    ];
    for (lines, steps, text) in cases {
        let lines = [lines, &[("base_model", base.as_str())]].concat();
        for workers in [1, 2] {
            let folder = tempfile::tempdir().unwrap();
            let ended = Finished::local(folder.path(), &lines, workers);
            assert_eq!(ended.code, Some(7), "{}", ended.stderr);
            assert!(ended.stderr.contains("E0703"), "{}", ended.stderr);
            assert!(ended.stderr.contains(text), "{text}\n{}", ended.stderr);
            assert_eq!(ended.events("step").len(), steps, "{}", ended.stderr);
            assert!(!ended.output.join("adapter_model.safetensors").exists());
        }
        println!("{lines:?}: exit code 7 after {steps} step(s), {text}");
    }
}
