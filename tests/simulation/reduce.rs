//! The all-reduce among simulated machines: who joins, what arrives, who waits in vain.
//!
//! In: sums, when each is ready. Out: totals, after as long as they need to move.
//! Keeps: a total that was not spoiled on purpose is the exact sum of what was handed out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Attempt, Generation, Identity, Step, Term};
use shared::numerics;
use shared::wire::message::{Failed, FailureScope, Task};
use worker::collective::slice;
use worker::session::Input;

use super::carry::internal;
use super::invariants::Violation;
use super::machine::rule;
use super::plan::Moment;
use super::world::{Item, World};

const MS: u64 = 1000;
/// Nothing moving for this long in a reduce is told, and after a quarter of it told again.
const PATIENCE: u64 = 5_000 * MS;

/// Who has called a reduce.
#[derive(Default)]
pub(crate) struct Group {
    joined: BTreeMap<usize, Arc<Vec<i64>>>,
    done: bool,
    spoiled: bool,
    /// Whose total does not come, and whom it waits for.
    lost: BTreeMap<usize, Option<usize>>,
}

/// A total on its way to one member.
pub(crate) struct Total {
    identity: Identity,
    task: Task,
    values: Vec<i64>,
    members: Vec<usize>,
    spoiled: bool,
}

fn key(identity: &Identity) -> (Term, Generation, Step, Attempt) {
    (
        identity.term,
        identity.generation,
        identity.step,
        identity.attempt,
    )
}

fn lost(text: &str) -> Error {
    Error::new(Code::SessionLost, text)
}

/// An all-reduce that ended without a total, because of nobody in particular.
pub(crate) fn reduce_failed(identity: Identity, error: Error) -> Input {
    let failed = Failed {
        error,
        culprit: None,
        scope: FailureScope::Reduce,
    };
    Input::ReduceFailed { identity, failed }
}

impl World {
    /// The sum of what is credited, on its way to the reduce.
    pub(crate) fn hand_out(&mut self, m: usize, identity: Identity, task: Task, world_size: usize) {
        let machine = &mut self.machines[m];
        let spoiled = std::mem::take(&mut machine.damage.sum);
        if spoiled {
            machine.replica.flip_sum_bit(task);
        }
        let sum = machine.replica.sum(task, world_size);
        let delay = self.dice.within(50, MS);
        self.after(delay, Item::SumReady(m, identity, task, sum, spoiled));
    }

    pub(crate) fn join_reduce(
        &mut self,
        m: usize,
        identity: Identity,
        task: Task,
        sum: Arc<Vec<i64>>,
        spoiled: bool,
    ) -> Result<(), Violation> {
        let among = self.machines[m].connected.clone();
        let fits = |i: &Identity| (i.term, i.generation) == (identity.term, identity.generation);
        let mixes = self.planted.reduces_old_members();
        let Some((now, members)) = among.filter(|(i, _)| fits(i) || mixes) else {
            let error = lost("stale");
            return self.input(m, reduce_failed(identity, error));
        };
        self.moment = Moment::Reduce;
        if self.machines[m].peer_cut {
            self.after(PATIENCE, Item::Impatient(m, identity));
            return Ok(());
        }
        let last = self.machines[m].last_total.as_ref();
        let sum = self.planted.in_place(last, &identity, sum);
        let among = Identity {
            generation: now.generation,
            ..identity.clone()
        };
        let group = self.groups.entry(key(&among)).or_default();
        group.joined.insert(m, sum);
        group.spoiled |= spoiled;
        if members.iter().all(|x| group.joined.contains_key(x)) && !group.done {
            group.done = true;
            let (joined, spoiled) = (group.joined.clone(), group.spoiled);
            self.deliver(&members, &joined, &identity, task, spoiled);
        } else {
            self.after(PATIENCE, Item::Impatient(m, identity));
        }
        Ok(())
    }

    /// Every member gets the total in its own time; a faulty one spoils what passes through it.
    fn deliver(
        &mut self,
        members: &[usize],
        joined: &BTreeMap<usize, Arc<Vec<i64>>>,
        identity: &Identity,
        task: Task,
        mut spoiled: bool,
    ) {
        let world_size = members.len();
        let length = joined[&members[0]].len();
        let mut total = vec![0_i64; length];
        for sum in joined.values() {
            numerics::accumulate(&mut total, sum);
        }
        for (slot, owner) in members.iter().enumerate() {
            let range = slice(length, world_size, slot);
            if !range.is_empty() && std::mem::take(&mut self.machines[*owner].damage.slice) {
                total[range.start] ^= 2;
                spoiled = true;
            }
        }
        for m in members {
            let mut values = total.clone();
            let here = std::mem::take(&mut self.machines[*m].damage.total);
            if here {
                values[0] ^= 4;
            }
            let at = self.now + Duration::from_micros(self.transfer(200));
            let motion = &mut self.machines[*m].motion;
            motion.peers = motion.peers.max(at);
            let total = Total {
                identity: identity.clone(),
                task,
                values,
                members: members.to_vec(),
                spoiled: spoiled || here,
            };
            self.at(at, Item::Total(*m, Box::new(total)));
        }
    }

    /// Everything has moved, unless a member was cut off meanwhile.
    pub(crate) fn total_came(&mut self, m: usize, total: Total) -> Result<(), Violation> {
        let connected = self.machines[m].connected.as_ref();
        let identity = &total.identity;
        let current = connected
            .is_some_and(|(i, _)| (i.term, i.generation) == (identity.term, identity.generation));
        // A new member set cancels what is in flight.
        if !current && !self.planted.reduces_old_members() {
            return Ok(());
        }
        let cut = |x: &usize| self.machines[*x].peer_cut;
        if self.dice.one_in(2) && total.members.iter().any(cut) {
            let missing = total.members.iter().find(|x| **x != m && cut(x)).copied();
            if let Some(group) = self.groups.get_mut(&key(identity)) {
                group.lost.insert(m, missing);
            }
            self.after(PATIENCE, Item::Impatient(m, total.identity));
            return Ok(());
        }
        self.apply(m, total)
    }

    fn apply(&mut self, m: usize, total: Total) -> Result<(), Violation> {
        let Total {
            identity,
            task,
            values,
            members,
            spoiled,
        } = total;
        let world_size = members.len();
        let rule = rule(identity.step, self.setting.micro_batches(identity.step));
        let either = self.dice.one_in(2);
        let machine = &mut self.machines[m];
        machine.moved(0, 1, 0);
        machine.spoiled_total = spoiled;
        machine.last_total = Some((identity.step, values.clone()));
        if std::mem::take(&mut machine.damage.state) {
            if either {
                machine.replica.flip_parameter_bit(m);
            } else {
                machine.replica.flip_moment_bit(m);
            }
        }
        let applied = match task {
            Task::Evaluate => machine.replica.evaluate(values, world_size),
            Task::Train | Task::Audit => machine.replica.apply(&rule, values, world_size),
        };
        match applied {
            Ok(mut report) => {
                report.bytes_sent = 1;
                self.input(m, Input::Applied { identity, report })
            }
            Err(error) if error.code == Code::Corrupt => self.input(m, Input::Broken(error)),
            // Nobody waits for a reduce of an earlier member set; one of this set must fit.
            Err(error)
                if error.code == Code::Internal
                    && !spoiled
                    && *self.machines[m].session.identity() == identity =>
            {
                Err(internal(m, &error))
            }
            Err(error) => self.input(m, reduce_failed(identity, error)),
        }
    }

    /// Nothing has moved for too long: it says so, and whom it waits for, and waits on.
    pub(crate) fn impatient(&mut self, m: usize, identity: &Identity) -> Result<(), Violation> {
        let machine = &self.machines[m];
        let Some((now, members)) = machine.connected.clone() else {
            return Ok(());
        };
        let ended = machine.session.identity() != identity;
        if ended || (now.term, now.generation) != (identity.term, identity.generation) {
            return Ok(());
        }
        let group = self.groups.get(&key(identity));
        let joined = |x: &usize| group.is_some_and(|g| g.joined.contains_key(x));
        let lost = group.and_then(|g| g.lost.get(&m));
        if lost.is_none() && group.is_some_and(|g| g.done) && joined(&m) {
            return Ok(());
        }
        let missing = lost.copied().unwrap_or_else(|| {
            let missing = members.iter().find(|x| **x != m && !joined(x));
            missing.copied()
        });
        let culprit = missing.and_then(|x| self.machines[x].stream.clone());
        self.after(PATIENCE / 4, Item::Impatient(m, identity.clone()));
        let stalled = Input::ReduceFailed {
            identity: identity.clone(),
            failed: Failed {
                error: self::lost("nothing moves"),
                culprit,
                scope: FailureScope::Nothing,
            },
        };
        self.input(m, stalled)
    }
}
