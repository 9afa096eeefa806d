//! Carries out what a session orders, as `worker/src/session/run.rs` and the threads behind it do.

use std::sync::Arc;

use shared::ids::Identity;
use shared::numerics;
use shared::wire::message::{SyncSource, Task};
use worker::collective::slice;
use worker::session::{Action, Ending, Input};

use super::bugs::Bug;
use super::invariants::Violation;
use super::machine::{Work, first_state, rule};
use super::plan::Moment;
use super::world::{Item, World};

const MS: u64 = 1000;

fn error(text: &str) -> shared::error::Error {
    shared::error::Error::new(shared::error::Code::SessionLost, text)
}

impl World {
    pub(crate) fn act(&mut self, m: usize, action: Action) -> Result<(), Violation> {
        match action {
            Action::Open => {
                self.machines[m].stream = None;
                let delay = self.dice.within(100, 5 * MS);
                self.after(delay, Item::Connect(m));
            }
            Action::Say(message) => self.send_up(m, *message),
            Action::Load(_) => {
                let loaded = shared::wire::message::Loaded {
                    device_class: "sim".into(),
                    ..Default::default()
                };
                let delay = self.dice.within(100 * MS, 800 * MS);
                self.after(delay, Item::Input(m, Input::Loaded(loaded)));
            }
            Action::Patience(_) => {}
            Action::Sync(_, sync) => self.sync(m, sync.source),
            Action::Unfollow => self.machines[m].follow += 1,
            Action::Connect {
                identity, members, ..
            } => {
                let peer = |a: &str| a.parse::<usize>().unwrap();
                let list = members.iter().map(|x| peer(&x.peer_address)).collect();
                self.machines[m].connected = Some((identity, list));
            }
            Action::Compute {
                identity,
                task,
                micro_batches,
            } => {
                for id in micro_batches {
                    let identity = identity.clone();
                    self.machines[m]
                        .queue
                        .push_back(Work { identity, task, id });
                }
                self.start_device(m)?;
            }
            Action::Withdraw {
                step,
                task,
                micro_batches,
            } => {
                let machine = &mut self.machines[m];
                machine.replica.withdraw(step, task, &micro_batches);
                machine
                    .withdrawn
                    .extend(micro_batches.iter().map(|id| (step, task, *id)));
            }
            Action::Credit(task, list) => {
                if let Err(e) = self.machines[m].replica.credit(task, &list) {
                    return Err(Violation::new("no internal errors", format!("m{m}: {e:?}")));
                }
            }
            Action::Forget => self.machines[m].replica.forget(),
            Action::Reduce {
                identity,
                task,
                world,
            } => self.hand_out(m, identity, task, world),
            Action::Reapply(identity) => {
                let rule = rule(identity.step, self.setting.micro_batches);
                match self.machines[m].replica.reapply(&rule) {
                    Ok((committed_digest, state_digest)) => {
                        let again = Input::Reapplied {
                            identity,
                            committed_digest,
                            state_digest,
                        };
                        self.after(300, Item::Input(m, again));
                    }
                    Err(e) => return Err(Violation::new("no internal errors", format!("{e:?}"))),
                }
            }
            Action::Prove => {
                let (step, state_digest) = self.machines[m].replica.prove();
                let proved = Input::Proved { step, state_digest };
                self.after(300, Item::Input(m, proved));
            }
            Action::Commit(step) => self.commit(m, step)?,
            Action::Stage { step, .. } => {
                let state = self.machines[m].replica.state();
                let outcome = if state.step != step {
                    Err(format!("the state of step {step} is gone"))
                } else if self.checkpoint_fails {
                    Err("no space left".into())
                } else {
                    self.staged.insert(step, (**state).clone());
                    Ok(Vec::new())
                };
                let delay = self.dice.within(MS, 200 * MS);
                self.after(delay, Item::Input(m, Input::Staged { step, outcome }));
            }
            Action::End(ending) => self.ended(m, &ending)?,
        }
        Ok(())
    }

    /// The sum of what is credited, on its way to the reduce.
    fn hand_out(&mut self, m: usize, identity: Identity, task: Task, world: usize) {
        let machine = &mut self.machines[m];
        if std::mem::take(&mut machine.corrupt_sum) {
            machine.replica.flip_sum_bit(task);
        }
        let sum = machine.replica.sum(task, world);
        let delay = self.dice.within(50, MS);
        self.after(delay, Item::SumReady(m, identity, task, sum));
    }

    fn ended(&mut self, m: usize, ending: &Ending) -> Result<(), Violation> {
        let text = format!("m{m} ends: {ending:?}");
        self.say(|| text);
        self.judge.ended(m, ending)?;
        self.ends(m);
        Ok(())
    }

    fn sync(&mut self, m: usize, source: SyncSource) {
        self.machines[m].follow += 1;
        let follow = self.machines[m].follow;
        let delay = self.dice.within(MS, 60 * MS);
        match source {
            SyncSource::Initial => {
                let state = first_state(self.setting.scaled);
                let step = state.step;
                self.after(delay, Item::Followed(m, follow, Some(state), step, None));
            }
            SyncSource::Checkpoint(name) => {
                let step = shared::ids::Step(name.parse().unwrap());
                let state = self.store.checkpoints[&step].clone();
                self.after(delay, Item::Followed(m, follow, Some(state), step, None));
            }
            SyncSource::Peer(address) => {
                let peer: usize = address.parse().unwrap();
                let usable = self.machines[peer].alive
                    && self.machines[peer]
                        .paused_until
                        .is_none_or(|until| until <= self.now)
                    && !self.machines[peer].peer_cut
                    && !self.machines[m].peer_cut;
                if usable {
                    let state = (**self.machines[peer].replica.state()).clone();
                    self.machines[peer].followers.push((m, follow));
                    let step = state.step;
                    let at = self.now + std::time::Duration::from_micros(delay);
                    self.machines[m].fed = at;
                    self.at(at, Item::Followed(m, follow, Some(state), step, None));
                } else {
                    let failed = Input::SyncFailed("unreachable".into());
                    self.after(delay + 500 * MS, Item::Input(m, failed));
                }
            }
        }
    }

    pub(crate) fn start_device(&mut self, m: usize) -> Result<(), Violation> {
        while !self.machines[m].busy {
            let Some(work) = self.machines[m].queue.pop_front() else {
                return Ok(());
            };
            if !self.machines[m].begins(&work) {
                let (step, micro_batches) = (work.identity.step, vec![work.id]);
                let task = work.task;
                self.input(
                    m,
                    Input::Skipped {
                        step,
                        task,
                        micro_batches,
                    },
                )?;
                continue;
            }
            self.machines[m].busy = true;
            self.moment = Moment::Compute;
            if self.machines[m].hung {
                return Ok(());
            }
            // With one worker nobody can tell that it computes wrongly, and of two one may be lost
            // before the other has looked.
            let alone = self.engine.as_ref().is_none_or(|e| e.working() < 3);
            self.machines[m].wrong_once &= !alone;
            let state = Arc::clone(self.machines[m].replica.state());
            let outcome = self.machines[m].compute(&work, &state);
            let time = self.dice.within(20 * MS, 60 * MS) * self.machines[m].slow;
            self.after(time, Item::DeviceDone(m, work, Box::new(outcome)));
        }
        Ok(())
    }

    fn commit(&mut self, m: usize, step: shared::ids::Step) -> Result<(), Violation> {
        let machine = &mut self.machines[m];
        let (total, _) = match machine.replica.commit(step) {
            Ok(done) => done,
            Err(e) => return Err(Violation::new("no internal errors", format!("m{m}: {e:?}"))),
        };
        for (follower, follow) in machine.followers.clone() {
            let soon = self.now + self.dice.micros(100, 3 * MS);
            let at = soon.max(self.machines[follower].fed);
            self.machines[follower].fed = at;
            let total = Some(total.to_vec());
            self.at(at, Item::Followed(follower, follow, None, step, total));
        }
        self.after(200, Item::Input(m, Input::Committed(step)));
        Ok(())
    }

    pub(crate) fn machine_hears(&mut self, item: Item) -> Result<(), Violation> {
        match item {
            Item::ToMachine(m, stream, message)
                if self.machines[m].stream.as_ref() == Some(&stream) =>
            {
                return self.input(m, Input::Coordinator(message));
            }
            Item::Broken(m, stream, reason)
                if self.machines[m].stream.as_ref() == Some(&stream) =>
            {
                self.machines[m].stream = None;
                return self.input(m, Input::Lost(reason));
            }
            Item::Input(m, input) => return self.input(m, input),
            Item::DeviceDone(m, work, outcome) => {
                let (result, values) = *outcome;
                self.machines[m].busy = false;
                if work.task.counts() {
                    self.machines[m]
                        .replica
                        .keep(work.identity.step, work.task, work.id, values);
                }
                let identity = work.identity;
                self.input(m, Input::Computed { identity, result })?;
                return self.start_device(m);
            }
            Item::Followed(m, follow, state, step, total) => {
                return self.followed(m, follow, state, step, total);
            }
            Item::Orphaned(m, follow) if self.machines[m].follow == follow => {
                return self.input(m, Input::SyncFailed("its source is gone".into()));
            }
            Item::SumReady(m, identity, task, sum) => {
                return self.join_reduce(m, identity, task, sum);
            }
            Item::Total(m, identity, task, total, world) => {
                return self.apply(m, identity, task, total, world);
            }
            Item::Impatient(m, identity) => return self.impatient(m, &identity),
            _ => {}
        }
        Ok(())
    }

    fn followed(
        &mut self,
        m: usize,
        follow: u64,
        state: Option<numerics::AdapterState>,
        step: shared::ids::Step,
        total: Option<Vec<i64>>,
    ) -> Result<(), Violation> {
        if self.machines[m].follow != follow {
            return Ok(());
        }
        let machine = &mut self.machines[m];
        let state_digest = match (state, total) {
            (Some(state), _) => machine.replica.adopt(state),
            (None, Some(total)) if machine.replica.state().step.next() == step => {
                let rule = rule(step, self.setting.micro_batches);
                let applied = machine.replica.apply(&rule, total, 1);
                let digest = match applied {
                    Ok(applied) => applied.state_digest,
                    Err(e) if e.code == shared::error::Code::Corrupt => {
                        return self.input(m, Input::Broken(e));
                    }
                    Err(e) => return Err(Violation::new("no internal errors", format!("{e:?}"))),
                };
                machine.replica.commit(step).unwrap();
                digest
            }
            _ => return Ok(()),
        };
        self.input(m, Input::Synced { step, state_digest })
    }

    fn join_reduce(
        &mut self,
        m: usize,
        identity: Identity,
        task: Task,
        sum: Arc<Vec<i64>>,
    ) -> Result<(), Violation> {
        let among = self.machines[m].connected.clone();
        let fits = among
            .as_ref()
            .is_some_and(|(i, _)| (i.term, i.generation) == (identity.term, identity.generation));
        let Some((_, members)) = among.filter(|_| fits || self.bug == Some(Bug::OldMembers)) else {
            let error = error("stale");
            return self.input(
                m,
                Input::ReduceFailed {
                    identity,
                    error,
                    culprit: None,
                },
            );
        };
        self.moment = Moment::Reduce;
        let sum = self.in_place(m, &identity, sum);
        if self.machines[m].peer_cut {
            self.after(5_000 * MS, Item::Impatient(m, identity));
            return Ok(());
        }
        let generation = self.machines[m]
            .connected
            .as_ref()
            .map(|(i, _)| i.generation);
        let key = (
            identity.term,
            generation.unwrap_or(identity.generation),
            identity.step,
            identity.attempt,
        );
        let group = self.groups.entry(key).or_default();
        group.joined.insert(m, sum);
        let complete = members.iter().all(|x| group.joined.contains_key(x)) && !group.done;
        if complete {
            group.done = true;
            let joined = group.joined.clone();
            self.deliver(&members, &joined, &identity, task);
        } else {
            self.after(5_000 * MS, Item::Impatient(m, identity));
        }
        Ok(())
    }

    /// For a planted bug: the sum of a repeated reduce was overwritten by the total before.
    fn in_place(&self, m: usize, identity: &Identity, sum: Arc<Vec<i64>>) -> Arc<Vec<i64>> {
        let last = self.machines[m].last_total.as_ref();
        let repeats =
            |step: &_, total: &Vec<i64>| *step == identity.step && total.len() == sum.len();
        let planted = self.bug == Some(Bug::InPlace);
        match last.filter(|(step, total)| planted && repeats(step, total)) {
            Some((_, total)) => Arc::new(total.clone()),
            None => sum,
        }
    }

    /// Every member gets the total in its own time; a faulty one spoils what passes through it.
    fn deliver(
        &mut self,
        members: &[usize],
        joined: &std::collections::BTreeMap<usize, Arc<Vec<i64>>>,
        identity: &Identity,
        task: Task,
    ) {
        let world = members.len();
        let length = joined[&members[0]].len();
        let mut total = vec![0_i64; length];
        for sum in joined.values() {
            numerics::accumulate(&mut total, sum);
        }
        for (slot, owner) in members.iter().enumerate() {
            let range = slice(length, world, slot);
            if std::mem::take(&mut self.machines[*owner].corrupt_slice) && !range.is_empty() {
                total[range.start] ^= 2;
            }
        }
        for m in members {
            let mut arrived = total.clone();
            if std::mem::take(&mut self.machines[*m].corrupt_total) {
                arrived[0] ^= 4;
            }
            let delay = self.dice.within(200, 8 * MS);
            let item = Item::Total(*m, identity.clone(), task, arrived, world);
            self.after(delay, item);
        }
    }

    fn apply(
        &mut self,
        m: usize,
        identity: Identity,
        task: Task,
        total: Vec<i64>,
        world: usize,
    ) -> Result<(), Violation> {
        // A new member set cancels what is in flight.
        let connected = self.machines[m].connected.as_ref();
        if connected
            .is_none_or(|(i, _)| (i.term, i.generation) != (identity.term, identity.generation))
            && self.bug != Some(Bug::OldMembers)
        {
            return Ok(());
        }
        self.machines[m].last_total = Some((identity.step, total.clone()));
        let rule = rule(identity.step, self.setting.micro_batches);
        if std::mem::take(&mut self.machines[m].corrupt_state) {
            let replica = &mut self.machines[m].replica;
            if self.dice.one_in(2) {
                replica.flip_parameter_bit(m);
            } else {
                replica.flip_moment_bit(m);
            }
        }
        let replica = &mut self.machines[m].replica;
        let applied = match task {
            Task::Evaluate => replica.evaluate(total, world),
            _ => replica.apply(&rule, total, world),
        };
        match applied {
            Ok(report) => self.input(m, Input::Applied { identity, report }),
            Err(error) if error.code == shared::error::Code::Corrupt => {
                self.input(m, Input::Broken(error))
            }
            // Nobody waits for a reduce of an earlier member set; one of this set must fit.
            Err(error)
                if error.code == shared::error::Code::Internal
                    && !self.judge.is_planted()
                    && *self.machines[m].session.identity() == identity =>
            {
                Err(Violation::new(
                    "no internal errors",
                    format!("m{m}: {error:?}"),
                ))
            }
            Err(error) => self.input(
                m,
                Input::ReduceFailed {
                    identity,
                    error,
                    culprit: None,
                },
            ),
        }
    }

    /// Nothing moved for too long: whoever did not join is named.
    fn impatient(&mut self, m: usize, identity: &Identity) -> Result<(), Violation> {
        let key = (
            identity.term,
            identity.generation,
            identity.step,
            identity.attempt,
        );
        let Some((now, members)) = self.machines[m].connected.clone() else {
            return Ok(());
        };
        let done = self
            .groups
            .get(&key)
            .is_some_and(|g| g.done && g.joined.contains_key(&m));
        if done || (now.term, now.generation) != (identity.term, identity.generation) {
            return Ok(());
        }
        let joined = self.groups.get(&key);
        let missing = members
            .iter()
            .find(|x| **x != m && joined.is_none_or(|g| !g.joined.contains_key(x)));
        let culprit = missing.and_then(|x| self.machines[*x].stream.clone());
        let error = error("nothing moved");
        let identity = identity.clone();
        self.input(
            m,
            Input::ReduceFailed {
                identity,
                error,
                culprit,
            },
        )
    }
}
