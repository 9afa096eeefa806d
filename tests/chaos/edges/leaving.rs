//! Who leaves takes nothing along: the last holder of a state, and a corrupt worker that dies.

use std::path::Path;

use cluster_tests::{Finished, Run};

use super::{Told, complete, only_accuses, steps, struck, told, workers};
use crate::cell::{LINES, Reference};

/// The knob as it is shipped, and no checkpoint is due before the end.
const DEFAULTS: &[(&str, &str)] = &[
    ("max_steps", "6"),
    ("lora_dropout", "0.1"),
    ("save_steps", "1000"),
];

/// The only worker leaves by this fault; whoever comes next goes on.
fn drained(lines: &[(&str, &str)], faults: &str) -> (tempfile::TempDir, Finished, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), lines);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    let worker = run.worker_with(&["--threads", "1"], faults);
    run.told("drained, nothing was lost");
    let (code, said) = worker.finish();
    assert_eq!(code, Some(6), "{said}");
    let safe = newest(&folder.path().join("out"));
    let next = run.worker(&["--threads", "1"]);
    let finished = run.finish();
    complete(&finished);
    assert_eq!(next.finish().0, Some(0));
    only_accuses(&finished.stderr, None);
    let repeated = steps(&finished);
    assert!(
        repeated.iter().copied().eq(1..=6),
        "{repeated:?}\n{}",
        finished.stderr
    );
    assert_eq!(
        finished.adapter(),
        Reference::one().adapter,
        "{}",
        finished.stderr
    );
    let mut struck = struck(&said);
    struck.push(format!("step {safe} was on storage"));
    (folder, finished, struck)
}

/// The newest checkpoint there is.
fn newest(output: &Path) -> u64 {
    let checkpoints = shared::manifest::checkpoints(&shared::storage::Folder::new(output)).unwrap();
    checkpoints.iter().map(|(step, _)| step.0).max().unwrap()
}

pub(super) fn drained_in_a_step() -> Told {
    let (_folder, finished, struck) = drained(DEFAULTS, "compute@4=term,compute@*=slow:20");
    assert_eq!(
        struck,
        ["term at compute of step 4", "step 3 was on storage"]
    );
    let adapter = finished.adapter();
    Told { struck, adapter }
}

pub(super) fn drained_while_it_writes() -> Told {
    let (_folder, finished, struck) = drained(LINES, "checkpoint@2=term");
    assert_eq!(struck[0], "term at checkpoint of step 2");
    told(&finished.stderr, "drains: it finishes its part and leaves");
    let adapter = finished.adapter();
    Told { struck, adapter }
}

/// One machine with bad memory that crashes: its credits go with it.
pub(super) fn corrupt_and_dead() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "3"]);
    let all = workers(&mut run, "sum@3=flip,apply@3=stop", 3);
    all[0].told("fault: stop at apply of step 3");
    all[0].kill();
    let finished = run.finish();
    complete(&finished);
    let struck = struck(&all[0].said());
    assert_eq!(struck, ["Flip at sum of step 3", "stop at apply of step 3"]);
    only_accuses(&finished.stderr, Some("worker-1"));
    assert!(!finished.stderr.contains("E0506"), "{}", finished.stderr);
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    for healthy in all.into_iter().skip(1) {
        let (code, said) = healthy.finish();
        assert_eq!(code, Some(0), "{said}");
    }
    Told { struck, adapter }
}
