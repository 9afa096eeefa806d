//! Carries out what a session orders, as `worker/src/session/run.rs` and the threads behind it do.
//!
//! In: actions. Out: what they come to, after as long as it takes. `reduce` sums among machines, `follow` where a
//! state comes from and where it goes.
//! Keeps: the replica and the session are the shipped ones; only the device, the network and the storage are not.

use std::sync::Arc;

use shared::error::Error;
use shared::wire::message::Task;
use worker::session::{Action, Ending, Input};

use super::evaluation::PARTS;
use super::invariants::Violation;
use super::machine::{Work, rule};
use super::plan::Moment;
use super::reduce::reduce_failed;
use super::world::{Item, World};

const MS: u64 = 1000;

/// What cannot go wrong without a bug.
pub(crate) fn internal(m: usize, error: &Error) -> Violation {
    Violation::new("no internal errors", format!("m{m}: {error:?}"))
}

impl World {
    pub(crate) fn act(&mut self, m: usize, action: Action) -> Result<(), Violation> {
        match action {
            Action::Open { after } => {
                self.hang_up(m, "it opened another session");
                let delay = self.dice.within(100, 5 * MS);
                let pause = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                self.after(pause.saturating_add(delay), Item::Connect(m));
            }
            Action::Say(message) => self.send_up(m, *message),
            Action::Load(_) => {
                let loaded = self.machines[m].loaded(&self.setting);
                let loaded = self.planted.loaded(loaded);
                let delay = self.dice.within(100 * MS, 800 * MS);
                self.after(delay, Item::Input(m, Input::Loaded(loaded)));
            }
            Action::Patience(_) | Action::Abandon => {}
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
                let queue = &mut self.machines[m].queue;
                queue.extend(micro_batches.into_iter().map(|id| Work {
                    identity: identity.clone(),
                    task,
                    id,
                }));
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
                let credited = self.machines[m].replica.credit(task, &list);
                credited.map_err(|e| internal(m, &e))?;
            }
            Action::Forget => self.machines[m].replica.forget(),
            Action::Reduce {
                identity,
                task,
                world_size,
            } => self.hand_out(m, identity, task, world_size),
            Action::Reapply(identity) => self.reapply(m, identity)?,
            Action::Explain(identity) => {
                let slices = self.machines[m].replica.explain();
                let told = Input::Slices { identity, slices };
                self.after(300, Item::Input(m, told));
            }
            Action::Prove => {
                let (step, state_digest) = self.machines[m].replica.prove();
                let proved = Input::Proved { step, state_digest };
                self.after(300, Item::Input(m, proved));
            }
            Action::Retain(steps) => {
                self.machines[m].replica.retain(&steps);
                self.tell_retained(m);
            }
            Action::Commit(step) => self.commit(m, step)?,
            Action::Stage { step, staging } => self.stage(m, step, staging),
            Action::End(ending) => self.ended(m, &ending)?,
        }
        Ok(())
    }

    fn reapply(&mut self, m: usize, identity: shared::ids::Identity) -> Result<(), Violation> {
        let rule = rule(identity.step, self.setting.micro_batches(identity.step));
        let input = match self.machines[m].replica.reapply(&rule) {
            Ok((committed_digest, state_digest)) => Input::Reapplied {
                identity,
                committed_digest,
                state_digest,
            },
            // The total was spoiled on its way: applying it again fails again.
            Err(error) if self.machines[m].spoiled_total => reduce_failed(identity, error),
            Err(error) => return Err(internal(m, &error)),
        };
        self.after(300, Item::Input(m, input));
        Ok(())
    }

    fn ended(&mut self, m: usize, ending: &Ending) -> Result<(), Violation> {
        let text = format!("m{m} ends: {ending:?}");
        self.say(|| text);
        self.judge.ended(m, ending)?;
        self.ends(m);
        Ok(())
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
            let time = self.work_time(m, &work);
            let now = self.now;
            let machine = &mut self.machines[m];
            machine.damage.compute &= !alone;
            machine.computes(&self.setting.sizes, work.task, now, time);
            let state = Arc::clone(machine.replica.state());
            let outcome = machine.compute(&work, &state, &self.setting, time);
            self.after(time, Item::DeviceDone(m, work, Box::new(outcome)));
        }
        Ok(())
    }

    /// What this device takes for it, microseconds.
    fn work_time(&mut self, m: usize, work: &Work) -> u64 {
        let sizes = &self.setting.sizes;
        let cost = match work.task {
            Task::Evaluate => sizes.evaluate(work.id, PARTS),
            Task::Train | Task::Audit => sizes.train(work.identity.step, work.id),
        };
        let usual = sizes.time(cost);
        usual * self.dice.within(80, 120) / 100 * self.machines[m].slow
    }

    pub(crate) fn machine_hears(&mut self, item: Item) -> Result<(), Violation> {
        match item {
            Item::ToMachine(m, stream, message)
                if self.machines[m].stream.as_ref() == Some(&stream) =>
            {
                self.input(m, Input::Coordinator(message))
            }
            Item::Broken(m, stream, reason)
                if self.machines[m].stream.as_ref() == Some(&stream) =>
            {
                self.machines[m].stream = None;
                self.input(m, Input::Lost(reason))
            }
            Item::Input(m, input) => self.input(m, input),
            Item::DeviceDone(m, work, outcome) => {
                let (result, values) = *outcome;
                self.machines[m].busy = false;
                self.machines[m].moved(1, 0, 0);
                if work.task.counts() {
                    self.machines[m]
                        .replica
                        .keep(work.identity.step, work.task, work.id, values);
                }
                let identity = work.identity;
                self.input(m, Input::Computed { identity, result })?;
                self.start_device(m)
            }
            Item::Followed(m, follow, state, step, total) => {
                self.followed(m, follow, state, step, total)
            }
            Item::Orphaned(m, follow) if self.machines[m].follow == follow => {
                self.input(m, Input::SyncFailed("its source is gone".into()))
            }
            Item::Staged(m, step, staging, outcome) => self.staged(m, step, staging, outcome),
            Item::SumReady(m, identity, task, sum, spoiled) => {
                self.join_reduce(m, identity, task, sum, spoiled)
            }
            Item::Total(m, total) => self.total_came(m, *total),
            Item::Impatient(m, identity) => self.impatient(m, &identity),
            _ => Ok(()),
        }
    }
}
