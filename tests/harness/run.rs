//! One run in a folder of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::network::Node;
use super::programs::{coordinator, device, finished_or, repository, within, worker};
use super::proxy::Proxy;

/// How long a small run may take on a crowded machine.
const DEADLINE: Duration = Duration::from_secs(90);

/// A coordinator that runs, and the events it prints.
pub struct Run {
    /// The folder everything happens in.
    pub folder: PathBuf,
    /// Where workers reach it.
    pub address: String,
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

/// A worker process.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

/// What a run left.
pub struct Finished {
    /// Exit code of the coordinator.
    pub code: Option<i32>,
    /// Its events, in order.
    pub events: Vec<Value>,
    /// What it said to people.
    pub stderr: String,
    /// The output folder.
    pub output: PathBuf,
}

impl Run {
    /// Writes `lines` (over sensible small defaults) as configuration.
    #[must_use]
    pub fn config(folder: &Path, lines: &[(&str, &str)]) -> PathBuf {
        let repository = repository();
        let text = |path: &str| repository.join(path).display().to_string();
        let (data, base) = (text("data/law_train"), text("models/tiny-law"));
        let device = device();
        let mut keys: BTreeMap<&str, &str> = [
            ("train_data_dir", data.as_str()),
            ("base_model", base.as_str()),
            ("output_dir", "out"),
            ("device", device.as_str()),
            ("lora_rank", "4"),
            ("batch_size", "8"),
            ("micro_batch_size", "1"),
            ("learning_rate", "1e-3"),
            ("max_steps", "5"),
            ("max_seq_length", "128"),
        ]
        .into();
        keys.extend(lines.iter().copied());
        let text: String = keys.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
        let path = folder.join("run.yaml");
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{e}"));
        path
    }

    /// Starts a coordinator on a free port.
    #[must_use]
    pub fn start(folder: &Path, config: &Path, arguments: &[&str]) -> Self {
        Self::start_with(folder, config, arguments, "")
    }

    /// The same with faults on purpose.
    #[must_use]
    pub fn start_with(folder: &Path, config: &Path, arguments: &[&str], faults: &str) -> Self {
        let here = ["--listen", "127.0.0.1:0"];
        let arguments = [&here, arguments].concat();
        Self::begin(coordinator(), folder, config, &arguments, faults)
    }

    /// The same in a network of the test's own.
    #[must_use]
    pub fn start_in(node: &Node, folder: &Path, config: &Path, arguments: &[&str]) -> Self {
        let listen = format!("{}:0", node.address);
        let here = ["--listen", listen.as_str(), "--insecure"];
        let arguments = [&here, arguments].concat();
        Self::begin(node.inside(coordinator()), folder, config, &arguments, "")
    }

    fn begin(
        mut program: Command,
        folder: &Path,
        config: &Path,
        arguments: &[&str],
        faults: &str,
    ) -> Self {
        let errors = File::options()
            .create(true)
            .append(true)
            .open(folder.join("stderr.txt"));
        let errors = errors.unwrap_or_else(|e| panic!("{e}"));
        let mut child = program
            .current_dir(folder)
            .arg("up")
            .arg("--config")
            .arg(config)
            .args(["--output", "json"])
            .args(arguments)
            .env(shared::faults::VARIABLE, faults)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        let (sender, events) = mpsc::channel();
        let stdout = child.stdout.take();
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line)
                    .unwrap_or_else(|e| panic!("not one JSON object a line: {e}: {line}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let folder = folder.to_path_buf();
        let mut run = Self {
            folder,
            address: String::new(),
            child,
            events,
            seen: Vec::new(),
        };
        let listening = run.event("listening");
        run.address = listening["address"].as_str().unwrap_or_default().to_owned();
        run
    }

    /// Waits for the next event of a name.
    pub fn event(&mut self, name: &str) -> Value {
        self.event_within(name, DEADLINE)
    }

    /// The next event of any name, if one comes in this time.
    pub fn next_event(&mut self, time: Duration) -> Option<Value> {
        let event = self.events.recv_timeout(time).ok()?;
        self.seen.push(event.clone());
        Some(event)
    }

    /// The same as [`Run::event`] with a deadline of its own.
    pub fn event_within(&mut self, name: &str, deadline: Duration) -> Value {
        let end = Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if event["event"] == name {
                        return event;
                    }
                }
                Err(e) => panic!("no event `{name}`: {e}\n{}", self.stderr()),
            }
        }
    }

    /// Waits until people are told something that contains `text`.
    pub fn told(&mut self, text: &str) -> String {
        loop {
            let notice = self.event("notice");
            let said = notice["text"].as_str().unwrap_or_default();
            if said.contains(text) {
                return said.to_owned();
            }
        }
    }

    /// Starts a worker that joins this run.
    #[must_use]
    pub fn worker(&self, arguments: &[&str]) -> Worker {
        self.worker_with(arguments, "")
    }

    /// The same with faults on purpose.
    #[must_use]
    pub fn worker_with(&self, arguments: &[&str], faults: &str) -> Worker {
        self.worker_at(&self.address, arguments, faults)
    }

    /// The same over another address, that of a [`Proxy`](crate::Proxy) for instance.
    #[must_use]
    pub fn worker_at(&self, address: &str, arguments: &[&str], faults: &str) -> Worker {
        self.join(worker(), address, arguments, faults)
    }

    /// A worker that other workers reach over this line only.
    #[must_use]
    pub fn worker_behind(&self, line: &Proxy, arguments: &[&str], faults: &str) -> Worker {
        let listen = line.peer();
        let there = ["--listen", listen.as_str(), "--advertise", Proxy::HOST];
        self.worker_with(&[&there, arguments].concat(), faults)
    }

    /// Starts a worker with a variable of its own in its environment.
    #[must_use]
    pub fn worker_where(&self, variable: (&str, &str), arguments: &[&str]) -> Worker {
        let mut program = worker();
        program.env(variable.0, variable.1);
        self.join(program, &self.address, arguments, "")
    }

    /// Starts a worker that may have this much memory of its own.
    #[must_use]
    pub fn worker_within(&self, megabytes: u64, arguments: &[&str]) -> Worker {
        self.join(within(worker(), megabytes), &self.address, arguments, "")
    }

    /// Starts a worker in a network of the test's own.
    #[must_use]
    pub fn worker_in(&self, node: &Node, arguments: &[&str]) -> Worker {
        let listen = format!("{}:0", node.address);
        let here = ["--listen", listen.as_str(), "--insecure"];
        let arguments = [&here, arguments].concat();
        self.join(node.inside(worker()), &self.address, &arguments, "")
    }

    fn join(
        &self,
        mut program: Command,
        address: &str,
        arguments: &[&str],
        faults: &str,
    ) -> Worker {
        let number = std::fs::read_dir(&self.folder).map_or(0, Iterator::count);
        let log = self.folder.join(format!("worker-{number}.log"));
        let output = File::create(&log).unwrap_or_else(|e| panic!("{e}"));
        let errors = output.try_clone().unwrap_or_else(|e| panic!("{e}"));
        let child = program
            .args(["join", address])
            .args(arguments)
            .env(shared::faults::VARIABLE, faults)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        Worker { child, log }
    }

    /// Kills the workers that the coordinator started itself.
    pub fn kill_local_workers(&self) {
        let process = self.child.id();
        let path = format!("/proc/{process}/task/{process}/children");
        let children = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{e}"));
        let children = children.split_whitespace().map(|id| id.parse());
        for child in children.map_while(Result::ok) {
            signal(child, "KILL");
        }
    }

    /// Sends a signal by its name to the coordinator.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr.txt")).unwrap_or_default()
    }

    /// What it said to people so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.stderr()
    }

    /// Waits until the process is gone, whatever it leaves; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.end().code()
    }

    fn end(&mut self) -> std::process::ExitStatus {
        let errors = self.folder.join("stderr.txt");
        let said = || std::fs::read_to_string(errors).unwrap_or_default();
        finished_or(&mut self.child, DEADLINE, said)
    }

    /// Waits for the end.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        let status = self.end();
        while let Ok(event) = self.events.recv_timeout(Duration::from_secs(1)) {
            self.seen.push(event);
        }
        Finished {
            code: status.code(),
            stderr: self.stderr(),
            output: self.folder.join("out"),
            events: std::mem::take(&mut self.seen),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    /// What it wrote so far.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has written something that contains `text`.
    pub fn told(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.said().contains(text) {
            assert!(
                Instant::now() < end,
                "nobody wrote `{text}`\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, also when it is stopped.
    pub fn kill(&self) {
        let _ = std::process::Command::new("kill")
            .args(["-s", "KILL", &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end: exit code and everything it wrote.
    #[must_use]
    pub fn finish(mut self) -> (Option<i32>, String) {
        let said = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let status = finished_or(&mut self.child, DEADLINE, said);
        (
            status.code(),
            std::fs::read_to_string(&self.log).unwrap_or_default(),
        )
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(process: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status();
    assert!(sent.is_ok_and(|s| s.success()), "kill -s {name} {process}");
}

impl Finished {
    /// Runs with local workers to the end.
    #[must_use]
    pub fn local(folder: &Path, lines: &[(&str, &str)], workers: usize) -> Self {
        let config = Run::config(folder, lines);
        let workers = workers.to_string();
        Run::start(folder, &config, &["--local-workers", &workers]).finish()
    }

    /// Runs with two workers, of whom one is killed after the second step.
    #[must_use]
    pub fn killed(folder: &Path, lines: &[(&str, &str)]) -> Self {
        let config = Run::config(folder, lines);
        let mut run = Run::start(folder, &config, &["--wait-workers", "2"]);
        let (stays, dies) = (run.worker(&[]), run.worker(&[]));
        run.event("step");
        run.event("step");
        dies.signal("KILL");
        let finished = run.finish();
        assert_eq!(stays.finish().0, Some(0));
        finished
    }

    /// Stopped after the second step with two workers, and resumed with one.
    #[must_use]
    pub fn resumed(folder: &Path, lines: &[(&str, &str)]) -> Self {
        let config = Run::config(folder, lines);
        let mut run = Run::start(folder, &config, &["--local-workers", "2"]);
        run.event("step");
        run.event("step");
        run.signal("TERM");
        let stopped = run.finish();
        assert_eq!(stopped.code, Some(6), "{}", stopped.stderr);
        Run::start(folder, &config, &["--local-workers", "1"]).finish()
    }

    /// SHA-256 of the adapter.
    #[must_use]
    pub fn adapter(&self) -> String {
        let path = self.output.join("adapter_model.safetensors");
        let bytes = std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), self.stderr));
        shared::hex::hex(&Sha256::digest(bytes))
    }

    /// `log_history` of `trainer_state.json`.
    #[must_use]
    pub fn log_history(&self) -> Value {
        self.json("trainer_state.json")["log_history"].clone()
    }

    /// A JSON file of the output folder.
    #[must_use]
    pub fn json(&self, name: &str) -> Value {
        let path = self.output.join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), self.stderr));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Lines of a JSONL file of the output folder.
    #[must_use]
    pub fn lines(&self, name: &str) -> Vec<Value> {
        let path = self.output.join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), self.stderr));
        text.lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect()
    }

    /// What each evaluation came to, without who computed it and how long that took.
    #[must_use]
    pub fn evaluations(&self) -> Vec<Value> {
        let mut evaluations: Vec<_> = self.events("evaluation").into_iter().cloned().collect();
        for evaluation in &mut evaluations {
            let fields = evaluation.as_object_mut().into_iter();
            fields.for_each(|fields| {
                fields.retain(|key, _| {
                    !["term", "generation", "compute_us", "wall_us"].contains(&key.as_str())
                });
            });
        }
        evaluations
    }

    /// Events of a name.
    #[must_use]
    pub fn events(&self, name: &str) -> Vec<&Value> {
        self.events.iter().filter(|e| e["event"] == name).collect()
    }
}
