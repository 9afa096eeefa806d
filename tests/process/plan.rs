//! `coordinator plan` against the run that follows: steps, tokens, bytes on disk and between workers
//! exactly, from a base model's folder that holds no weights, and without a trace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cluster_tests::{Finished, Run, coordinator, output, repository};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);

/// What the plan of `run.yaml` says, with other keys.
fn plan(folder: &Path, arguments: &[&str]) -> Value {
    let mut command = coordinator();
    command.current_dir(folder);
    command.args(["plan", "--config", "run.yaml", "--output", "json"]);
    command.args(arguments);
    let output = output(command, DEADLINE);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything of the small base model but its weights.
fn without_weights(folder: &Path) -> String {
    let from = repository().join("models/tiny-law");
    let to = folder.join("base");
    std::fs::create_dir_all(&to).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    format!("base_model={}", to.display())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn the_plan_is_what_the_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        ("target_modules", "all-linear"),
        ("lora_rank", "5"),
        ("epochs", "1"),
        ("max_steps", "null"),
        ("micro_batch_size", "3"),
        ("save_steps", "1000"),
    ];
    let _ = Run::config(folder.path(), &lines);
    let base = without_weights(folder.path());
    let planned = plan(folder.path(), &["--set", &base, "--workers", "2"]);
    assert!(!folder.path().join("out").exists(), "the plan left a trace");
    assert_eq!(planned["time"]["seconds"], Value::Null);

    let finished = Finished::local(folder.path(), &lines, 2);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let metrics = finished.lines("metrics.jsonl");
    let (counts, disk) = (&planned["counts"], &planned["disk"]);
    assert_eq!(number(&counts["steps"]), metrics.len() as u64);
    let learned: u64 = metrics.iter().map(|line| number(&line["num_tokens"])).sum();
    assert_eq!(number(&counts["target_tokens"]), learned);

    let bytes = |name: &str| std::fs::metadata(finished.output.join(name)).unwrap().len();
    assert_eq!(number(&disk["adapter"]), bytes("adapter_model.safetensors"));
    let checkpoint = format!("checkpoint-{}", metrics.len());
    let optimizer = format!("{checkpoint}/optimizer.safetensors");
    assert_eq!(number(&disk["optimizer"]), bytes(&optimizer));
    let entries = std::fs::read_dir(finished.output.join(&checkpoint)).unwrap();
    let whole: u64 = entries.map(|e| e.unwrap().metadata().unwrap().len()).sum();
    let about = number(&disk["checkpoint"]) as f64 / whole as f64;
    assert!(
        (0.98..1.05).contains(&about),
        "{} and {whole}",
        disk["checkpoint"]
    );

    let log = finished.lines("logs/cluster.jsonl");
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    for line in log.iter().filter(|line| line["event"] == "step") {
        for (worker, bytes) in line["bytes_sent"].as_object().unwrap() {
            *sent.entry(worker.clone()).or_default() += number(bytes);
        }
    }
    let most = *sent.values().max().unwrap();
    let planned_bytes = number(&planned["wire"]["sent_per_worker"]) * metrics.len() as u64;
    // The frames' own bytes come on top; the last pieces may still be on their way.
    let over = most as f64 / planned_bytes as f64;
    assert!(
        (0.95..1.02).contains(&over),
        "{most} bytes, planned {planned_bytes}"
    );

    // The prepared data and the rate of the run serve the next plan.
    let again = plan(folder.path(), &["--set", "max_steps=100"]);
    assert!(
        again["time"]["seconds"].as_f64().unwrap() > 0.0,
        "{}",
        again["time"]
    );
    let other = plan(folder.path(), &["--set", "lora_rank=7"]);
    let why = other["time"]["source"].as_str().unwrap();
    assert!(why.contains("lora_rank"), "{why}");
}
