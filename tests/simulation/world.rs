//! The simulated world: virtual time, streams, processes and storage around the shipped engine and
//! the shipped sessions.
//!
//! Everything that happens is an item in one queue, ordered by time and by when it was put there, so
//! that a seed is a run. Here: the queue, streams and the coordinator. `carry` carries out what
//! sessions order, `strike` the faults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::engine::{Engine, Event, Ladder};
use shared::ids::{Attempt, Generation, Step, Term, WorkerId};
use shared::wire::message::{Envelope, FromWorker, Task, ToWorker};
use worker::session::Input;

use super::bugs::Bug;
use super::evaluation::reference;
use super::invariants::{Judge, Violation};
use super::machine::{Machine, Work};
use super::plan::{Dice, Kind, Moment, Setting};
use super::store::Store;

/// A run that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A run in which more happens goes round in circles.
const MANY: u64 = 500_000;
const MS: u64 = 1000;

/// Something that will happen.
pub(crate) enum Item {
    ToCoordinator(WorkerId, Event),
    ToMachine(usize, WorkerId, Envelope<ToWorker>),
    Input(usize, Input),
    Connect(usize),
    Broken(usize, WorkerId, String),
    DeviceDone(
        usize,
        Work,
        Box<(shared::wire::message::Computed, Vec<i64>)>,
    ),
    SumReady(usize, shared::ids::Identity, Task, Arc<Vec<i64>>),
    Total(usize, shared::ids::Identity, Task, Vec<i64>, usize),
    Impatient(usize, shared::ids::Identity),
    Followed(
        usize,
        u64,
        Option<shared::numerics::AdapterState>,
        Step,
        Option<Vec<i64>>,
    ),
    /// The peer it followed under this number is gone.
    Orphaned(usize, u64),
    Published(Step, Option<shared::numerics::AdapterState>),
    Tick,
    MachineTick(usize),
    CoordinatorStarts,
    NewMachine,
    Heal(usize),
    StorageHeals,
}

/// A stream as the network sees it.
pub(crate) struct Stream {
    pub(crate) machine: usize,
    pub(crate) to_coordinator: bool,
    pub(crate) to_machine: bool,
    pub(crate) last: [Duration; 2],
}

/// Who has called a reduce.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) joined: BTreeMap<usize, Arc<Vec<i64>>>,
    pub(crate) done: bool,
}

pub(crate) type GroupKey = (Term, Generation, Step, Attempt);

pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) dice: Dice,
    pub(crate) now: Duration,
    sequence: u64,
    queue: BTreeMap<(Duration, u64), Item>,
    pub(crate) engine: Option<Engine>,
    pub(crate) engine_started: Duration,
    pub(crate) term: Term,
    pub(crate) machines: Vec<Machine>,
    pub(crate) streams: BTreeMap<WorkerId, Stream>,
    fresh: u64,
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    pub(crate) store: Store,
    pub(crate) staged: BTreeMap<Step, shared::numerics::AdapterState>,
    pub(crate) checkpoint_fails: bool,
    pub(crate) moment: Moment,
    pub(crate) struck: Vec<(super::plan::Kind, Moment)>,
    pub(crate) pending: Vec<super::plan::Fault>,
    pub(crate) judge: Judge,
    pub(crate) bug: Option<Bug>,
    /// For planted bugs: the first digest of a reduce.
    pub(crate) first_applied: Option<(shared::ids::Identity, String)>,
    pub(crate) duplicates: bool,
    pub(crate) trace: Vec<String>,
    pub(crate) complete: bool,
    pub(crate) ladder: Ladder,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut dice = Dice::new(seed);
        let setting = Setting::draw(&mut dice, Kind::ALL);
        let judge = Judge::new(reference(&setting), setting.micro_batches);
        let ladder = Ladder::new(Duration::from_secs(8), Duration::from_secs(60)).unwrap();
        let pending = setting.faults.clone();
        let mut world = Self {
            dice,
            now: Duration::ZERO,
            sequence: 0,
            queue: BTreeMap::new(),
            engine: None,
            engine_started: Duration::ZERO,
            term: Term(0),
            machines: Vec::new(),
            streams: BTreeMap::new(),
            fresh: 0,
            groups: BTreeMap::new(),
            store: Store::default(),
            staged: BTreeMap::new(),
            checkpoint_fails: false,
            moment: Moment::Gathering,
            struck: Vec::new(),
            pending,
            judge,
            bug,
            first_applied: None,
            duplicates: false,
            trace: Vec::new(),
            complete: false,
            ladder,
            setting,
        };
        world.after(0, Item::CoordinatorStarts);
        for _ in 0..world.setting.workers {
            let delay = world.dice.within(0, 500 * MS);
            world.after(delay, Item::NewMachine);
        }
        world.after(0, Item::Tick);
        world
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        let mut happened = 0;
        while !self.complete {
            happened += 1;
            if happened > MANY {
                return Err(Violation::new("progress", "endlessly busy"));
            }
            let Some(((at, _), item)) = self.queue.pop_first() else {
                return Err(Violation::new("progress", "nothing happens any more"));
            };
            if at > PATIENCE {
                let committed = self.engine.as_ref().map(Engine::committed);
                return Err(Violation::new(
                    "progress",
                    format!("not complete after {PATIENCE:?}, committed {committed:?}"),
                ));
            }
            self.now = self.now.max(at);
            self.happen(item)?;
            self.strike_when_due();
        }
        self.judge.end(&self.store, self.setting.steps)
    }

    /// Notes what happens, without the parts that say little.
    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.trace.len() > 20_000 {
            self.trace.drain(..10_000);
        }
        let text = text()
            .replace("Identity { run: RunId(\"r\"), ", "{")
            .replace("WorkerId", "")
            .replace("MicroBatchId", "")
            .replace("Generation(", "g(");
        let line = format!("{:>12?} {text}", self.now);
        self.trace.push(line);
    }

    pub(crate) fn after(&mut self, micros: u64, item: Item) {
        self.at(self.now + Duration::from_micros(micros), item);
    }

    pub(crate) fn at(&mut self, time: Duration, item: Item) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), item);
    }

    /// Stops a process; what waits for it since an earlier stop goes on waiting, in its order.
    pub(crate) fn pause(&mut self, m: usize, until: Duration) {
        let before = self.machines[m].paused_until;
        if before.is_some_and(|before| before >= until) {
            return;
        }
        self.machines[m].paused_until = Some(until);
        let Some(before) = before.filter(|before| *before > self.now) else {
            return;
        };
        let waits = |((at, _), item): &(&(Duration, u64), &Item)| {
            *at == before && machine_of(item) == Some(m)
        };
        let waiting: Vec<_> = self.queue.iter().filter(waits).map(|(k, _)| *k).collect();
        for key in waiting {
            if let Some(item) = self.queue.remove(&key) {
                self.at(until, item);
            }
        }
    }

    fn happen(&mut self, item: Item) -> Result<(), Violation> {
        // A stopped process does nothing until it goes on; what comes for it waits.
        if let Some(m) = machine_of(&item) {
            let machine = &self.machines[m];
            if !machine.alive {
                return Ok(());
            }
            if let Some(until) = machine.paused_until.filter(|until| *until > self.now) {
                self.at(until, item);
                return Ok(());
            }
        }
        match item {
            Item::Tick => {
                self.store.flush();
                self.after(125 * MS, Item::Tick);
                if self.engine.is_some() && self.now.as_millis() % 1000 < 125 {
                    self.beat();
                }
                self.coordinator(Event::Tick)
            }
            Item::CoordinatorStarts => {
                self.start_coordinator();
                Ok(())
            }
            Item::NewMachine => {
                let m = self.machines.len();
                self.machines.push(Machine::new(m, &m.to_string()));
                self.after(0, Item::Connect(m));
                self.after(100 * MS, Item::MachineTick(m));
                Ok(())
            }
            Item::Connect(m) => self.connect(m),
            Item::ToCoordinator(name, event) => self.coordinator_hears(&name, event),
            Item::Published(step, state) => {
                let outcome = match state {
                    Some(state) => {
                        let digest = shared::numerics::state_digest(&state);
                        self.store.checkpoints.insert(step, state);
                        Ok((step.to_string(), digest))
                    }
                    None => Err(shared::error::Error::new(shared::error::Code::Io, "full")),
                };
                self.coordinator(Event::Published { step, outcome })
            }
            Item::Heal(m) => self.heal(m),
            Item::StorageHeals => {
                self.store.refuses = false;
                self.checkpoint_fails = false;
                self.store.flush();
                Ok(())
            }
            Item::MachineTick(m) => {
                self.after(100 * MS, Item::MachineTick(m));
                self.input(m, Input::Tick)
            }
            other => self.machine_hears(other),
        }
    }

    fn connect(&mut self, m: usize) -> Result<(), Violation> {
        if self.engine.is_none() {
            self.after(100 * MS, Item::Input(m, Input::Lost("refused".into())));
            return Ok(());
        }
        let name = match &self.machines[m].name {
            Some(before) => again(before),
            None => {
                self.fresh += 1;
                WorkerId(format!("worker-{}", self.fresh))
            }
        };
        // An older stream of this machine is dead on its side; the coordinator may not know yet.
        self.machines[m].stream = Some(name.clone());
        self.machines[m].name = Some(name.clone());
        self.streams.insert(
            name,
            Stream {
                machine: m,
                to_coordinator: true,
                to_machine: true,
                last: [self.now; 2],
            },
        );
        self.input(m, Input::Connected)
    }

    /// A message on its way, in order, unless the line is dead.
    pub(crate) fn send_up(&mut self, m: usize, message: Envelope<FromWorker>) {
        let Some(name) = self.machines[m].stream.clone() else {
            return;
        };
        let delay = self.dice.micros(50, 2000);
        let Some(stream) = self.streams.get_mut(&name).filter(|s| s.to_coordinator) else {
            return;
        };
        let at = (self.now + delay).max(stream.last[0]);
        stream.last[0] = at;
        let event = match message.body {
            FromWorker::Hello(hello) => Event::Opened {
                worker: name.clone(),
                hello,
            },
            body => Event::Message {
                worker: name.clone(),
                envelope: Envelope {
                    identity: message.identity,
                    body,
                },
            },
        };
        if self.duplicates && !matches!(event, Event::Opened { .. }) && self.dice.one_in(3) {
            let late = at + self.dice.micros(0, 50_000);
            self.at(late, Item::ToCoordinator(name.clone(), event.clone()));
        }
        self.at(at, Item::ToCoordinator(name, event));
    }

    pub(crate) fn send_down(&mut self, to: &WorkerId, message: Envelope<ToWorker>) {
        let delay = self.dice.micros(50, 2000);
        let Some(stream) = self.streams.get_mut(to).filter(|s| s.to_machine) else {
            return;
        };
        let at = (self.now + delay).max(stream.last[1]);
        stream.last[1] = at;
        let m = stream.machine;
        let harmless = !matches!(message.body, ToWorker::Welcome(_) | ToWorker::Sync(_));
        if self.duplicates && harmless && self.dice.one_in(3) {
            self.at(at, Item::ToMachine(m, to.clone(), message.clone()));
        }
        self.at(at, Item::ToMachine(m, to.clone(), message));
    }

    pub(crate) fn input(&mut self, m: usize, input: Input) -> Result<(), Violation> {
        let quiet = matches!(
            input,
            Input::Tick
                | Input::Coordinator(Envelope {
                    body: ToWorker::Beat,
                    ..
                })
        );
        let text = if quiet {
            String::new()
        } else {
            format!("m{m} {input:?}")
        };
        let now = self.now;
        let actions = self.machines[m].session.on(input, now);
        if !quiet {
            self.say(|| text.chars().take(220).collect());
        }
        for action in actions {
            if self.machines[m].alive {
                self.act(m, action)?;
            }
        }
        Ok(())
    }

    /// Machines that take part or may do so.
    pub(crate) fn living(&self) -> Vec<usize> {
        let all = self.machines.iter().enumerate();
        all.filter(|(_, m)| m.alive).map(|(i, _)| i).collect()
    }

    /// A machine that ended; somebody new comes when too few are left.
    pub(crate) fn ends(&mut self, m: usize) {
        self.machines[m].alive = false;
        for (follower, follow) in std::mem::take(&mut self.machines[m].followers) {
            let delay = self.dice.within(50, 2 * MS);
            self.after(delay, Item::Orphaned(follower, follow));
        }
        if let Some(name) = self.machines[m].stream.take() {
            // Behind a dead line nobody hears the end.
            if self.streams.remove(&name).is_some_and(|s| s.to_coordinator) {
                let reason = "it ended".to_owned();
                let delay = self.dice.within(50, 2 * MS);
                let worker = name.clone();
                let closed = Event::Closed { worker, reason };
                self.after(delay, Item::ToCoordinator(name, closed));
            }
        }
        // Step 1 waits for three.
        let begun = self.judge.has_begun();
        let few = self.living().len() <= self.setting.min_workers || !begun;
        if few || self.dice.one_in(3) {
            let delay = self.dice.within(100 * MS, 3000 * MS);
            self.after(delay, Item::NewMachine);
        }
    }
}

fn again(before: &WorkerId) -> WorkerId {
    let (name, session) = before.0.split_once('.').unwrap_or((&before.0, "1"));
    let session = session.parse::<u64>().unwrap_or(1) + 1;
    WorkerId(format!("{name}.{session}"))
}

/// The process that something happens in.
fn machine_of(item: &Item) -> Option<usize> {
    match item {
        Item::ToMachine(m, ..)
        | Item::Input(m, _)
        | Item::Connect(m)
        | Item::Broken(m, ..)
        | Item::DeviceDone(m, ..)
        | Item::SumReady(m, ..)
        | Item::Total(m, ..)
        | Item::Impatient(m, _)
        | Item::Followed(m, ..)
        | Item::Orphaned(m, _)
        | Item::MachineTick(m) => Some(*m),
        _ => None,
    }
}
