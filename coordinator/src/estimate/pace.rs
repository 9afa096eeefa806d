//! How long a run takes, from a measured rate; no rate is ever invented.
//!
//! In: a rate, or the history of a run of the same configuration in its output folder. Out: seconds, or the reason why
//! the time is not known. Rates are computed tokens (padding included) per second of one worker. Not here: loading,
//! waiting for workers, checkpoints.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::ids::Step;
use shared::plan::{MicroBatchPlan, Plan};

use super::counts::Counts;

/// The time of a run, and the rate it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Computed tokens per second of one worker.
    pub tokens_per_second: Option<f64>,
    /// Seconds for the whole run, without loading and checkpoints.
    pub seconds: Option<f64>,
    /// Where the rate comes from, or why there is none.
    pub source: String,
}

/// The rate that an earlier run of the same plan measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Computed tokens per second of one worker.
    pub rate: f64,
    /// Seconds of a step's reduce and update, by the slowest member, on average.
    pub between: f64,
    /// Number of steps that the averages are taken over.
    pub steps: u64,
}

#[derive(Deserialize)]
struct StepLine {
    step: Step,
    compute_us: BTreeMap<String, u64>,
    reduce_us: u64,
    apply_us: u64,
}

/// The rate in a run's `logs/cluster.jsonl`, whose steps are those of `plan`; `None` without a usable line. The first
/// step, which allocates memory, counts only when it is the only one.
///
/// `rate = sum of computed tokens / sum of all workers' compute seconds`; `between = sum of (reduce + apply) seconds /
/// steps`.
#[must_use]
pub fn measured(cluster: &Path, plan: &Plan) -> Option<Measured> {
    let text = std::fs::read_to_string(cluster).ok()?;
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let all: BTreeMap<Step, StepLine> = lines.map(|line: StepLine| (line.step, line)).collect();
    let later: Vec<&StepLine> = all.values().skip(usize::from(all.len() > 1)).collect();
    let (mut tokens, mut compute, mut between) = (0u64, 0u64, 0u64);
    for line in &later {
        let step = plan.step(line.step);
        tokens += step
            .micro_batches
            .iter()
            .map(MicroBatchPlan::computed_tokens)
            .sum::<u64>();
        compute += line.compute_us.values().sum::<u64>();
        between += line.reduce_us + line.apply_us;
    }
    (compute > 0 && tokens > 0).then(|| Measured {
        rate: tokens as f64 / (compute as f64 / 1e6),
        between: between as f64 / 1e6 / later.len() as f64,
        steps: later.len() as u64,
    })
}

/// The time at a rate that `--rate` gives: `seconds = busiest_tokens / rate`, without reduce and update.
#[must_use]
pub fn given(rate: f64, counts: &Counts) -> Time {
    Time {
        tokens_per_second: Some(rate),
        seconds: Some(counts.busiest_tokens as f64 / rate),
        source: "--rate, without reduce and update".into(),
    }
}

/// The time at the rate of an earlier run: `seconds = busiest_tokens / rate + steps * between`.
#[must_use]
pub fn as_before(measured: &Measured, counts: &Counts) -> Time {
    let compute = counts.busiest_tokens as f64 / measured.rate;
    Time {
        tokens_per_second: Some(measured.rate),
        seconds: Some(compute + counts.steps as f64 * measured.between),
        source: format!(
            "{} steps of this run in output_dir, their reduce and update included",
            measured.steps
        ),
    }
}

/// A time that is not known, with the reason.
#[must_use]
pub fn unknown(why: &str) -> Time {
    Time {
        tokens_per_second: None,
        seconds: None,
        source: format!("not known: {why}; give --rate TOKENS_PER_SECOND"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::tests::config;

    fn plan() -> Plan {
        let mut config = config();
        (config.batch_size, config.micro_batch_size) = (2, 1);
        Plan::new(&config, vec![1; 4], vec![50; 4])
    }

    fn line(step: u64, compute: [u64; 2]) -> String {
        format!(
            r#"{{"event":"step","step":{step},"compute_us":{{"a":{},"b":{}}},"reduce_us":3000,"apply_us":1000}}"#,
            compute[0], compute[1]
        )
    }

    #[test]
    fn the_rate_is_that_of_the_steps_after_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.jsonl");
        assert_eq!(measured(&file, &plan()), None);
        let lines = [
            r#"{"event":"joined","worker":"a"}"#.to_owned(),
            line(1, [900_000, 900_000]),
            line(2, [100_000, 100_000]),
            line(3, [100_000, 100_000]),
            r#"{"event":"st"#.to_owned(),
        ];
        std::fs::write(&file, lines.join("\n")).unwrap();
        let found = measured(&file, &plan()).unwrap();
        assert_eq!(found.steps, 2);
        assert!((found.rate - 500.0).abs() < 1e-9, "{found:?}");
        assert!((found.between - 0.004).abs() < 1e-12);
    }

    #[test]
    fn seconds_follow_the_busiest_worker() {
        let counts = Counts {
            steps: 10,
            busiest_tokens: 1000,
            ..Counts::default()
        };
        assert_eq!(given(500.0, &counts).seconds, Some(2.0));
        let measured = Measured {
            rate: 500.0,
            between: 0.1,
            steps: 3,
        };
        assert_eq!(as_before(&measured, &counts).seconds, Some(3.0));
        assert_eq!(unknown("no earlier run").seconds, None);
    }
}
