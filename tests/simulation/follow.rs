//! Where a machine's state comes from and where it goes: seed, checkpoint, peer; commits, files.
//!
//! In: what the session orders. Out: states, totals and files, after as long as they need to move.
//! Keeps: what a state says of itself is computed from its bytes, spoiled or not.

use std::time::Duration;

use shared::error::Code;
use shared::ids::Step;
use shared::numerics::AdapterState;
use shared::wire::message::SyncSource;
use worker::session::Input;

use super::carry::internal;
use super::invariants::Violation;
use super::machine::{first_state, rule};
use super::world::{Item, World};

const MS: u64 = 1000;

impl World {
    /// How long a state or a total needs to move here, microseconds.
    pub(crate) fn transfer(&mut self, least: u64) -> u64 {
        let most = self.setting.sizes.transfer.max(least);
        self.dice.within(least, most)
    }

    pub(crate) fn sync(&mut self, m: usize, source: SyncSource) {
        self.machines[m].follow += 1;
        let follow = self.machines[m].follow;
        let delay = self.transfer(MS);
        let at = self.now + Duration::from_micros(delay);
        match source {
            SyncSource::Initial => {
                let state = first_state(self.setting.scaled);
                let step = state.step;
                self.after(MS, Item::Followed(m, follow, Some(state), step, None));
            }
            SyncSource::Checkpoint(name) => {
                let step = Step(name.parse().unwrap());
                let Some(checkpoint) = self.store.checkpoints.get(&step) else {
                    let failed = Input::SyncFailed("there is no such checkpoint".into());
                    self.after(delay, Item::Input(m, failed));
                    return;
                };
                let state = checkpoint.state.clone();
                let motion = &mut self.machines[m].motion;
                motion.storage = motion.storage.max(at);
                self.at(at, Item::Followed(m, follow, Some(state), step, None));
            }
            SyncSource::Peer(address) => self.sync_from(m, follow, address.parse().unwrap(), at),
        }
    }

    fn sync_from(&mut self, m: usize, follow: u64, peer: usize, at: Duration) {
        let source = &self.machines[peer];
        let stopped = source.paused_until.is_some_and(|until| until > self.now);
        let cut = source.peer_cut || self.machines[m].peer_cut;
        if !source.alive || stopped || cut {
            let failed = Input::SyncFailed("unreachable".into());
            let late = at + Duration::from_millis(500);
            self.at(late, Item::Input(m, failed));
            return;
        }
        let state = (**source.replica.state()).clone();
        self.judge.handed_over(m, &state);
        let source = &mut self.machines[peer];
        source.followers.push((m, follow));
        source.motion.peers = source.motion.peers.max(at);
        let motion = &mut self.machines[m].motion;
        motion.peers = motion.peers.max(at);
        self.machines[m].fed = at;
        let step = state.step;
        self.at(at, Item::Followed(m, follow, Some(state), step, None));
    }

    pub(crate) fn followed(
        &mut self,
        m: usize,
        follow: u64,
        state: Option<AdapterState>,
        step: Step,
        total: Option<Vec<i64>>,
    ) -> Result<(), Violation> {
        if self.machines[m].follow != follow {
            return Ok(());
        }
        let rule = rule(step, self.setting.micro_batches(step));
        let machine = &mut self.machines[m];
        machine.moved(0, 1, 1);
        let state_digest = match (state, total) {
            (Some(state), _) => {
                // Who follows this machine would miss a piece.
                let followers = std::mem::take(&mut machine.followers);
                let digest = machine.replica.adopt(state);
                for (follower, follow) in followers {
                    self.after(MS, Item::Orphaned(follower, follow));
                }
                digest
            }
            (None, Some(total)) if machine.replica.state().step.next() == step => {
                let digest = match machine.replica.apply(&rule, total, 1) {
                    Ok(applied) => applied.state_digest,
                    Err(e) if e.code == Code::Corrupt => return self.input(m, Input::Broken(e)),
                    Err(e) => return self.input(m, Input::SyncFailed(e.what)),
                };
                let committed = machine.replica.commit(step);
                committed.map_err(|e| internal(m, &e))?;
                digest
            }
            _ => return Ok(()),
        };
        self.input(m, Input::Synced { step, state_digest })?;
        self.tell_retained(m);
        Ok(())
    }

    pub(crate) fn commit(&mut self, m: usize, step: Step) -> Result<(), Violation> {
        let machine = &mut self.machines[m];
        let committed = machine.replica.commit(step);
        let (total, _) = committed.map_err(|e| internal(m, &e))?;
        for (follower, follow) in machine.followers.clone() {
            let soon = self.now + self.dice.micros(100, 3 * MS);
            let at = soon.max(self.machines[follower].fed);
            self.machines[follower].fed = at;
            let total = Some(total.to_vec());
            self.at(at, Item::Followed(follower, follow, None, step, total));
        }
        self.after(200, Item::Input(m, Input::Committed(step)));
        self.tell_retained(m);
        Ok(())
    }

    /// Which earlier states it holds, when that has changed.
    pub(crate) fn tell_retained(&mut self, m: usize) {
        let machine = &mut self.machines[m];
        let retained = machine.replica.retained();
        if retained != machine.told_retained {
            machine.told_retained.clone_from(&retained);
            self.after(200, Item::Input(m, Input::Retained(retained)));
        }
    }

    /// Files are written from the state as it is now, while the training goes on.
    pub(crate) fn stage(&mut self, m: usize, step: Step, staging: String) {
        let most = self.setting.sizes.transfer.max(200 * MS);
        let time = self.dice.within(MS, most);
        let at = self.now + Duration::from_micros(time);
        let others = self.living();
        let elsewhere = others
            .into_iter()
            .map(|x| (x, &self.machines[x]))
            .any(|(x, other)| {
                x != m && !other.staging_fails && other.replica.frozen(step).is_some()
            });
        let machine = &mut self.machines[m];
        machine.motion.storage = machine.motion.storage.max(at);
        let frozen = machine.replica.frozen(step);
        let outcome = match frozen {
            None => Err(format!("the state of step {step} is gone")),
            // Where no other holder can write, its way to storage comes back.
            Some(_) if machine.staging_fails && elsewhere => Err("stale file handle".into()),
            Some(state) => {
                let mut state = (*state).clone();
                if std::mem::take(&mut machine.damage.staged) {
                    let value = &mut state.m[0];
                    *value = f32::from_bits(value.to_bits() ^ 8);
                }
                Ok(Box::new(state))
            }
        };
        self.at(at, Item::Staged(m, step, staging, outcome));
    }

    pub(crate) fn staged(
        &mut self,
        m: usize,
        step: Step,
        staging: String,
        outcome: Result<Box<AdapterState>, String>,
    ) -> Result<(), Violation> {
        self.machines[m].moved(0, 0, 1);
        let outcome = match outcome {
            Ok(_) if self.store.full => Err("no space left".into()),
            Ok(state) => {
                // A writer that wakes up late writes all the same.
                self.store.staged.insert(staging, *state);
                Ok(Vec::new())
            }
            Err(reason) => Err(reason),
        };
        self.input(m, Input::Staged { step, outcome })
    }
}
