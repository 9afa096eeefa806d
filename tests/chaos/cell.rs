//! One run with one fault, and what it left.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use cluster_tests::{Finished, Run, Worker};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::faults::{Cost, Fault, Victim};

pub(crate) const LINES: &[(&str, &str)] = &[
    ("max_steps", "6"),
    ("save_steps", "2"),
    ("failure_detection", "1.5"),
    ("ride_through", "20"),
    ("lora_dropout", "0.1"),
];

/// What one worker without any fault gives.
pub(crate) struct Reference {
    pub(crate) adapter: String,
    pub(crate) samples: String,
    history: Value,
}

impl Reference {
    /// Taken once.
    pub(crate) fn one() -> &'static Self {
        static ONE: OnceLock<Reference> = OnceLock::new();
        ONE.get_or_init(Self::take)
    }

    fn take() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let finished = Finished::local(folder.path(), LINES, 1);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        Self {
            adapter: finished.adapter(),
            samples: sample_column(&finished),
            history: finished.log_history(),
        }
    }
}

/// One cell of the matrix.
pub(crate) struct Cell {
    workers: usize,
    fault: &'static str,
    struck: Vec<String>,
    lost: u64,
    adapter: String,
    samples: String,
    history: Value,
    code: Option<i32>,
    said: String,
    seconds: f64,
}

impl Cell {
    pub(crate) fn run(workers: usize, fault: &Fault) -> Self {
        let started = Instant::now();
        let folder = tempfile::tempdir().unwrap();
        let lines = [LINES, fault.settings].concat();
        let config = Run::config(folder.path(), &lines);
        let wait = workers.to_string();
        let planned = |who| {
            if fault.victim == who {
                fault.planned
            } else {
                ""
            }
        };
        // Whoever joins must have loaded before the last step: the others sleep in between.
        let joins = fault.victim == Victim::Joiner;
        let pace = format!("compute@*=slow:{}", 20 * workers);
        let others = if joins { pace.as_str() } else { "" };
        let arguments = ["--wait-workers", wait.as_str()];
        let mut run = Run::start_with(
            folder.path(),
            &config,
            &arguments,
            planned(Victim::Coordinator),
        );
        // A worker in slot 0 writes the checkpoints: the victim comes first.
        let first = if joins {
            others
        } else {
            planned(Victim::Worker)
        };
        let mut all = vec![run.worker_with(&["--threads", "1"], first)];
        run.event("worker_joined");
        all.extend((1..workers).map(|_| run.worker_with(&["--threads", "1"], others)));
        let mut late: Vec<Worker> = Vec::new();
        if joins {
            run.event("step");
            late.push(run.worker(&["--threads", "1"]));
        }
        if fault.victim == Victim::Coordinator {
            let ended = run.wait();
            let again = Run::start(folder.path(), &config, &arguments);
            if ended == Some(6) {
                // After an orderly end nobody holds anything: the workers were let go.
                all.clear();
                late.extend((0..workers).map(|_| again.worker(&["--threads", "1"])));
            }
            run = again;
        } else if workers == 1 && fault.victim == Victim::Worker {
            // Nobody else is there: somebody comes, and not before the victim is known to be gone.
            run.told(fault.gone());
            late.push(run.worker(&["--threads", "1"]));
        }
        let finished = run.finish();
        let victim = match fault.victim {
            Victim::Worker => all[0].said(),
            Victim::Coordinator => finished.stderr.clone(),
            Victim::Joiner => String::new(),
        };
        let logs: String = all.iter().chain(&late).map(Worker::said).collect();
        for worker in &all {
            // A stopped process would never end by itself.
            worker.kill();
        }
        drop((all, late));
        let complete = finished.code == Some(0);
        let lines = finished.lines("logs/cluster.jsonl");
        let said = format!("{}\n{}{logs}", finished.stderr, last_credits(&lines));
        let struck = if joins {
            counted_from(&lines).into_iter().collect()
        } else {
            victim
                .lines()
                .filter_map(|l| l.strip_prefix("fault: "))
                .map(str::to_owned)
                .collect()
        };
        Self {
            workers,
            fault: fault.name,
            struck,
            lost: lines.iter().filter_map(|l| l["recomputed"].as_u64()).sum(),
            adapter: if complete {
                finished.adapter()
            } else {
                String::new()
            },
            samples: if complete {
                sample_column(&finished)
            } else {
                String::new()
            },
            history: if complete {
                finished.log_history()
            } else {
                Value::Null
            },
            code: finished.code,
            said,
            seconds: started.elapsed().as_secs_f64(),
        }
    }

    pub(crate) fn check(
        &self,
        reference: &Reference,
        fault: &Fault,
        workers: usize,
    ) -> Result<(), String> {
        let said = || self.said.clone();
        if self.code != Some(0) {
            return Err(format!("exit {:?}\n{}", self.code, said()));
        }
        let planned = |place: &String| fault.places().contains(place);
        let as_planned = fault.victim == Victim::Joiner || self.struck.iter().all(planned);
        if self.struck.is_empty() || !as_planned {
            let (found, wanted) = (&self.struck, fault.places());
            return Err(format!("struck {found:?}, not {wanted:?}\n{}", said()));
        }
        if self.adapter != reference.adapter || self.samples != reference.samples {
            return Err(format!("other bytes\n{}", said()));
        }
        if self.history != reference.history {
            return Err("another log_history".into());
        }
        // With one worker nobody survives, and the run goes on from its newest checkpoint.
        if workers > 1 && !self.said.contains(fault.said) {
            return Err(format!("nobody said `{}`\n{}", fault.said, said()));
        }
        // A victim holds at most what it was given of the 8 micro-batches of its step.
        let alone = workers == 1;
        let most = match fault.cost {
            // The only worker that is told to leave gives its step up: nobody could take what it has of it.
            Cost::Nothing if alone && fault.victim == Victim::Worker => 7,
            Cost::Nothing => 0,
            Cost::ItsOwn if alone => 0,
            Cost::ItsOwn => 7,
        };
        if self.lost > most {
            return Err(format!(
                "{} micro-batches lost, at most {most}\n{}",
                self.lost,
                said()
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            self.workers,
            self.fault,
            self.struck.join("; "),
            self.lost,
            short(&self.adapter),
            short(&self.samples),
            self.seconds
        )
    }
}

/// Until when each worker computed something that counted, a line each.
fn last_credits(lines: &[Value]) -> String {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for line in lines {
        let Some(step) = line["step"].as_u64() else {
            continue;
        };
        let credits = line["micro_batches"].as_object().into_iter().flatten();
        for (worker, _) in credits.filter(|(_, n)| n.as_u64() > Some(0)) {
            last.insert(worker, step);
        }
    }
    let line = |(worker, step)| format!("{worker} computed nothing after step {step}\n");
    last.into_iter().map(line).collect()
}

/// Where somebody who joins began to count: the first step of a newer generation than that of step 1.
fn counted_from(lines: &[Value]) -> Option<String> {
    let steps = || lines.iter().filter(|line| line["event"] == "step");
    let generation = |line: &Value| line["generation"].as_u64();
    let first = steps().find_map(generation)?;
    let later = steps().find(|l| generation(l).is_some_and(|g| g > first))?;
    let step = later["step"].as_u64()?;
    Some(format!("join at boundary before step {step}"))
}

/// SHA-256 over what was credited: `step: rows`, in the order of steps and micro-batches. A step
/// that was committed again must have the same rows.
fn sample_column(finished: &Finished) -> String {
    let mut rows: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for line in read(&finished.output) {
        if line["kind"] != "commit" {
            continue;
        }
        let step = line["step"].as_u64().unwrap();
        let credits = line["micro_batches"].as_array().unwrap();
        let ids: Vec<_> = credits
            .iter()
            .map(|c| c["micro_batch"].as_u64().unwrap())
            .collect();
        assert!(
            ids.windows(2).all(|w| w[0] < w[1]),
            "once each, in order: {ids:?}"
        );
        let samples = credits
            .iter()
            .flat_map(|c| c["samples"].as_array().unwrap());
        let samples: Vec<_> = samples.map(|s| s.as_u64().unwrap()).collect();
        let before = rows.insert(step, samples.clone());
        assert!(
            before.is_none_or(|b| b == samples),
            "step {step} came out differently"
        );
    }
    assert!(
        rows.keys().copied().eq(1..=rows.len() as u64),
        "a gap: {:?}",
        rows.keys()
    );
    let mut hasher = Sha256::new();
    for (step, samples) in rows {
        let samples: Vec<_> = samples.iter().map(ToString::to_string).collect();
        hasher.update(format!("{step}: {}\n", samples.join(",")));
    }
    shared::hex::hex(&hasher.finalize())
}

fn read(output: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(output.join("ledger.jsonl")).unwrap();
    text.lines()
        .map(|l| record(&serde_json::from_str(l).unwrap()))
        .collect()
}

/// The record of a line, whether it stands in the line itself or under a key of its own.
fn record(line: &Value) -> Value {
    line.get("record").cloned().unwrap_or_else(|| line.clone())
}
