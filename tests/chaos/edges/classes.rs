//! Workers of two device classes, all gone: whoever comes goes on, and what differs is a recorded fork.

use cluster_tests::Run;

use super::{Told, complete, only_accuses, told};

/// Told by this, libtorch computes with its plain kernels, which round otherwise.
const FOREIGN: (&str, &str) = ("ATEN_CPU_CAPABILITY", "default");
const LINES: &[(&str, &str)] = &[
    ("max_steps", "8"),
    ("save_steps", "2"),
    ("batch_size", "4"),
    ("failure_detection", "3"),
    ("min_workers", "2"),
    ("device_class", "mixed"),
];

pub(super) fn both_gone() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let pair = |run: &mut Run| {
        // Plain kernels are slower; so both get a share.
        let here = run.worker_with(&["--threads", "1"], "compute@*=slow:6");
        run.event("worker_joined");
        let other = run.worker_where(FOREIGN, &["--threads", "1"]);
        run.event("worker_joined");
        [here, other]
    };
    let gone = pair(&mut run);
    while run.event("step")["step"] != 3 {}
    for worker in &gone {
        worker.kill();
    }
    let here = pair(&mut run);
    let finished = run.finish();
    complete(&finished);
    only_accuses(&finished.stderr, None);
    assert!(!finished.stderr.contains("E0706"), "{}", finished.stderr);
    for worker in here {
        let (code, said) = worker.finish();
        assert_eq!(code, Some(0), "{said}");
    }
    let back = |l: &&str| l.contains("going on from step");
    let back = finished.stderr.lines().find(back).unwrap_or_default();
    assert!(!back.is_empty(), "{}", finished.stderr);
    let manifest = finished.json("manifest.json");
    let classes = manifest["device_classes"].as_array().unwrap().len();
    let mut struck = vec![format!(
        "kill -9 of both after step 3, {classes} classes: {back}"
    )];
    let ledger = std::fs::read_to_string(finished.output.join("ledger.jsonl")).unwrap();
    let forked = |l: &&str| l.contains("\"forked\"") && l.contains("rewind");
    let fork = ledger.lines().any(|l| forked(&l));
    if fork {
        told(&finished.stderr, "came out differently than before");
        struck.push("a recorded fork".into());
    } else {
        struck.push("the replay was equal".into());
    }
    // Its bytes are promised to nobody.
    let adapter = finished.adapter();
    Told { struck, adapter }
}
