//! How long it takes until the run goes on, fault by fault.

use std::time::{Duration, Instant};

use cluster_tests::{Run, Worker};

use super::spread::Spread;

const ROUNDS: usize = 10;
/// The knob: silence this long is an eviction.
const KNOB: f64 = 2.0;
const LINES: &[(&str, &str)] = &[
    ("max_steps", "1000000"),
    ("save_steps", "1000000"),
    ("failure_detection", "2"),
];

/// A run with three workers of one thread that has begun.
struct Cluster {
    folder: tempfile::TempDir,
    run: Run,
    workers: Vec<Worker>,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Run::config(folder.path(), LINES);
        let run = Run::start(folder.path(), &config, &["--wait-workers", "3"]);
        let workers = (0..3).map(|_| run.worker(&["--threads", "1"])).collect();
        let mut cluster = Self {
            folder,
            run,
            workers,
        };
        cluster.run.told("3 worker(s)");
        cluster.steps(5);
        cluster
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.run.event("step");
        }
    }

    /// Takes one away, another one each round.
    fn victim(&mut self, round: usize) -> Worker {
        let place = round % self.workers.len();
        self.workers.remove(place)
    }

    /// Somebody comes in its place; how long from start to loaded, and from loaded to counted.
    fn replace(&mut self) -> (Duration, Duration) {
        let start = Instant::now();
        let worker = self.run.worker(&["--threads", "1"]);
        self.run.told("is loaded on");
        let loaded = start.elapsed();
        self.run.told("3 worker(s)");
        let counted = start.elapsed();
        self.workers.push(worker);
        self.steps(5);
        (loaded, counted.saturating_sub(loaded))
    }
}

pub(crate) fn measure() {
    kills();
    silences();
    drains();
    coordinators();
}

fn kills() {
    let mut cluster = Cluster::start();
    let (mut again, mut committed) = (Vec::new(), Vec::new());
    let (mut loaded, mut counted) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let victim = cluster.victim(round);
        let start = Instant::now();
        victim.signal("KILL");
        cluster.run.told("2 worker(s)");
        again.push(start.elapsed());
        cluster.run.event("step");
        committed.push(start.elapsed());
        let (load, count) = cluster.replace();
        loaded.push(load);
        counted.push(count);
    }
    println!(
        "kill -9 of one of three until the others are given its work, ms: {}",
        Spread::millis(&again)
    );
    println!(
        "kill -9 of one of three until the step is committed, ms: {}",
        Spread::millis(&committed)
    );
    println!(
        "join: start until the base model is loaded, ms: {}",
        Spread::millis(&loaded)
    );
    println!(
        "join: loaded until it counts, ms: {}",
        Spread::millis(&counted)
    );
}

fn silences() {
    let mut cluster = Cluster::start();
    let mut evicted = Vec::new();
    for round in 0..ROUNDS {
        let victim = cluster.victim(round);
        let start = Instant::now();
        victim.signal("STOP");
        cluster.run.told("silent for longer than its lease");
        evicted.push(start.elapsed().as_secs_f64() / KNOB);
        cluster.run.event("step");
        victim.kill();
        cluster.replace();
    }
    println!(
        "SIGSTOP of one of three until eviction, in knobs: {:.3} to {:.3}, median {:.3}",
        evicted.iter().copied().fold(f64::MAX, f64::min),
        evicted.iter().copied().fold(0.0, f64::max),
        Spread::of(evicted.clone()).median()
    );
}

fn drains() {
    let mut cluster = Cluster::start();
    let mut gone = Vec::new();
    for round in 0..ROUNDS {
        let victim = cluster.victim(round);
        let start = Instant::now();
        victim.signal("TERM");
        let (code, said) = victim.finish();
        gone.push(start.elapsed());
        assert_eq!(code, Some(6), "{said}");
        cluster.replace();
    }
    println!(
        "drain: SIGTERM until the process has ended, ms: {}",
        Spread::millis(&gone)
    );
}

fn coordinators() {
    let mut cluster = Cluster::start();
    let mut on = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        cluster.run.signal("KILL");
        cluster.run.wait();
        let config = cluster.folder.path().join("run.yaml");
        cluster.run = Run::start(cluster.folder.path(), &config, &["--wait-workers", "3"]);
        cluster.run.told("the same step goes on");
        cluster.run.event("step");
        on.push(start.elapsed());
        cluster.steps(5);
    }
    println!(
        "coordinator kill -9 and start until the step is committed, ms: {}",
        Spread::millis(&on)
    );
}
