//! The faults: when one is due, whom it strikes, what it does, and how it heals.

use coordinator::engine::Event;
use worker::session::Input;

use super::invariants::Violation;
use super::plan::{Fault, Kind};
use super::world::{Item, World};

const MS: u64 = 1000;

impl World {
    /// Strikes every fault whose moment is now.
    pub(crate) fn strike_when_due(&mut self) {
        let Some(engine) = &self.engine else { return };
        if self.living().is_empty() {
            return;
        }
        let (moment, committed) = (self.moment, engine.committed().0);
        let due = self
            .pending
            .iter()
            .position(|f| f.moment == moment && committed >= f.step.min(self.setting.steps - 1));
        if let Some(place) = due {
            let fault = self.pending.remove(place);
            self.strike(fault);
        }
    }

    fn strike(&mut self, fault: Fault) {
        let m = self.dice.pick(&self.living());
        self.say(|| format!("FAULT {fault:?} strikes m{m}"));
        self.struck.push((fault.kind, fault.moment));
        let short = self.dice.within(50 * MS, 2_000 * MS);
        let long = self.dice.within(200 * MS, 20_000 * MS);
        // A worker that ends, stops or is cut off leaves the others waiting in the reduce.
        let harmless = [
            Kind::Join,
            Kind::Slow,
            Kind::CheckpointFails,
            Kind::LedgerFails,
        ];
        if !harmless.contains(&fault.kind) {
            self.judge.spoiled();
        }
        match fault.kind {
            Kind::Kill => self.ends(m),
            Kind::Pause => {
                let until = self.now + std::time::Duration::from_micros(long);
                self.pause(m, until);
            }
            Kind::Reset => self.reset(m),
            Kind::Blackhole | Kind::OneWay => {
                let both = fault.kind == Kind::Blackhole;
                let up = self.dice.one_in(2);
                if let Some(name) = self.machines[m].stream.clone()
                    && let Some(stream) = self.streams.get_mut(&name)
                {
                    stream.to_coordinator &= !(both || up);
                    stream.to_machine &= up && !both;
                }
                self.after(long, Item::Heal(m));
            }
            Kind::PeerCut => {
                self.machines[m].peer_cut = true;
                self.after(long, Item::Heal(m));
            }
            Kind::Slow => {
                self.machines[m].slow = 10;
                self.after(long * 4, Item::Heal(m));
            }
            Kind::Hang => self.machines[m].hung = true,
            Kind::Drain => self.after(0, Item::Input(m, Input::Drain)),
            Kind::Join => self.after(0, Item::NewMachine),
            Kind::CoordinatorKill => self.stop_coordinator(short),
            Kind::Interrupt => {
                // Carried out like any other event of the coordinator.
                let _: Result<(), Violation> = self.coordinator(Event::Interrupt);
            }
            Kind::CheckpointFails => {
                self.checkpoint_fails = true;
                self.after(long, Item::StorageHeals);
            }
            Kind::LedgerFails => {
                self.store.refuses = true;
                self.after(long, Item::StorageHeals);
            }
            Kind::CorruptSum => self.machines[m].corrupt_sum = true,
            Kind::CorruptSlice => self.machines[m].corrupt_slice = true,
            Kind::CorruptTotal => self.machines[m].corrupt_total = true,
            Kind::CorruptState => self.machines[m].corrupt_state = true,
            Kind::WrongCompute => self.machines[m].wrong_once = true,
            Kind::Duplicate => self.duplicates = true,
        }
        if matches!(
            fault.kind,
            Kind::CorruptSum
                | Kind::CorruptSlice
                | Kind::CorruptTotal
                | Kind::CorruptState
                | Kind::WrongCompute
        ) {
            self.judge.planted(m);
        }
    }

    /// Both sides notice at once.
    fn reset(&mut self, m: usize) {
        let Some(name) = self.machines[m].stream.clone() else {
            return;
        };
        if self.streams.remove(&name).is_none() {
            return;
        }
        let (up, down) = (self.dice.within(50, 3 * MS), self.dice.within(50, 3 * MS));
        let closed = Event::Closed {
            worker: name.clone(),
            reason: "reset".into(),
        };
        self.after(up, Item::ToCoordinator(name.clone(), closed));
        self.after(down, Item::Broken(m, name, "reset".into()));
    }

    pub(crate) fn heal(&mut self, m: usize) -> Result<(), Violation> {
        let machine = &mut self.machines[m];
        machine.slow = 1;
        machine.peer_cut = false;
        let dead = machine.stream.clone().filter(|name| {
            let stream = self.streams.get(name);
            stream.is_some_and(|s| !s.to_coordinator || !s.to_machine)
        });
        if dead.is_some() {
            self.reset(m);
        }
        Ok(())
    }
}
