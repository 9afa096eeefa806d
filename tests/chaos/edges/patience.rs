//! With patience the result is the best step, whoever dies while its state is on its way to storage.

use std::path::Path;
use std::sync::OnceLock;

use cluster_tests::{Finished, OVERFITS, Run, by_heart};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Told, complete, flip_a_bit, only_accuses, struck, told, workers};

const FURTHER: &[(&str, &str)] = &[("failure_detection", "1.5"), ("ride_through", "20")];

/// What one worker without any fault gives.
struct Undisturbed {
    adapter: String,
    best: u64,
    evaluations: Vec<Value>,
}

fn undisturbed() -> &'static Undisturbed {
    static ONE: OnceLock<Undisturbed> = OnceLock::new();
    ONE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let finished = Run::start(folder.path(), &config, &["--local-workers", "1"]).finish();
        complete(&finished);
        let evaluations = finished.evaluations();
        let last = evaluations.last().unwrap();
        let best = last["best_step"].as_u64().unwrap();
        assert!(best < last["step"].as_u64().unwrap(), "{last}");
        Undisturbed {
            adapter: finished.adapter(),
            best,
            evaluations,
        }
    })
}

fn config(folder: &Path) -> std::path::PathBuf {
    let data = by_heart(folder);
    let lines = [OVERFITS, FURTHER, &[("train_data_dir", data.as_str())]].concat();
    Run::config(folder, &lines)
}

/// The best step's adapter is the result, and the course is that of the run without a fault.
fn check(finished: &Finished) {
    let expected = undisturbed();
    complete(finished);
    assert_eq!(finished.adapter(), expected.adapter, "{}", finished.stderr);
    let state = finished.json("trainer_state.json");
    let best = expected.best;
    assert_eq!(state["best_global_step"], json!(best));
    let kept = finished
        .output
        .join(format!("checkpoint-{best}/adapter_model.safetensors"));
    let kept = std::fs::read(kept).unwrap();
    assert_eq!(shared::hex::hex(&Sha256::digest(kept)), expected.adapter);
    // A replayed evaluation is said again, and is the same.
    for evaluation in finished.evaluations() {
        assert!(expected.evaluations.contains(&evaluation), "{evaluation}");
    }
}

pub(super) fn writer_killed() -> Told {
    let best = undisturbed().best;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let all = workers(&mut run, &format!("checkpoint@{best}=kill"), 2);
    let finished = run.finish();
    check(&finished);
    let struck = struck(&all[0].said());
    assert_eq!(struck, [format!("kill at checkpoint of step {best}")]);
    let failed = format!("checkpoint of step {best} could not be written by worker-1: it left");
    told(&finished.stderr, &failed);
    told(&finished.stderr, "worker-1 left: its session broke");
    only_accuses(&finished.stderr, None);
    let adapter = finished.adapter();
    Told { struck, adapter }
}

pub(super) fn coordinator_killed() -> Told {
    let best = undisturbed().best;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    // The order to write it is given in the step after it.
    let faults = format!("checkpoint@{best}=kill,checkpoint@{}=kill", best + 1);
    let waits = ["--wait-workers", "2"];
    let mut run = Run::start_with(folder.path(), &config, &waits, &faults);
    let all = workers(&mut run, "", 2);
    assert_eq!(run.wait(), None, "it kills itself");
    let struck = struck(&run.said());
    let place = format!("kill at checkpoint of step {}", best + 1);
    assert_eq!(struck, [place], "after the evaluation that found it best");
    let stored = folder.path().join(format!("out/checkpoint-{best}"));
    assert!(!stored.exists(), "killed too late");
    let finished = Run::start(folder.path(), &config, &waits).finish();
    check(&finished);
    told(&finished.stderr, "the same step goes on");
    only_accuses(&finished.stderr, None);
    drop(all);
    let adapter = finished.adapter();
    Told { struck, adapter }
}

pub(super) fn best_is_damaged() -> Told {
    let best = undisturbed().best;
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let all = workers(&mut run, "", 2);
    while run.event("checkpoint")["step"] != json!(best) {}
    let file = format!("out/checkpoint-{best}/adapter_model.safetensors");
    flip_a_bit(&folder.path().join(&file));
    let at = run.event("step")["step"].clone();
    let finished = run.finish();
    check(&finished);
    told(
        &finished.stderr,
        &format!("checkpoint of step {best} is set aside"),
    );
    only_accuses(&finished.stderr, None);
    drop(all);
    let struck = vec![format!("a bit of {file} at step {at}")];
    let adapter = finished.adapter();
    Told { struck, adapter }
}
