//! What each word of the coordinator means.

use shared::error::{Code, Error};
use shared::ids::{Generation, Identity, MicroBatchId, WorkerId};
use shared::wire::message::{Envelope, MemberChange, Sync, Task, ToWorker, Welcome};

use super::roster::Roster;
use super::times::Times;
use super::{Action, Ending, Session};

impl Session {
    pub(super) fn hear(&mut self, envelope: Envelope<ToWorker>) {
        let Envelope { identity, body } = envelope;
        self.link.heard(self.now, self.times.lease);
        if matches!(body, ToWorker::Beat) {
            return;
        }
        if identity.term < self.identity.term {
            self.lost("a coordinator of an older term answered".into());
            return;
        }
        let known = &self.identity;
        if identity.term == known.term && identity.generation < known.generation {
            return;
        }
        if !matches!(body, ToWorker::Welcome(_) | ToWorker::Stale(_)) {
            self.link.useful(self.now);
        }
        match body {
            ToWorker::Welcome(welcome) => self.welcomed(identity, welcome),
            ToWorker::Refused(error) => self.end(Ending::Failed(error)),
            ToWorker::Sync(sync) => self.sync(identity, sync),
            ToWorker::Members(members) => self.members(identity, members),
            ToWorker::Assign(task, list) => {
                self.identity = identity.clone();
                self.switch_task(task);
                self.assign(identity, task, list);
            }
            ToWorker::Withdraw(task, list) => self.withdraw(&identity, task, list),
            ToWorker::Credit(task, list) => self.credit(task, list),
            ToWorker::Reduce { task, .. } => {
                self.identity = identity.clone();
                self.switch_task(task);
                let world_size = self.roster.world_size();
                self.out.push(Action::Reduce {
                    identity,
                    task,
                    world_size,
                });
            }
            ToWorker::Reapply => {
                if identity == self.identity {
                    self.out.push(Action::Reapply(identity));
                }
            }
            // A worker that is being brought up has no state to prove.
            ToWorker::Prove => {
                if self.state.is_some() {
                    self.out.push(Action::Prove);
                }
            }
            ToWorker::Retain(steps) => {
                self.wanted = steps;
                self.retain();
            }
            ToWorker::Explain => {
                if identity == self.identity {
                    self.out.push(Action::Explain(identity));
                }
            }
            ToWorker::Commit { state_digest } => self.commit(identity, state_digest),
            ToWorker::WriteCheckpoint { step, staging } => {
                self.out.push(Action::Stage { step, staging });
            }
            ToWorker::Release => self.end(Ending::Drained),
            ToWorker::Finish { step } => self.end(Ending::Complete(step)),
            ToWorker::Stopped { step, hold } => self.stopped(step, hold),
            ToWorker::Stale(_) | ToWorker::Beat => {}
        }
    }

    fn welcomed(&mut self, identity: Identity, welcome: Welcome) {
        self.identity = Identity {
            generation: Generation(0),
            ..identity
        };
        self.times = Times::of(&welcome);
        self.stopped_after = None;
        self.worker = Some(WorkerId(welcome.worker_id.clone()));
        self.out.push(Action::Patience(self.times.reduce_patience));
        self.out.push(Action::Abandon);
        self.waiting.clear();
        self.roster = Roster::default();
        if std::mem::take(&mut self.following) {
            self.out.push(Action::Unfollow);
        }
        if self.loaded.is_none() {
            self.out.push(Action::Load(Box::new(welcome)));
        } else if !welcome.keep_sums && !self.credited.is_empty() {
            // The shadow stays: the word that it is committed may follow.
            self.credited.clear();
            self.uncredited.clear();
            self.out.push(Action::Forget);
        }
        // What was said of leaving in the session before ended with that session.
        if self.draining {
            self.ask_to_leave();
        }
    }

    /// Hands on the steps whose states are wanted; before loading there is no replica to keep them.
    pub(super) fn retain(&mut self) {
        if self.loaded.is_some() {
            self.out.push(Action::Retain(self.wanted.clone()));
        }
    }

    fn sync(&mut self, identity: Identity, sync: Sync) {
        self.identity = identity.clone();
        self.forget();
        self.state = None;
        self.computable_step = None;
        self.waiting.clear();
        self.following = true;
        self.out.push(Action::Abandon);
        self.out.push(Action::Forget);
        self.out.push(Action::Sync(identity, sync));
    }

    fn members(&mut self, identity: Identity, change: MemberChange) {
        if let Err(error) = self.roster.apply(identity.generation, change) {
            self.broken(error);
            return;
        }
        let Some(slot) = self.roster.slot_of(self.worker.as_ref()) else {
            let error =
                Error::new(Code::Evicted, "this worker is not a member any more").fix("join again");
            self.end(Ending::Failed(error));
            return;
        };
        self.identity = identity.clone();
        if std::mem::take(&mut self.following) {
            self.out.push(Action::Unfollow);
        }
        self.out.push(Action::Connect {
            identity,
            members: self.roster.members().to_vec(),
            slot,
        });
    }

    fn withdraw(&mut self, identity: &Identity, task: Task, list: Vec<MicroBatchId>) {
        let step = identity.step;
        for (at, of, waiting) in &mut self.waiting {
            if at.step == step && *of == task {
                waiting.retain(|id| !list.contains(id));
            }
        }
        let mut free = Vec::new();
        for id in &list {
            if task == self.task {
                self.uncredited.remove(id);
            }
            if !self.on_device.contains(&(step, task, *id)) {
                free.push(*id);
            }
        }
        self.out.push(Action::Withdraw {
            step,
            task,
            micro_batches: list,
        });
        // What the device has is answered by the device; what it never got is answered here.
        if !free.is_empty() {
            self.skipped(step, task, free);
        }
    }

    fn credit(&mut self, task: Task, mut list: Vec<MicroBatchId>) {
        self.switch_task(task);
        // A credit that is said twice counts once.
        list.retain(|id| !self.credited.contains_key(id));
        for id in &list {
            let Some(fingerprint) = self.uncredited.remove(id) else {
                let what = format!("micro-batch {id} was credited but is not held here");
                self.broken(Error::new(Code::Internal, what));
                return;
            };
            self.credited.insert(*id, fingerprint);
        }
        if !list.is_empty() {
            self.out.push(Action::Credit(task, list));
        }
    }

    fn commit(&mut self, identity: Identity, state_digest: String) {
        let step = identity.step;
        if self.state.as_ref().is_some_and(|(at, _)| *at == step) {
            return;
        }
        if self.shadow.as_ref() != Some(&(step, state_digest.clone())) {
            let had = self.shadow.as_ref().map_or("nothing", |(_, d)| d.as_str());
            let error = Error::new(
                Code::ReplicasDisagree,
                format!("step {step} was committed with another state than this worker has"),
            )
            .why(format!("here {had}, committed {state_digest}"));
            self.broken(error);
            return;
        }
        self.identity = identity;
        self.forget();
        self.state = Some((step, state_digest));
        self.out.push(Action::Commit(step));
    }
}
