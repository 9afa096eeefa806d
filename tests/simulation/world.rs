//! The simulated world: one queue of what will happen, on one virtual clock.
//!
//! In: a seed, or a bug planted beside it. Out: a run to its end, or the first violation.
//! Keeps: everything that happens is drawn from the seed; a stopped process does nothing until it goes on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use coordinator::engine::{Engine, Event, Timeouts};
use shared::ids::{Attempt, Generation, Identity, Step, Term, WorkerId};
use shared::numerics::AdapterState;
use shared::wire::message::{Computed, Envelope, Task, ToWorker};
use worker::session::Input;

use super::bugs::{Bug, Planted};
use super::invariants::{Judge, Violation};
use super::machine::{Machine, Work};
use super::plan::{Dice, Fault, Kind, Moment, Setting};
use super::reduce::{Group, Total};
use super::store::Store;
use super::streams::Stream;

/// A run that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
/// A run in which more happens goes round in circles.
const MANY: u64 = 2_000_000;
const MS: u64 = 1000;

/// Something that will happen.
pub(crate) enum Item {
    ToCoordinator(WorkerId, Event),
    ToMachine(usize, WorkerId, Envelope<ToWorker>),
    Input(usize, Input),
    Connect(usize),
    Broken(usize, WorkerId, String),
    DeviceDone(usize, Work, Box<(Computed, Vec<i64>)>),
    SumReady(usize, Identity, Task, Arc<Vec<i64>>, bool),
    Total(usize, Box<Total>),
    Impatient(usize, Identity),
    Followed(usize, u64, Option<AdapterState>, Step, Option<Vec<i64>>),
    /// The peer it followed under this number is gone.
    Orphaned(usize, u64),
    /// All files of a checkpoint lie in this folder, or do not.
    Staged(usize, Step, String, Result<Box<AdapterState>, String>),
    /// What the coordinator's own tasks come to; void when the process that began them is gone.
    Own(Term, Own),
    Tick,
    MachineTick(usize),
    CoordinatorStarts,
    CoordinatorGoesOn,
    NewMachine,
    Heal(usize),
    StorageHeals,
    /// A second fault, while the first is being handled.
    Strike(Fault),
    Ends(usize),
}

/// What a coordinator does beside its engine.
pub(crate) enum Own {
    Interrupt,
    Moves(String),
    Publish {
        step: Step,
        state_digest: String,
        staging: String,
    },
    Verify(coordinator::engine::StoredCheckpoint),
    Remove(Step),
    Export {
        result: Step,
        last: Step,
    },
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
    /// The coordinator's process is stopped until then; what comes for it waits.
    pub(crate) stalled_until: Option<Duration>,
    /// When the last stall, with those right before it, began and ended.
    pub(crate) last_stall: (Duration, Duration),
    waiting: VecDeque<Item>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) streams: BTreeMap<WorkerId, Stream>,
    /// Sessions that the engine knows.
    pub(crate) open: BTreeSet<WorkerId>,
    /// Those of the newest member set.
    pub(crate) members: BTreeSet<WorkerId>,
    /// Machines whose return must be waited for, and when the engine heard that their session broke.
    pub(crate) lost: BTreeMap<usize, Duration>,
    /// Sessions of this term so far.
    pub(crate) sessions: u64,
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    pub(crate) store: Store,
    pub(crate) moment: Moment,
    pub(crate) struck: Vec<(Kind, Moment)>,
    pub(crate) pending: Vec<Fault>,
    pub(crate) judge: Judge,
    /// The machine that is told to write the best state dies of it.
    pub(crate) kills_best_writer: bool,
    /// Nothing of the next publication moves for a long time.
    pub(crate) publication_hangs: bool,
    pub(crate) planted: Planted,
    pub(crate) duplicates: bool,
    pub(crate) trace: Vec<String>,
    pub(crate) complete: bool,
    pub(crate) timeouts: Timeouts,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut dice = Dice::new(seed);
        let setting = Setting::draw(&mut dice, Kind::ALL);
        let judge = Judge::new(&setting);
        let timeouts = Timeouts::new(Duration::from_secs(8), Duration::from_secs(60)).unwrap();
        let pending = setting.faults.clone();
        let mut world = Self {
            dice,
            now: Duration::ZERO,
            sequence: 0,
            queue: BTreeMap::new(),
            engine: None,
            engine_started: Duration::ZERO,
            term: Term(0),
            stalled_until: None,
            last_stall: (Duration::ZERO, Duration::ZERO),
            waiting: VecDeque::new(),
            machines: Vec::new(),
            streams: BTreeMap::new(),
            open: BTreeSet::new(),
            members: BTreeSet::new(),
            lost: BTreeMap::new(),
            sessions: 0,
            groups: BTreeMap::new(),
            store: Store::new(setting.planned),
            moment: Moment::Gathering,
            struck: Vec::new(),
            pending,
            judge,
            kills_best_writer: false,
            publication_hangs: false,
            planted: Planted::new(bug),
            duplicates: false,
            trace: Vec::new(),
            complete: false,
            timeouts,
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
            self.obeys_the_ledger()?;
            self.strike_when_due();
        }
        self.store.heal();
        self.obeys_the_ledger()?;
        self.judge.end(&self.store)
    }

    fn obeys_the_ledger(&mut self) -> Result<(), Violation> {
        match self.store.contradiction() {
            Some(what) => Err(Violation::new("rules of the ledger", what)),
            None => Ok(()),
        }
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

    /// Nothing of what waited for the stopped coordinator is heard.
    pub(crate) fn forget_waiting(&mut self) {
        self.stalled_until = None;
        self.waiting.clear();
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
        if self.stalled_until.is_some() && matches!(item, Item::ToCoordinator(..) | Item::Own(..)) {
            self.waiting.push_back(item);
            return Ok(());
        }
        match item {
            Item::Tick => self.tick(),
            Item::CoordinatorStarts => {
                self.start_coordinator();
                Ok(())
            }
            Item::CoordinatorGoesOn => self.go_on(),
            Item::NewMachine => {
                let m = self.machines.len();
                let machine = Machine::new(m, &m.to_string(), &self.setting);
                self.machines.push(machine);
                self.after(0, Item::Connect(m));
                self.after(100 * MS, Item::MachineTick(m));
                Ok(())
            }
            Item::Connect(m) => self.connect(m),
            Item::ToCoordinator(name, event) => self.coordinator_hears(&name, event),
            Item::Own(term, own) => self.own(term, own),
            Item::Heal(m) => {
                self.heal(m);
                Ok(())
            }
            Item::StorageHeals => {
                self.store.heal();
                Ok(())
            }
            Item::Strike(fault) => {
                self.strike(fault);
                Ok(())
            }
            Item::Ends(m) => {
                self.ends(m);
                Ok(())
            }
            Item::MachineTick(m) => {
                self.after(self.setting.sizes.tick(), Item::MachineTick(m));
                let progress = self.machines[m].progress(self.now);
                let progress = self.planted.progress(progress);
                self.input(m, Input::Tick(progress))
            }
            other => self.machine_hears(other),
        }
    }

    fn tick(&mut self) -> Result<(), Violation> {
        let every = self.setting.sizes.tick() * 5 / 4;
        self.after(every, Item::Tick);
        if self.stalled_until.is_some() {
            return Ok(());
        }
        self.store.flush();
        if self.engine.is_some() && self.now.as_micros() % 1_000_000 < u128::from(every) {
            self.beat();
        }
        self.coordinator(Event::Tick)
    }

    /// What waited is heard in its order, where it lay in sockets after the clock was looked at.
    fn go_on(&mut self) -> Result<(), Violation> {
        if self.stalled_until.is_none_or(|until| until > self.now) {
            return Ok(());
        }
        self.stalled_until = None;
        if self.dice.one_in(2) {
            self.coordinator(Event::Tick)?;
        }
        for item in std::mem::take(&mut self.waiting) {
            self.happen(item)?;
        }
        self.coordinator(Event::Tick)
    }

    pub(crate) fn input(&mut self, m: usize, input: Input) -> Result<(), Violation> {
        let quiet = matches!(
            input,
            Input::Tick(_)
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
        if !std::mem::take(&mut self.machines[m].alive) {
            return;
        }
        for (follower, follow) in std::mem::take(&mut self.machines[m].followers) {
            let delay = self.dice.within(50, 2 * MS);
            self.after(delay, Item::Orphaned(follower, follow));
        }
        self.hang_up(m, "it ended");
        // Step 1 waits for three.
        let begun = self.judge.has_begun();
        let few = self.living().len() <= self.setting.min_workers || !begun;
        if few || self.dice.one_in(3) {
            let delay = self.dice.within(100 * MS, 3000 * MS);
            self.after(delay, Item::NewMachine);
        }
    }
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
        | Item::Staged(m, ..)
        | Item::MachineTick(m) => Some(*m),
        _ => None,
    }
}
