//! One of three workers is ten times slower: how much longer does a step take than with the two
//! healthy ones alone?

use std::time::Instant;

use cluster_tests::Run;

use super::spread::Spread;

const ROUNDS: usize = 5;
const STEPS: usize = 40;
/// Before these steps nobody knows how fast anybody is.
const WARM: usize = 8;
const LINES: &[(&str, &str)] = &[
    ("max_steps", "40"),
    ("save_steps", "1000"),
    ("batch_size", "16"),
    ("micro_batch_size", "2"),
    ("lora_rank", "16"),
    ("target_modules", "all-linear"),
];

pub(crate) fn measure() {
    let (mut ratios, mut digests) = (Vec::new(), std::collections::BTreeSet::new());
    for _ in 0..ROUNDS {
        let (healthy, one) = run(false);
        let (straggling, other) = run(true);
        println!(
            "step of two healthy {healthy:.1} ms, with a third ten times slower {straggling:.1} ms"
        );
        ratios.push(straggling / healthy);
        digests.extend([one, other]);
    }
    println!(
        "with a straggler / two healthy, middle step: {:.3}",
        Spread::of(ratios).median()
    );
    println!("adapters: {digests:?}");
    assert_eq!(digests.len(), 1, "the bytes differ");
}

/// The middle step in ms, and the adapter.
fn run(straggler: bool) -> (f64, String) {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let wait = if straggler { "3" } else { "2" };
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", wait]);
    let mut workers = vec![
        run.worker(&["--threads", "1"]),
        run.worker(&["--threads", "1"]),
    ];
    if straggler {
        workers.push(run.worker_with(&["--threads", "1"], "compute@*=slow:10"));
    }
    let mut times = Vec::new();
    let mut last = Instant::now();
    for _ in 0..STEPS {
        run.event("step");
        times.push(last.elapsed());
        last = Instant::now();
    }
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    if straggler {
        assert!(finished.stderr.contains("is slow"), "{}", finished.stderr);
    }
    drop(workers);
    (Spread::millis(&times[WARM..]).median(), finished.adapter())
}
