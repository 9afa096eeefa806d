//! What all simulated hosts of one run share: storage, the judge, and the orders of the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coordinator::engine::Timeouts;
use shared::ids::{Step, Term};

use crate::invariants::{Judge, Violation};
use crate::plan::{Dice, Kind, Moment, Setting};
use crate::store::Store;

/// Shared between the hosts of one run, which all live in one thread.
pub(super) struct Scene {
    pub(super) setting: Setting,
    pub(super) timeouts: Timeouts,
    pub(super) dice: Dice,
    pub(super) store: Store,
    pub(super) term: Term,
    /// Working members, as the coordinator sees it.
    pub(super) working: usize,
    /// Whose way to storage is broken: one at a time, others can write.
    pub(super) cannot_write: Option<usize>,
    pub(super) committed: Step,
    pub(super) judge: Judge,
    pub(super) moment: Moment,
    pub(super) interrupt: bool,
    /// What a worker is to suffer, by its number.
    pub(super) orders: BTreeMap<usize, Vec<Kind>>,
    pub(super) slow: BTreeSet<usize>,
    pub(super) complete: bool,
    pub(super) violation: Option<Violation>,
    pub(super) trace: Vec<String>,
}

/// A way to the scene.
#[derive(Clone)]
pub(super) struct Handle(Arc<Mutex<Scene>>);

impl Handle {
    pub(super) fn new(mut dice: Dice, kinds: &[Kind]) -> Self {
        let mut setting = Setting::draw(&mut dice, kinds);
        // Every millisecond of the network is simulated: hours of computing are for the other world.
        setting.sizes.hasten();
        let store = Store::new(setting.planned);
        let mut judge = Judge::new(&setting);
        // Real links: who is behind a cut one sees all others stand still.
        judge.any_peer();
        Self(Arc::new(Mutex::new(Scene {
            setting,
            timeouts: Timeouts::new(Duration::from_secs(4), Duration::from_secs(60)).unwrap(),
            dice,
            store,
            term: Term(0),
            working: 0,
            cannot_write: None,
            committed: Step(0),
            judge,
            moment: Moment::Gathering,
            interrupt: false,
            orders: BTreeMap::new(),
            slow: BTreeSet::new(),
            complete: false,
            violation: None,
            trace: Vec::new(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the first violation.
    pub(super) fn judge(&self, outcome: Result<(), Violation>) {
        if let Err(violation) = outcome {
            self.lock().violation.get_or_insert(violation);
        }
    }
}

impl Scene {
    /// Notes what happens.
    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.trace.len() > 4000 {
            self.trace.drain(..2000);
        }
        let at = turmoil::sim_elapsed().unwrap_or_default();
        let text: String = text().chars().take(240).collect();
        self.trace.push(format!("{at:>12?} {text}"));
    }

    pub(super) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.dice.within(least, most))
    }
}
