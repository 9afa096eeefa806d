//! The faults: when one is due, whom it strikes, what it does, and how it heals.
//!
//! In: the moment. Out: a world in which something went wrong. Keeps: the judge knows which machine was struck.

use std::time::Duration;

use worker::session::Input;

use super::plan::{Fault, Kind};
use super::world::{Item, Own, World};

const MS: u64 = 1000;

impl World {
    /// Strikes a fault whose moment is now.
    pub(crate) fn strike_when_due(&mut self) {
        let Some(engine) = &self.engine else { return };
        if self.pending.is_empty() || self.living().is_empty() {
            return;
        }
        let (moment, committed) = (self.moment, engine.committed().0);
        let last = self.setting.steps - 1;
        let due = |f: &Fault| f.moment == moment && committed >= f.step.min(last);
        if let Some(place) = self.pending.iter().position(due) {
            let fault = self.pending.remove(place);
            self.strike(fault);
        }
    }

    /// Strikes now, and has another one follow while this one is being handled.
    pub(crate) fn strike(&mut self, fault: Fault) {
        let living = self.living();
        if living.is_empty() || self.engine.is_none() {
            return;
        }
        if let Some(soon) = fault.followed_after
            && let Some(second) = self.pending.pop()
        {
            self.after(soon, Item::Strike(second));
        }
        let m = self.victim(fault.kind, &living);
        self.say(|| format!("FAULT {fault:?} strikes m{m}"));
        self.struck.push((fault.kind, self.moment));
        // Who will be told to write the best state is not known yet.
        if fault.kind != Kind::WriterKilledAtBest {
            self.judge.struck(fault.kind, m);
        }
        if fault.kind.plants() {
            self.plant(fault.kind, m);
        } else {
            self.disturb(fault.kind, m, &living);
        }
    }

    /// A checkpoint's trouble strikes somebody who is likely to write one.
    fn victim(&mut self, kind: Kind, living: &[usize]) -> usize {
        let writes = matches!(kind, Kind::StagingFails | Kind::BitBeforeStage);
        let first = living.iter().find(|m| {
            let stream = self.machines[**m].stream.as_ref();
            stream.is_some_and(|name| self.members.contains(name))
        });
        match first {
            Some(first) if writes => *first,
            _ => self.dice.pick(living),
        }
    }

    fn plant(&mut self, kind: Kind, m: usize) {
        let damage = &mut self.machines[m].damage;
        match kind {
            Kind::BitBeforeStage => damage.staged = true,
            Kind::CorruptSum => damage.sum = true,
            Kind::CorruptSlice => damage.slice = true,
            Kind::CorruptTotal => damage.total = true,
            Kind::CorruptState => damage.state = true,
            _ => damage.compute = true,
        }
    }

    fn disturb(&mut self, kind: Kind, m: usize, living: &[usize]) {
        let short = self.dice.within(50 * MS, 2_000 * MS);
        let long = self.dice.within(200 * MS, 20_000 * MS);
        match kind {
            Kind::Kill => self.ends(m),
            Kind::KillAll => self.kill_all_but(living, None),
            Kind::DrainLast => {
                self.kill_all_but(living, Some(m));
                self.after(100 * MS, Item::Input(m, Input::Drain));
            }
            Kind::WriterKilledAtBest => self.kills_best_writer = true,
            Kind::Pause => self.pause(m, self.now + Duration::from_micros(long)),
            Kind::Reset => self.reset(m),
            Kind::ResetTwice => {
                self.machines[m].resets = 1 + self.dice.below(2) as u32;
                self.breaks_here(m);
            }
            Kind::Blackhole | Kind::OneWay => {
                let both = kind == Kind::Blackhole;
                let up = self.dice.one_in(2);
                let name = self.machines[m].stream.clone();
                if let Some(stream) = name.and_then(|name| self.streams.get_mut(&name)) {
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
                self.machines[m].slow = self.setting.sizes.slow_factor();
                self.after(long * 4, Item::Heal(m));
            }
            Kind::Hang => self.machines[m].hung = true,
            Kind::Drain => self.after(0, Item::Input(m, Input::Drain)),
            Kind::Join => self.after(0, Item::NewMachine),
            Kind::CoordinatorKill => self.stop_coordinator(short),
            Kind::CoordinatorStalls => {
                let lease = self.timeouts.lease.as_micros() as u64;
                let stall = self.dice.within(short, 4 * lease);
                self.stall_coordinator(stall);
            }
            // A signal waits for a stopped process, as everything does.
            Kind::Interrupt => self.interrupt(),
            Kind::CheckpointFails => {
                self.store.full = true;
                self.after(long, Item::StorageHeals);
            }
            Kind::CheckpointRots => {
                self.judge.rotted();
                self.store.rots_next = !self.store.rot_newest();
            }
            // It stays so: others can write.
            Kind::StagingFails => self.machines[m].staging_fails = true,
            Kind::PublicationHangs => self.publication_hangs = true,
            Kind::LedgerFails => {
                self.store.refuses = true;
                self.after(long, Item::StorageHeals);
            }
            _ => self.duplicates = true,
        }
    }

    fn interrupt(&mut self) {
        let own = Item::Own(self.term, Own::Interrupt);
        self.after(0, own);
    }

    /// Everybody ends at nearly the same time.
    fn kill_all_but(&mut self, living: &[usize], spared: Option<usize>) {
        for m in living.iter().copied().filter(|m| Some(*m) != spared) {
            self.judge.struck(Kind::KillAll, m);
            let soon = self.dice.within(0, 100 * MS);
            self.after(soon, Item::Ends(m));
        }
    }

    pub(crate) fn heal(&mut self, m: usize) {
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
    }
}
