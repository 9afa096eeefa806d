//! Who writes a checkpoint: whoever writes something else is found, and whoever cannot is followed.

use cluster_tests::Run;

use super::{Told, complete, only_accuses, struck, told, workers};
use crate::cell::{LINES, Reference};

pub(super) fn bit_in_the_writer() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "3"]);
    let all = workers(&mut run, "staged@4=flip", 3);
    let finished = run.finish();
    complete(&finished);
    let struck = struck(&all[0].said());
    assert_eq!(struck, ["Flip at staged of step 4"]);
    let culprit = "worker-1 is corrupt: its files of step 4 do not hold the agreed state";
    told(&finished.stderr, culprit);
    only_accuses(&finished.stderr, Some("worker-1"));
    assert!(
        finished.output.join("checkpoint-4").exists(),
        "another one writes"
    );
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    Told { struck, adapter }
}

pub(super) fn one_cannot_write() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let never = ["checkpoint@*=full"; 20].join(",");
    let all = workers(&mut run, &never, 2);
    let finished = run.finish();
    complete(&finished);
    let struck = struck(&all[0].said());
    for step in [2, 4, 6] {
        let place = format!("Full at checkpoint of step {step}");
        assert!(struck.contains(&place), "{struck:?}");
        let who = format!("checkpoint of step {step} could not be written by worker-1: no space");
        told(&finished.stderr, &who);
        let stored = finished.output.join(format!("checkpoint-{step}"));
        assert!(stored.exists(), "the other one writes step {step}");
    }
    let other = finished.stderr.contains("could not be written by worker-2");
    assert!(!other, "{}", finished.stderr);
    only_accuses(&finished.stderr, None);
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    Told { struck, adapter }
}
