//! Evaluations with real processes: the same numbers, the same end, the best adapter kept.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use cluster_tests::{Finished, OVERFITS, Run, by_heart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn overfit(folder: &Path, workers: &str) -> Finished {
    let data = by_heart(folder);
    let mut lines = OVERFITS.to_vec();
    lines.push(("train_data_dir", &data));
    let config = Run::config(folder, &lines);
    let run = Run::start(folder, &config, &["--local-workers", workers]);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished
}

fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    shared::hex::hex(&Sha256::digest(bytes))
}

#[test]
fn a_run_made_to_overfit_is_named_stopped_and_leaves_its_best_adapter() {
    let mut first: Option<(String, Vec<Value>, Value)> = None;
    for workers in ["1", "2", "4"] {
        let folder = tempfile::tempdir().unwrap();
        let finished = overfit(folder.path(), workers);
        let evaluations = finished.evaluations();
        let last = evaluations.last().unwrap();
        let (step, best) = (
            last["step"].as_u64().unwrap(),
            last["best_step"].as_u64().unwrap(),
        );
        let alarms = finished.events("overfitting");
        println!(
            "{workers} workers: stopped at step {step}, best {best}, adapter {}, {}",
            finished.adapter(),
            alarms
                .first()
                .map_or("no alarm", |a| a["text"].as_str().unwrap())
        );
        assert_eq!(last["stops"], true, "{}", finished.stderr);
        assert!(step < 120 && best < step);
        assert!(!alarms.is_empty(), "{}", finished.stderr);
        let kept = finished.output.join(format!("checkpoint-{best}"));
        assert_eq!(
            sha256(&kept.join("adapter_model.safetensors")),
            finished.adapter()
        );
        let state = finished.json("trainer_state.json");
        assert_eq!(state["best_global_step"], best);
        assert_eq!(state["best_model_checkpoint"], format!("checkpoint-{best}"));
        assert_eq!(state["global_step"], step);
        let found = (finished.adapter(), evaluations, finished.log_history());
        match &first {
            None => first = Some(found),
            Some(first) => assert_eq!(*first, found, "{workers} workers"),
        }
    }
}

#[test]
fn a_worker_that_is_lost_while_it_evaluates_changes_nothing() {
    let quiet = tempfile::tempdir().unwrap();
    let expected = overfit(quiet.path(), "1");
    let folder = tempfile::tempdir().unwrap();
    let data = by_heart(folder.path());
    let mut lines = OVERFITS.to_vec();
    lines.extend([
        ("train_data_dir", data.as_str()),
        ("failure_detection", "2"),
    ]);
    let config = Run::config(folder.path(), &lines);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let (stays, goes) = (run.worker(&[]), run.worker(&[]));
    // Step 4 is evaluated next: the order to leave comes while it is or a moment later.
    for _ in 0..4 {
        run.event("step");
    }
    goes.kill();
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let _ = (stays.finish(), goes.finish());
    assert_eq!(finished.evaluations(), expected.evaluations());
    assert_eq!(finished.adapter(), expected.adapter());
}

#[test]
fn a_healthy_run_is_left_in_peace_and_evaluating_it_changes_no_byte() {
    let healthy = [
        ("max_steps", "10"),
        ("learning_rate", "2e-4"),
        ("eval_steps", "2"),
    ];
    let (folder, held_out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plain = Finished::local(folder.path(), &healthy[..2], 1);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let validation = validation_file(held_out.path());
    let mut lines = healthy.to_vec();
    lines.push(("validation_dir", &validation));
    let evaluated = Finished::local(held_out.path(), &lines, 2);
    assert_eq!(evaluated.code, Some(0), "{}", evaluated.stderr);
    let evaluations = evaluated.evaluations();
    assert_eq!(evaluations.len(), 5);
    assert!(
        evaluations
            .iter()
            .all(|e| e["eval_loss"].as_f64().unwrap().is_finite())
    );
    assert!(
        evaluated.events("overfitting").is_empty(),
        "{}",
        evaluated.stderr
    );
    assert_eq!(evaluated.adapter(), plain.adapter());
    println!(
        "losses {:?}",
        evaluations
            .iter()
            .map(|e| &e["eval_loss"])
            .collect::<Vec<_>>()
    );
}

/// Questions of the shipped kind that the shipped data do not hold.
fn validation_file(folder: &Path) -> String {
    let file = folder.join("validation.txt");
    let text = "用户：房东不退押金怎么办？\n律师：依据《民法典》，租赁期满没有损坏的，应当退还押金，可以先协商，协商不成向法院起诉。\n\n\
        用户：公司不给交社保怎么办？\n律师：依据《社会保险法》，用人单位应当为职工缴纳社会保险，可以向社保部门投诉。\n";
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn fixed_prompts_are_answered_alike_by_any_workers_and_as_worker_generate_does() {
    let prompts = ["工资什么时候发？", "What is a | lease?"];
    let asked = format!("['{}', '{}']", prompts[0], prompts[1]);
    let held_out = tempfile::tempdir().unwrap();
    let validation = validation_file(held_out.path());
    let lines = [
        ("max_steps", "10"),
        ("eval_steps", "5"),
        ("learning_rate", "3e-3"),
        ("validation_dir", &validation),
        // As the base model is stored, which is what `worker generate` computes in.
        ("bf16", "true"),
        ("eval_prompts", &asked),
        ("eval_max_new_tokens", "24"),
    ];
    let mut first: Option<(String, String)> = None;
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), &lines, workers);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let page = finished.output.join("eval_prompts.md");
        let page = std::fs::read_to_string(page).unwrap();
        let answers = finished.output.join("eval_prompts.jsonl");
        let answers = std::fs::read_to_string(answers).unwrap();
        assert_eq!(answers.lines().count(), 4);
        for (line, prompt) in answers.lines().skip(2).zip(prompts) {
            let answer: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&answer["step"], &answer["prompt"]),
                (&json!(10), &json!(prompt))
            );
            assert_eq!(answer["answer"], generated(&finished.output, prompt));
        }
        match &first {
            None => {
                println!("{page}");
                first = Some((page, answers));
            }
            Some(first) => assert_eq!(*first, (page, answers), "{workers} workers"),
        }
    }
}

/// What `worker generate` says with an adapter.
fn generated(adapter: &Path, prompt: &str) -> String {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny-law");
    let said = cluster_tests::worker()
        .args([
            "generate",
            "--device",
            "cpu",
            "--max-new-tokens",
            "24",
            "--prompt",
            prompt,
        ])
        .args([Path::new("--adapter"), adapter, Path::new("--base"), &base])
        .output()
        .unwrap();
    assert!(said.status.success());
    String::from_utf8(said.stdout).unwrap()
}
