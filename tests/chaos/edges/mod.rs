//! Faults that need a scene of their own: what is published, who writes, whose line, who leaves last.
//!
//! In: nothing but the shipped programs. Out: for each cell where its fault struck and the SHA-256 of the
//! adapter, which equals that of the same configuration without a fault. Keeps: a cell that did not see
//! its fault strike where it should fails, and so does one in which anybody else is accused.

mod classes;
mod folder;
mod leaving;
mod lines;
mod patience;
mod writers;

use std::path::Path;
use std::time::{Duration, Instant};

use cluster_tests::{Finished, Run, Worker, coordinator, output};

/// One cell.
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    /// In the short form too.
    pub(crate) short: bool,
    run: fn() -> Told,
}

/// What a cell has to say.
pub(crate) struct Told {
    /// Where the fault struck.
    struck: Vec<String>,
    adapter: String,
}

const fn edge(name: &'static str, run: fn() -> Told) -> Edge {
    let short = false;
    Edge { name, short, run }
}

const fn short(name: &'static str, run: fn() -> Told) -> Edge {
    let short = true;
    Edge { name, short, run }
}

#[rustfmt::skip]
pub(crate) const EDGES: &[Edge] = &[
    edge("patience: the best state's writer is killed", patience::writer_killed),
    short("patience: the coordinator is killed before the best state is written", patience::coordinator_killed),
    edge("patience: the best checkpoint is damaged before the end", patience::best_is_damaged),
    short("a bit in the writer's memory between commit and writing", writers::bit_in_the_writer),
    short("one node cannot write", writers::one_cannot_write),
    edge("a device hangs, and the run goes on for long", lines::device_hangs),
    edge("a long row among short ones", lines::long_row),
    edge("a slow line between workers", lines::slow_line),
    edge(
        "one chunk on a slow line between workers",
        lines::one_chunk_on_a_slow_line,
    ),
    edge("a line between three workers that is slow one way", lines::one_way_slow_line),
    short("two resets in a row", lines::two_resets),
    edge("the only worker drained in a step", leaving::drained_in_a_step),
    short("the only worker drained while it writes", leaving::drained_while_it_writes),
    short("corrupt, and then dead", leaving::corrupt_and_dead),
    edge("all of two device classes gone", classes::both_gone),
    edge("two coordinators in one folder", folder::two_coordinators),
    edge("a checkpoint that holds another state", folder::another_state),
];

impl Edge {
    /// Runs the cell and prints its line; why it failed, when it did.
    pub(crate) fn run(&self) -> Result<(), String> {
        let started = Instant::now();
        let told = std::panic::catch_unwind(self.run).map_err(|cause| {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(ToString::to_string));
            text.unwrap_or_default()
        })?;
        if told.struck.is_empty() {
            return Err("the fault never struck".into());
        }
        println!(
            "| {} | {} | {} | {:.1} |",
            self.name,
            told.struck.join("; "),
            told.adapter,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Where faults on purpose struck, as the process says that they struck in.
fn struck(said: &str) -> Vec<String> {
    let faults = said.lines().filter_map(|l| l.strip_prefix("fault: "));
    faults.map(str::to_owned).collect()
}

/// The run is complete, and so is its ledger: every sample once, every checkpoint what it says.
fn complete(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    audited(&finished.output);
}

/// The proof of a run, which must hold.
fn audited(output_dir: &Path) {
    let mut command = coordinator();
    command.arg("audit").arg(output_dir);
    let audit = output(command, Duration::from_secs(90));
    let said = [audit.stdout, audit.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(audit.status.code(), Some(0), "{said}");
}

/// People are told this.
fn told(said: &str, wanted: &str) {
    assert!(said.contains(wanted), "nobody said `{wanted}`\n{said}");
}

/// Whoever is accused of something is this worker, if anybody.
fn only_accuses(said: &str, culprit: Option<&str>) {
    for line in said.lines() {
        let accusation = [" evicted: ", " is corrupt: ", " failed: E"].iter();
        let Some(place) = accusation.filter_map(|a| line.find(a)).min() else {
            continue;
        };
        let accused = line[..place].rsplit(' ').next();
        assert_eq!(accused, culprit, "{line}\n{said}");
    }
}

/// A first worker with faults on purpose, who has slot 0, and others without.
fn workers(run: &mut Run, faults: &str, count: usize) -> Vec<Worker> {
    let one_thread = ["--threads", "1"];
    let mut all = vec![run.worker_with(&one_thread, faults)];
    run.event("worker_joined");
    all.extend((1..count).map(|_| run.worker(&one_thread)));
    all
}

/// Steps that a run committed, in the order of its log.
fn steps(finished: &Finished) -> Vec<u64> {
    let log = finished.lines("logs/cluster.jsonl");
    log.iter()
        .filter(|l| l["event"] == "step")
        .filter_map(|l| l["step"].as_u64())
        .collect()
}

/// Flips the lowest bit of the last byte of a file.
fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file, bytes).unwrap();
}
