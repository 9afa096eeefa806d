//! A coordinator that leads scripted workers, and what `/proc` and its output folder say of it.
//!
//! In: a folder, a number of workers. Out: its address, its steps as they are committed, its processor time,
//! memory, descriptors and bytes written. Keeps: the process ends with the value.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cluster_tests::{Run, coordinator, output};
use serde_json::{Value, json};

use super::scripted::Cast;

const DEADLINE: Duration = Duration::from_secs(300);

/// A coordinator that leads scripted workers.
pub(crate) struct Led {
    child: Child,
    pub(crate) address: String,
    events: Receiver<Value>,
    /// The newest step that was heard of.
    pub(crate) step: u64,
    output: PathBuf,
    ticks: f64,
}

/// What it has cost so far.
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) step: u64,
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// Bytes in the output folder.
    pub(crate) written: u64,
}

impl Led {
    /// Starts it and waits until it listens.
    pub(crate) fn start(folder: &Path, workers: usize) -> Self {
        let (batch, data) = (workers * 2, folder.join("data"));
        rows(&data, batch * 2);
        let (batch, data) = (batch.to_string(), data.display().to_string());
        let lines = [
            ("train_data_dir", data.as_str()),
            ("batch_size", batch.as_str()),
            ("max_steps", "1000000"),
            ("save_steps", "1000000"),
            ("failure_detection", "60"),
        ];
        let config = Run::config(folder, &lines);
        let mut child = coordinator()
            .current_dir(folder)
            .args(["up", "--output", "json", "--listen", "127.0.0.1:0"])
            .args(["--wait-workers", &workers.to_string(), "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("stderr.txt")).unwrap())
            .spawn()
            .unwrap();
        let (sender, events) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut clock = std::process::Command::new("getconf");
        clock.arg("CLK_TCK");
        let ticks = output(clock, DEADLINE).stdout;
        let ticks = String::from_utf8(ticks).unwrap().trim().parse().unwrap();
        let mut led = Self {
            child,
            address: String::new(),
            events,
            step: 0,
            output: folder.join("out"),
            ticks,
        };
        while led.address.is_empty() {
            let event = led.events.recv_timeout(DEADLINE).unwrap();
            if event["event"] == "listening" {
                led.address = event["address"].as_str().unwrap().to_owned();
            }
        }
        led
    }

    /// Waits for a step.
    pub(crate) fn until(&mut self, step: u64, cast: &Cast) {
        let end = Instant::now() + DEADLINE;
        while self.step < step {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) if event["event"] == "step" => {
                    self.step = event["step"].as_u64().unwrap();
                }
                Ok(_) => {}
                Err(e) => panic!(
                    "step {step}, after {}: {e}; {:?}",
                    self.step,
                    cast.troubles()
                ),
            }
        }
    }

    /// Takes in what has happened meanwhile.
    pub(crate) fn skip(&mut self) {
        for event in self.events.try_iter() {
            if event["event"] == "step" {
                self.step = event["step"].as_u64().unwrap();
            }
        }
    }

    /// What it has cost up to here.
    pub(crate) fn now(&mut self) -> Now {
        self.skip();
        let stat = self.proc("stat");
        // After the name in brackets comes the state, which is field 3; 14 and 15 are wanted.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let times = fields.skip(11).take(2).map(|f| f.parse::<f64>().unwrap());
        Now {
            at: Instant::now(),
            step: self.step,
            cpu: times.sum::<f64>() / self.ticks,
            written: size(&self.output),
        }
    }

    /// Bytes of memory, a line of `status`.
    pub(crate) fn resident(&self, field: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|l| l.starts_with(field)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// Bytes received and sent for each step from one to another.
    pub(crate) fn traffic(&self, from: u64, to: u64) -> (f64, f64) {
        let text = std::fs::read_to_string(self.output.join("logs/cluster.jsonl")).unwrap();
        let lines = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let lines: Vec<_> = lines.filter(|l| l["event"] == "step").collect();
        let at = |step: u64, name: &str| {
            let line = lines.iter().find(|l| l["step"] == step).unwrap();
            line[name].as_f64().unwrap()
        };
        let a_step = |name| (at(to, name) - at(from, name)) / (to - from) as f64;
        (
            a_step("coordinator_bytes_received"),
            a_step("coordinator_bytes_sent"),
        )
    }

    /// The newest line of each kind that it has written.
    pub(crate) fn lines(&self) -> BTreeMap<String, String> {
        let mut newest = BTreeMap::new();
        for file in ["logs/cluster.jsonl", "metrics.jsonl", "ledger.jsonl"] {
            let text = std::fs::read_to_string(self.output.join(file)).unwrap();
            // The last line may be half written.
            let whole = text.rsplit_once('\n').unwrap().0;
            for line in whole.lines().rev().take(100) {
                let value: Value = serde_json::from_str(line).unwrap();
                let named = ["event", "record", "kind"]
                    .iter()
                    .find_map(|k| value[k].as_str());
                let keys = value.as_object().unwrap().keys();
                let kind = named.map_or_else(
                    || keys.cloned().collect::<Vec<_>>().join(" "),
                    str::to_owned,
                );
                let name = format!("{file}, {kind}");
                newest.entry(name).or_insert_with(|| line.to_owned());
            }
        }
        newest
    }
}

impl Drop for Led {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn rows(folder: &Path, count: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let row = |i: usize| {
        let row = json!({"messages": [
            {"role": "user", "content": format!("第{i}个问题怎么办？")},
            {"role": "assistant", "content": format!("依据第{i}条处理。")},
        ]});
        format!("{row}\n")
    };
    let rows: String = (0..count).map(row).collect();
    std::fs::write(folder.join("train.jsonl"), rows).unwrap();
}
