//! Faults for ten minutes: how much of the workers' time became credited micro-batches?
//!
//! Two workers of one thread, a fault every 30 s, all kinds in turn, whoever is lost is replaced. It
//! judges too: every sample once, and the state of the step it stopped at has the bytes of an undisturbed run.
//! Goodput of a window of 30 s: credited compute time over the time of the workers that were members
//! in it, divided by the same quotient of its last 20 s, when the fault is long over: the same
//! machine in the same minute. Everything a fault takes away from members counts against it, the
//! loading of a replacement too; only the time without a lost worker does not.

use std::path::Path;
use std::time::{Duration, Instant};

use cluster_tests::{Finished, Proxy, Run, Worker, coordinator, output};
use serde_json::Value;

use super::spread::Spread;

const WINDOW: Duration = Duration::from_secs(30);
/// The calm end of each.
const CALM: Duration = Duration::from_secs(20);
const LEASE: f64 = 4.0;
/// Bytes in a second over the slow line: an all-reduce then takes about three leases.
const SLOW: u64 = 7_000;
const LINES: &[(&str, &str)] = &[
    ("max_steps", "1000000"),
    ("save_steps", "50"),
    ("save_total_limit", "2"),
    ("failure_detection", "4"),
    ("batch_size", "16"),
    ("micro_batch_size", "2"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Nothing,
    Kill,
    Drain,
    Reset,
    Coordinator,
    Silent,
    /// The second reset comes while the answer to the first greeting is on the line.
    TwoResets,
    /// The line between the workers.
    SlowLine,
    /// A new worker cannot write a checkpoint.
    CannotWrite,
    /// Whoever writes the next checkpoint writes another state, is evicted and replaced.
    WritesAnother,
}

const ORDER: [Kind; 10] = [
    Kind::Nothing,
    Kind::Kill,
    Kind::Drain,
    Kind::Reset,
    Kind::Coordinator,
    Kind::Silent,
    Kind::TwoResets,
    Kind::SlowLine,
    Kind::CannotWrite,
    Kind::WritesAnother,
];

/// What was seen in one window.
#[derive(Clone, Copy, Debug)]
struct Seen {
    kind: Kind,
    whole: Work,
    calm: Work,
}

/// What was done in a time.
#[derive(Clone, Copy, Debug)]
struct Work {
    /// Credited compute time, seconds.
    credited: f64,
    /// Seconds of membership, summed over the members.
    member: f64,
}

impl Work {
    fn rate(self) -> f64 {
        self.credited / self.member
    }
}

struct Soak {
    folder: tempfile::TempDir,
    run: Run,
    proxy: Proxy,
    /// Between the workers, one for each that ever came.
    peers: Vec<Proxy>,
    workers: Vec<Worker>,
    retired: Vec<Worker>,
    members: f64,
    since: Instant,
    member: f64,
    /// Micro-batches that workers held while the coordinator was away: credited, and not in its log.
    held: f64,
    last_step: u64,
    /// Sessions that came back, and writers whose files held another state.
    returned: u32,
    accused: u32,
}

pub(crate) fn measure() {
    let seconds: u64 = std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(600);
    let mut soak = Soak::start();
    let windows = (seconds / WINDOW.as_secs()).max(ORDER.len() as u64);
    let mut seen = Vec::new();
    for window in 0..windows {
        let kind = ORDER[usize::try_from(window).unwrap() % ORDER.len()];
        seen.push(soak.window(kind));
        println!("{:?}", seen.last().unwrap());
    }
    soak.end(&seen);
}

impl Soak {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Run::config(folder.path(), LINES);
        let run = Run::start(folder.path(), &config, &["--wait-workers", "2"]);
        let proxy = Proxy::to(&run.address);
        let mut soak = Self {
            folder,
            run,
            proxy,
            peers: Vec::new(),
            workers: Vec::new(),
            retired: Vec::new(),
            members: 0.0,
            since: Instant::now(),
            member: 0.0,
            held: 0.0,
            last_step: 0,
            returned: 0,
            accused: 0,
        };
        soak.join();
        soak.join();
        soak.until(|s| s.members == 2.0);
        soak.watch(Duration::from_secs(10));
        soak
    }

    fn join(&mut self) {
        self.join_with("");
    }

    fn join_with(&mut self, faults: &str) {
        let peer = Proxy::to_peer();
        let listen = peer.peer();
        let there = [
            "--threads",
            "1",
            "--listen",
            &listen,
            "--advertise",
            Proxy::HOST,
        ];
        let worker = self.run.worker_at(&self.proxy.address(), &there, faults);
        self.workers.push(worker);
        self.peers.push(peer);
    }

    /// The worker that came first goes, as it is told to.
    fn replace_first(&mut self, signal: &str, faults: &str) {
        let victim = self.workers.remove(0);
        victim.signal(signal);
        self.until(|s| s.members == 1.0);
        if signal != "TERM" {
            victim.kill();
        }
        self.retired.push(victim);
        self.join_with(faults);
    }

    /// Takes one event in, or lets a moment pass.
    fn hear(&mut self) {
        let event = self.run.next_event(Duration::from_millis(20));
        let Some(event) = event else { return };
        if event["event"] == "step" {
            self.last_step = event["step"].as_u64().unwrap();
        }
        let text = event["text"].as_str().unwrap_or_default();
        if let Some(members) = text.strip_prefix("generation ").and_then(members) {
            self.settle();
            self.members = members;
        }
        self.returned += u32::from(text.contains(" is back, as "));
        self.accused += u32::from(text.contains("do not hold the agreed state"));
        if let Some(held) = held(text) {
            self.held += held;
        }
    }

    fn settle(&mut self) {
        let now = Instant::now();
        self.member += self.members * now.duration_since(self.since).as_secs_f64();
        self.since = now;
    }

    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.hear();
        }
    }

    fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !wanted(self) {
            assert!(Instant::now() < end, "not reached in 60 s");
            self.hear();
        }
    }

    fn window(&mut self, kind: Kind) -> Seen {
        let begun = self.mark();
        let end = Instant::now() + WINDOW;
        self.strike(kind);
        self.watch((end - CALM).saturating_duration_since(Instant::now()));
        let settled = self.mark();
        self.watch(end.saturating_duration_since(Instant::now()));
        let ended = self.mark();
        // Whoever is not told to go stays: a line that is slow costs time, and nobody.
        assert_eq!(self.members, 2.0, "after {kind:?}");
        let between = |from: Work| Work {
            credited: ended.credited - from.credited,
            member: ended.member - from.member,
        };
        Seen {
            kind,
            whole: between(begun),
            calm: between(settled),
        }
    }

    /// What was done since the start.
    fn mark(&mut self) -> Work {
        self.settle();
        Work {
            credited: self.credited_seconds(),
            member: self.member,
        }
    }

    /// A new worker that soon is the one who writes checkpoints.
    fn join_as_first(&mut self, faults: &str) {
        self.replace_first("TERM", faults);
        self.until(|s| s.members == 2.0);
        self.replace_first("TERM", "");
    }

    fn strike(&mut self, kind: Kind) {
        match kind {
            Kind::Nothing => {}
            Kind::Kill => self.replace_first("KILL", ""),
            Kind::Silent => self.replace_first("STOP", ""),
            Kind::Drain => self.replace_first("TERM", ""),
            Kind::CannotWrite => self.join_as_first(&["checkpoint@*=full"; 100].join(",")),
            Kind::WritesAnother => {
                self.join_as_first("staged@*=flip");
                let accused = self.accused;
                self.until(|s| s.accused > accused);
                let spoiled = self.workers.remove(0);
                self.retired.push(spoiled);
                self.join();
            }
            Kind::TwoResets => {
                self.proxy.delay(Duration::from_millis(250));
                self.proxy.reset();
                let returned = self.returned;
                self.until(|s| s.returned > returned);
                self.proxy.reset_near();
                self.proxy.delay(Duration::ZERO);
            }
            Kind::SlowLine => {
                for peer in &self.peers {
                    peer.speed(SLOW);
                }
                self.watch(Duration::from_secs(15));
                for peer in &self.peers {
                    peer.speed(0);
                }
            }
            Kind::Reset => self.proxy.reset(),
            Kind::Coordinator => {
                self.run.signal("KILL");
                self.run.wait();
                let config = self.folder.path().join("run.yaml");
                self.run = Run::start(self.folder.path(), &config, &["--wait-workers", "2"]);
            }
        }
    }

    /// Compute time of everything committed so far; what was held while the coordinator was away
    /// took as long as the others in the middle.
    fn credited_seconds(&self) -> f64 {
        let path = self.folder.path().join("out/logs/cluster.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text
            .lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let sum = |value: &Value| -> f64 {
            let of = value.as_object().into_iter().flat_map(|o| o.values());
            of.filter_map(Value::as_f64).sum()
        };
        let (mut micros, mut micro_batches) = (0.0, 0.0);
        for line in lines {
            micros += sum(&line["compute_us"]);
            micro_batches += sum(&line["micro_batches"]);
        }
        micros * micro_batches / (micro_batches - self.held) / 1e6
    }

    fn end(self, seen: &[Seen]) {
        self.run.signal("TERM");
        let folder = self.folder.path().to_path_buf();
        let (last_step, retired) = (self.last_step, self.retired.len());
        let Self {
            run,
            folder: kept,
            workers,
            ..
        } = self;
        let stopped = run.finish();
        assert_eq!(stopped.code, Some(6), "{}", stopped.stderr);
        drop(workers);
        report(seen);
        println!("{retired} workers were lost, stopped near step {last_step}");
        for said in [
            "could not be written by",
            "do not hold the agreed state",
            "is back, as",
        ] {
            assert!(stopped.stderr.contains(said), "never seen: {said}");
        }
        audited(&folder);
        same_bytes(&stopped);
        drop(kept);
    }
}

/// Every sample was used once, as the ledger says.
fn audited(folder: &Path) {
    let mut audit = coordinator();
    audit
        .current_dir(folder)
        .args(["audit", "out", "--output", "json"]);
    let audited = output(audit, Duration::from_secs(60));
    let said = String::from_utf8_lossy(&audited.stdout).into_owned();
    let errors = String::from_utf8_lossy(&audited.stderr).into_owned();
    assert!(audited.status.success(), "{said}\n{errors}");
    let report = said.lines().find_map(|l| {
        let object: Value = serde_json::from_str(l).ok()?;
        (object["event"] == "audit").then_some(object)
    });
    let report = report.unwrap();
    println!(
        "{} samples used, lost {}, repeated {}",
        report["samples"], report["lost"], report["repeated"]
    );
    assert_eq!(
        (&report["lost"], &report["repeated"]),
        (&0.into(), &0.into())
    );
}

/// `K` of `... hold step N and K micro-batch(es) of the next ...`.
fn held(text: &str) -> Option<f64> {
    let (before, _) = text.split_once(" micro-batch(es) of the next")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// `N` of `generation G: N worker(s)`.
fn members(rest: &str) -> Option<f64> {
    let (_, workers) = rest.split_once(": ")?;
    workers.split(' ').next()?.parse().ok()
}

fn report(seen: &[Seen]) {
    for kind in &ORDER {
        let of = || seen.iter().filter(|s| s.kind == *kind);
        let goodput = Spread::of(of().map(|s| s.whole.rate() / s.calm.rate()));
        // Both members' time stands still while one is silent.
        let lost = |s: &Seen| (s.whole.member - s.whole.credited / s.calm.rate()) / 2.0 / LEASE;
        println!(
            "{kind:?}: goodput {:.4}, lost {:.2} leases, medians of {} windows",
            goodput.median(),
            Spread::of(of().map(lost)).median(),
            of().count()
        );
    }
}

/// The state of the step it stopped at is the one that an undisturbed run has there.
fn same_bytes(stopped: &Finished) {
    let checkpoint = stopped.events("checkpoint").last().unwrap()["step"]
        .as_u64()
        .unwrap();
    let state = |output: &Path| {
        let path = output.join(format!("checkpoint-{checkpoint}/manifest.json"));
        let manifest: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        manifest["state_digest"].as_str().unwrap().to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let config = Run::config(folder.path(), LINES);
    let mut run = Run::start(
        folder.path(),
        &config,
        &[
            "--set",
            &format!("save_steps={checkpoint}"),
            "--local-workers",
            "2",
        ],
    );
    run.event_within("checkpoint", Duration::from_secs(1200));
    let undisturbed = state(&folder.path().join("out"));
    println!(
        "state of step {checkpoint}: disturbed {}, undisturbed {undisturbed}",
        state(&stopped.output)
    );
    assert_eq!(state(&stopped.output), undisturbed);
}
