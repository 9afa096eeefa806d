//! What lies in the output folder is not believed: another leader, a checkpoint with another state.

use cluster_tests::Run;
use shared::ids::Step;
use shared::manifest::{ADAPTER_FILE, Manifest, file_digest};
use shared::storage::Folder;

use super::{Told, complete, flip_a_bit, only_accuses, told, workers};
use crate::cell::{LINES, Reference};

/// The lock is gone, as on storage without locks: the second one leads, the first one writes no line more.
pub(super) fn two_coordinators() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let lines = [LINES, &[("max_steps", "6")]].concat();
    let config = Run::config(folder.path(), &lines);
    let mut first = Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    let paced = first.worker_with(&["--threads", "1"], "compute@*=slow:40");
    first.event("step");
    std::fs::remove_file(folder.path().join("out/.lock")).unwrap();
    let second = Run::start(folder.path(), &config, &["--wait-workers", "1"]);
    let code = first.wait();
    let said = first.said();
    told(&said, "E0602");
    told(&said, "somebody else leads in this output_dir");
    assert_eq!(code, Some(2), "{said}");
    paced.kill();
    let worker = second.worker(&["--threads", "1"]);
    let finished = second.finish();
    complete(&finished);
    assert_eq!(worker.finish().0, Some(0));
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    let line = said
        .lines()
        .find(|l| l.contains("E0602"))
        .unwrap_or_default();
    let struck = vec![format!("the first coordinator: {line}")];
    Told { struck, adapter }
}

/// Its files agree with its manifest, and hold another state than the ledger says.
pub(super) fn another_state() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let all = workers(&mut run, "commit@5=kill", 2);
    while run.event("checkpoint")["step"] != 4 {}
    run.signal("KILL");
    run.wait();
    for worker in &all {
        worker.kill();
    }
    drop(run);
    let spoiled = folder.path().join("out/checkpoint-4");
    flip_a_bit(&spoiled.join(ADAPTER_FILE));
    let mut manifest = Manifest::read(&Folder::new(&spoiled)).unwrap();
    for file in &mut manifest.files {
        let name = file.name.clone();
        *file = file_digest(&Folder::new(&spoiled), &name).unwrap();
        file.name = name;
    }
    manifest.write(&Folder::new(&spoiled)).unwrap();
    manifest.verify(&Folder::new(&spoiled)).unwrap();
    // Written by nobody who was told to: the run may have come further before it was killed.
    let _ = std::fs::remove_dir_all(folder.path().join("out/checkpoint-6"));
    let finished = Run::start(folder.path(), &config, &["--local-workers", "2"]).finish();
    complete(&finished);
    only_accuses(&finished.stderr, None);
    assert_eq!(finished.events("step")[0]["step"], 3, "{}", finished.stderr);
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    let healed = Manifest::read(&Folder::new(finished.output.join("checkpoint-4"))).unwrap();
    assert_eq!(healed.step, Step(4));
    let passed_over = "skipped: E0702 the files do not hold the state of step 4";
    told(&finished.stderr, passed_over);
    let struck = vec![format!(
        "a bit of checkpoint-4 and its manifest: {passed_over}"
    )];
    Told { struck, adapter }
}
