//! What takes long and goes on, and lines that break twice: nobody is at fault.

use std::time::Duration;

use cluster_tests::{Finished, Proxy, Run, one_long_row};
use serde_json::Value;

use super::{Told, complete, only_accuses, struck, told, workers};
use crate::cell::{LINES, Reference};

/// The largest number under a key of the log of steps, a map's largest value where it is one.
fn most(log: &[Value], key: &str) -> (u64, u64) {
    let numbers = |value: &Value| match value.as_object() {
        Some(map) => map.values().filter_map(Value::as_u64).max(),
        None => value.as_u64(),
    };
    let steps = log.iter().filter(|l| l["event"] == "step");
    let found = steps.filter_map(|l| Some((numbers(&l[key])?, l["step"].as_u64()?)));
    found.max().unwrap()
}

fn alone(lines: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), lines, 1);
    complete(&finished);
    finished.adapter()
}

/// The deadline of a device that hangs was 5/8 of this, whatever a micro-batch's size.
const KNOB: &str = "1";
const HUNG_MICROS: u64 = 625_000;

/// The other side of that: a device that really hangs is found, and nobody else.
pub(super) fn device_hangs() -> Told {
    let lines = [
        ("max_steps", "30"),
        ("save_steps", "100"),
        ("failure_detection", KNOB),
    ];
    let expected = alone(&lines);
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), &lines);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let all = workers(&mut run, "compute@5=hang", 2);
    let finished = run.finish();
    complete(&finished);
    let struck = struck(&all[0].said());
    assert_eq!(struck, ["Hang at compute of step 5"]);
    let found = "worker-1 evicted: alive, but its device does not finish micro-batch";
    told(&finished.stderr, found);
    only_accuses(&finished.stderr, Some("worker-1"));
    assert_eq!(finished.adapter(), expected, "{}", finished.stderr);
    let adapter = finished.adapter();
    Told { struck, adapter }
}

pub(super) fn long_row() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let data = one_long_row(folder.path());
    let lines = [
        ("train_data_dir", data.as_str()),
        ("max_steps", "6"),
        ("save_steps", "100"),
        ("max_seq_length", "4096"),
        ("failure_detection", KNOB),
    ];
    let expected = alone(&lines);
    let config = Run::config(folder.path(), &lines);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let all = workers(&mut run, "", 2);
    let finished = run.finish();
    complete(&finished);
    let (longest, step) = most(&finished.lines("logs/cluster.jsonl"), "compute_us");
    assert!(
        longest > 2 * HUNG_MICROS,
        "no trial of the deadline: {longest} us"
    );
    only_accuses(&finished.stderr, None);
    assert_eq!(finished.adapter(), expected, "{}", finished.stderr);
    drop(all);
    let struck = vec![format!(
        "{} ms of compute in step {step}, knob {KNOB} s",
        longest / 1000
    )];
    let adapter = finished.adapter();
    Told { struck, adapter }
}

/// Many chunks, each on the line for a while.
pub(super) fn slow_line() -> Told {
    let adapter = [("lora_rank", "16"), ("target_modules", "all-linear")];
    behind_slow_lines(&adapter, 240_000, [true, true])
}

/// One chunk alone is on the line for longer than nothing may move.
pub(super) fn one_chunk_on_a_slow_line() -> Told {
    behind_slow_lines(&[], 9_000, [true, true])
}

/// What two send to the third has left them at once, and they hear nothing for longer than nothing may move.
pub(super) fn one_way_slow_line() -> Told {
    behind_slow_lines(&[], 6_000, [false, false, true])
}

fn behind_slow_lines<const N: usize>(
    adapter: &[(&str, &str)],
    bytes_per_second: u64,
    slow: [bool; N],
) -> Told {
    let lines = [("max_steps", "2"), ("failure_detection", "2")];
    let lines = [&lines[..], adapter].concat();
    let expected = alone(&lines);
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), &lines);
    let all = N.to_string();
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", &all]);
    // Whoever opens a stream sends over the other one's line.
    let lines = slow.map(|slow| slow.then(Proxy::to_peer));
    let slow = || lines.iter().flatten();
    for line in slow() {
        line.speed(bytes_per_second);
    }
    let all = lines.each_ref().map(|line| {
        let alone = ["--threads", "1"];
        match line {
            Some(line) => run.worker_behind(line, &alone, ""),
            None => run.worker_with(&alone, ""),
        }
    });
    for _ in 0..2 {
        run.event("step");
    }
    for line in slow() {
        line.speed(0);
    }
    let finished = run.finish();
    complete(&finished);
    let (slowest, step) = most(&finished.lines("logs/cluster.jsonl"), "reduce_us");
    assert!(
        slowest > 3 * 2_000_000,
        "no trial of the deadline: {slowest} us"
    );
    only_accuses(&finished.stderr, None);
    assert!(
        !finished.stderr.contains("is repeated"),
        "{}",
        finished.stderr
    );
    assert_eq!(finished.adapter(), expected, "{}", finished.stderr);
    drop(all);
    let struck = vec![format!(
        "{} ms of all-reduce in step {step}, knob 2 s",
        slowest / 1000
    )];
    let adapter = finished.adapter();
    Told { struck, adapter }
}

/// The second break comes before the `Welcome`, and only the worker sees it: its third session opens
/// while the second still stands.
pub(super) fn two_resets() -> Told {
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
    let line = Proxy::to(&run.address);
    let paced = "compute@*=slow:10";
    let first = run.worker_at(&line.address(), &["--threads", "1"], paced);
    run.event("worker_joined");
    let second = run.worker_with(&["--threads", "1"], paced);
    run.event("step");
    // The coordinator has heard the greeting, and its answer is still on the line.
    line.delay(Duration::from_millis(250));
    line.reset();
    let back = run.told("worker-1 is back, as");
    line.reset_near();
    line.delay(Duration::ZERO);
    let again = run.told(" is back, as");
    let finished = run.finish();
    complete(&finished);
    told(&finished.stderr, &back);
    // Found by its incarnation: the session that nobody hears any more is the one that ends.
    let name = |notice: &str| notice.rsplit(' ').next().unwrap().to_owned();
    assert_ne!(
        name(&back),
        name(&again),
        "a name twice\n{}",
        finished.stderr
    );
    let returns = finished.stderr.matches(" is back, as").count();
    assert!(returns <= 3, "{returns} returns\n{}", finished.stderr);
    only_accuses(&finished.stderr, None);
    let adapter = finished.adapter();
    assert_eq!(adapter, Reference::one().adapter, "{}", finished.stderr);
    for worker in [first, second] {
        let (code, said) = worker.finish();
        assert_eq!(code, Some(0), "{said}");
    }
    let struck = vec![back, again];
    Told { struck, adapter }
}
