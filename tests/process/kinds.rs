//! The spine for every kind of adapter: one, two and four workers, one killed, one resumed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use cluster_tests::Finished;
use serde_json::Value;

const COMMON: &[(&str, &str)] = &[
    ("max_steps", "8"),
    ("save_steps", "100"),
    ("failure_detection", "3"),
];

/// Adapter and curve.
fn outcome(finished: &Finished) -> (String, Value) {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (finished.adapter(), finished.log_history())
}

/// The short form of the matrix for one configuration; returns the adapter's digest.
fn same_bytes(name: &str, more: &[(&str, &str)]) -> String {
    let lines = [COMMON, more].concat();
    let run = |how: &dyn Fn(&Path) -> Finished| {
        let folder = tempfile::tempdir().unwrap();
        outcome(&how(folder.path()))
    };
    let one = run(&|folder| Finished::local(folder, &lines, 1));
    println!("{name}: 1 worker: sha256 {}", one.0);
    let mut others: Vec<(String, (String, Value))> = Vec::new();
    for workers in [2, 4] {
        let found = run(&|folder| Finished::local(folder, &lines, workers));
        others.push((format!("{workers} workers"), found));
    }
    let found = run(&|folder| Finished::killed(folder, &lines));
    others.push(("2 workers, one killed".into(), found));
    let found = run(&|folder| Finished::resumed(folder, &lines));
    others.push(("2 workers, resumed with 1".into(), found));
    for (how, found) in others {
        println!("{name}: {how}: sha256 {}", found.0);
        assert_eq!(found, one, "{name}: {how}");
    }
    one.0
}

#[test]
fn dora() {
    same_bytes("dora", &[("use_dora", "true"), ("lora_dropout", "0.1")]);
}

#[test]
fn ia3() {
    same_bytes(
        "ia3",
        &[("adapter_type", "ia3"), ("learning_rate", "5.0e-3")],
    );
}

#[test]
fn whole_modules() {
    same_bytes(
        "modules_to_save",
        &[
            ("modules_to_save", "[lm_head, model.norm]"),
            ("bf16", "true"),
        ],
    );
}

#[test]
fn qlora() {
    same_bytes(
        "qlora",
        &[
            ("quantization", "nf4"),
            ("bf16", "true"),
            ("lora_dropout", "0.1"),
        ],
    );
}

#[test]
fn pissa() {
    same_bytes("pissa", &[("init_lora_weights", "pissa")]);
}

#[test]
fn activations_computed_again_change_no_byte() {
    let lines = |how| {
        [
            COMMON,
            &[("activation_checkpointing", how), ("lora_dropout", "0.1")],
        ]
        .concat()
    };
    let adapter = |how| {
        let folder = tempfile::tempdir().unwrap();
        outcome(&Finished::local(folder.path(), &lines(how), 2))
    };
    let (kept, again) = (adapter("off"), adapter("on"));
    println!(
        "activation_checkpointing off and on: sha256 {} {}",
        kept.0, again.0
    );
    assert_eq!(kept, again);
}
