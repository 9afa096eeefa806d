//! One run: hosts on a virtual network, and faults that strike it.

use std::collections::BTreeMap;
use std::time::Duration;

use turmoil::Sim;

use super::leader::lead;
use super::member::{host, work};
use super::scene::Handle;
use crate::invariants::Violation;
use crate::plan::{Dice, Fault, Kind, Moment};

const COORDINATOR: &str = "coordinator";
/// A run that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(1);

/// What a network of TCP streams and its processes can suffer.
pub(super) const KINDS: &[Kind] = &[
    Kind::Kill,
    Kind::KillAll,
    Kind::Pause,
    Kind::Reset,
    Kind::ResetTwice,
    Kind::Blackhole,
    Kind::OneWay,
    Kind::PeerCut,
    Kind::Slow,
    Kind::Hang,
    Kind::Drain,
    Kind::DrainLast,
    Kind::Join,
    Kind::CoordinatorKill,
    Kind::Interrupt,
    Kind::CheckpointFails,
    Kind::CheckpointRots,
    Kind::StagingFails,
    Kind::LedgerFails,
    Kind::BitBeforeStage,
    Kind::CorruptSum,
    Kind::CorruptState,
    Kind::WrongCompute,
];

/// What will happen by itself.
enum Later {
    NewWorker,
    CoordinatorStarts,
    /// Every line of this worker is whole again, what was held arrives.
    Heal(usize),
    StorageHeals,
}

/// A run and what strikes it.
pub(super) struct Run {
    pub(super) scene: Handle,
    sim: Sim<'static>,
    /// Workers, and whether each is there.
    workers: Vec<bool>,
    later: BTreeMap<(Duration, u64), Later>,
    sequence: u64,
    pending: Vec<Fault>,
    leads: bool,
    pub(super) struck: Vec<(Kind, Moment)>,
}

impl Run {
    pub(super) fn new(seed: u64) -> Self {
        let scene = Handle::new(Dice::new(seed), KINDS);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(PATIENCE * 2)
            .min_message_latency(Duration::from_micros(100))
            .max_message_latency(Duration::from_millis(4))
            .tcp_capacity(1 << 12)
            .build();
        let of = scene.clone();
        sim.host(COORDINATOR, move || lead(of.clone()));
        let pending = scene.lock().setting.faults.clone();
        let mut run = Self {
            scene,
            sim,
            workers: Vec::new(),
            later: BTreeMap::new(),
            sequence: 0,
            pending,
            leads: true,
            struck: Vec::new(),
        };
        let workers = run.scene.lock().setting.workers;
        for _ in 0..workers {
            let delay = run.scene.lock().millis(0, 500);
            run.after(delay, Later::NewWorker);
        }
        run
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn go(&mut self) -> Result<(), Violation> {
        loop {
            if let Err(error) = self.sim.step() {
                return Err(Violation::new("progress", error.to_string()));
            }
            self.happen();
            let mut scene = self.scene.lock();
            if let Some(what) = scene.store.contradiction() {
                return Err(Violation::new("rules of the ledger", what));
            }
            if let Some(violation) = scene.violation.take() {
                return Err(violation);
            }
            if scene.complete {
                break;
            }
            if self.sim.elapsed() > PATIENCE {
                let what = format!("not complete after {PATIENCE:?}, at {}", scene.committed);
                return Err(Violation::new("progress", what));
            }
            drop(scene);
            self.look_who_ended();
            self.strike_when_due();
        }
        let scene = self.scene.lock();
        scene.judge.end(&scene.store)
    }

    /// Virtual time so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    fn after(&mut self, delay: Duration, later: Later) {
        self.sequence += 1;
        let at = self.sim.elapsed() + delay;
        self.later.insert((at, self.sequence), later);
    }

    fn happen(&mut self) {
        let now = self.sim.elapsed();
        while let Some(first) = self.later.first_entry() {
            if first.key().0 > now {
                return;
            }
            match first.remove() {
                Later::NewWorker => {
                    let (number, scene) = (self.workers.len(), self.scene.clone());
                    self.sim
                        .host(host(number), move || work(number, scene.clone()));
                    self.workers.push(true);
                }
                Later::CoordinatorStarts => {
                    self.sim.bounce(COORDINATOR);
                    self.leads = true;
                }
                Later::Heal(worker) => self.heal(worker),
                Later::StorageHeals => {
                    let mut scene = self.scene.lock();
                    scene.store.heal();
                }
            }
        }
    }

    fn living(&self) -> Vec<usize> {
        let all = self.workers.iter().enumerate();
        all.filter(|(_, alive)| **alive).map(|(n, _)| n).collect()
    }

    /// Somebody new comes when too few are left, and a coordinator that was asked to end is started
    /// again.
    fn look_who_ended(&mut self) {
        for number in self.living() {
            if !self.sim.is_host_running(host(number)) {
                self.gone(number);
            }
        }
        if self.leads && !self.sim.is_host_running(COORDINATOR) {
            self.leads = false;
            let delay = self.scene.lock().millis(1, 500);
            self.after(delay, Later::CoordinatorStarts);
        }
    }

    fn gone(&mut self, number: usize) {
        self.workers[number] = false;
        let left = self.living().len();
        let mut scene = self.scene.lock();
        let few = left <= scene.setting.min_workers || !scene.judge.has_begun();
        if few || scene.dice.one_in(3) {
            let delay = scene.millis(100, 3000);
            drop(scene);
            self.after(delay, Later::NewWorker);
        }
    }

    fn strike_when_due(&mut self) {
        let living = self.living();
        if living.is_empty() || !self.leads {
            return;
        }
        let mut scene = self.scene.lock();
        let (moment, committed, last) = (scene.moment, scene.committed.0, scene.setting.steps - 1);
        let due = |f: &Fault| f.moment == moment && committed >= f.step.min(last);
        let Some(place) = self.pending.iter().position(due) else {
            return;
        };
        let fault = self.pending.remove(place);
        let victim = scene.dice.pick(&living);
        scene
            .trace
            .push(format!("FAULT {fault:?} strikes w{victim}"));
        let (short, long) = (scene.millis(50, 2000), scene.millis(200, 12_000));
        let up = scene.dice.one_in(2);
        scene.judge.struck(fault.kind, victim);
        drop(scene);
        self.struck.push((fault.kind, fault.moment));
        self.strike(fault.kind, victim, (short, long), up);
    }

    fn strike(&mut self, kind: Kind, victim: usize, (short, long): (Duration, Duration), up: bool) {
        let name = host(victim);
        let mut scene = self.scene.lock();
        match kind {
            Kind::Slow => {
                scene.slow.insert(victim);
            }
            Kind::CheckpointFails => scene.store.full = true,
            Kind::CheckpointRots => {
                scene.judge.rotted();
                scene.store.rots_next = !scene.store.rot_newest();
            }
            Kind::LedgerFails => scene.store.refuses = true,
            Kind::Interrupt => scene.interrupt = true,
            Kind::Reset
            | Kind::ResetTwice
            | Kind::StagingFails
            | Kind::BitBeforeStage
            | Kind::Hang
            | Kind::Drain
            | Kind::CorruptSum
            | Kind::CorruptState
            | Kind::WrongCompute => scene.orders.entry(victim).or_default().push(kind),
            _ => {}
        }
        drop(scene);
        match kind {
            Kind::Kill => {
                self.sim.crash(name);
                self.gone(victim);
            }
            Kind::KillAll => self.kill_all_but(None),
            Kind::DrainLast => {
                self.kill_all_but(Some(victim));
                let mut scene = self.scene.lock();
                scene.orders.entry(victim).or_default().push(Kind::Drain);
            }
            Kind::Join => self.after(Duration::ZERO, Later::NewWorker),
            Kind::CoordinatorKill => {
                self.sim.crash(COORDINATOR);
                self.leads = false;
                self.after(short, Later::CoordinatorStarts);
            }
            Kind::Pause => {
                for other in self.others(victim) {
                    self.sim.hold(name.as_str(), other);
                }
                self.after(long, Later::Heal(victim));
            }
            Kind::Blackhole => {
                self.sim.partition(name, COORDINATOR);
                self.after(long, Later::Heal(victim));
            }
            Kind::OneWay => {
                if up {
                    self.sim.partition_oneway(name, COORDINATOR);
                } else {
                    self.sim.partition_oneway(COORDINATOR, name);
                }
                self.after(long, Later::Heal(victim));
            }
            Kind::PeerCut => {
                for other in self.others(victim).filter(|o| o != COORDINATOR) {
                    self.sim.partition(name.as_str(), other);
                }
                self.after(long, Later::Heal(victim));
            }
            Kind::Slow => self.after(long * 4, Later::Heal(victim)),
            Kind::CheckpointFails | Kind::LedgerFails => self.after(long, Later::StorageHeals),
            _ => {}
        }
    }

    /// Everybody ends at once.
    fn kill_all_but(&mut self, spared: Option<usize>) {
        for worker in self.living().into_iter().filter(|w| Some(*w) != spared) {
            self.scene.lock().judge.struck(Kind::KillAll, worker);
            self.sim.crash(host(worker));
            self.gone(worker);
        }
    }

    /// Every other host, as far as there is one.
    fn others(&self, number: usize) -> impl Iterator<Item = String> + use<> {
        let workers = self.workers.len();
        let others = (0..workers).filter(move |n| *n != number).map(host);
        others.chain(std::iter::once(COORDINATOR.to_owned()))
    }

    fn heal(&mut self, worker: usize) {
        let name = host(worker);
        self.scene.lock().slow.remove(&worker);
        for other in self.others(worker) {
            self.sim.release(name.as_str(), other.as_str());
            self.sim.repair(name.as_str(), other);
        }
    }
}
