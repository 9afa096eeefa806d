//! Who may join, who holds the state, who counts, who is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::ids::{Slot, Step, WorkerId};
use shared::wire::message::{
    self, Failed, Hello, Loaded, PROTOCOL, Sync, SyncSource, ToWorker, Welcome,
};

use super::event::Command;
use super::notice::Notice;
use super::state::{Member, MemberState, Phase};
use super::{Engine, Options};

/// Whether a worker may join at all.
///
/// # Errors
/// [`Code::VersionMismatch`], [`Code::DeviceContradiction`].
pub(super) fn admit(hello: &Hello, options: &Options, version: &str) -> Result<()> {
    if hello.protocol != PROTOCOL || hello.version != version {
        return Err(Error::new(
            Code::VersionMismatch,
            format!(
                "worker {} and coordinator {version} are of different versions",
                hello.version
            ),
        )
        .why(format!(
            "the worker speaks protocol {}, the coordinator {PROTOCOL}",
            hello.protocol
        ))
        .fix(format!(
            "run a worker of version {version}; the worker did not start"
        )));
    }
    let (asked, bound) = (hello.device.as_str(), options.device.as_str());
    let kind = |device: &str| device.split(':').next().unwrap_or_default().to_owned();
    let contradicts = !asked.is_empty()
        && asked != "auto"
        && bound != "auto"
        && asked != bound
        && (kind(asked) != kind(bound) || bound.contains(':'));
    if contradicts {
        return Err(Error::new(
            Code::DeviceContradiction,
            format!("--device {asked} contradicts `device: {bound}` of the configuration"),
        )
        .why("the configuration's device binds all workers")
        .fix(format!(
            "leave --device out, or start the run with --set device={asked}"
        )));
    }
    Ok(())
}

impl Engine {
    pub(super) fn opened(&mut self, worker: WorkerId, hello: Hello, now: Duration) {
        if let Err(error) = admit(&hello, &self.options, env!("CARGO_PKG_VERSION")) {
            self.send(&worker, ToWorker::Refused(error.clone()));
            self.out.push(Command::Notice(Notice::Failed {
                worker: worker.clone(),
                error,
            }));
            self.out.push(Command::Disconnect(worker));
            return;
        }
        if matches!(self.phase, Phase::Over) {
            self.send(
                &worker,
                ToWorker::Finish {
                    step: self.committed,
                },
            );
            self.out.push(Command::Disconnect(worker));
            return;
        }
        let deadline = now + self.options.load_deadline;
        let name = hello.name.clone();
        let state = MemberState::Joining { deadline };
        let member = Member {
            hello,
            device_class: String::new(),
            state,
            heard: now,
        };
        self.members.insert(worker.clone(), member);
        let welcome = Welcome {
            worker_id: worker.0.clone(),
            ..self.options.welcome.clone()
        };
        self.send(&worker, ToWorker::Welcome(welcome));
        self.notice(Notice::Admitted { worker, name });
    }

    pub(super) fn loaded(&mut self, worker: &WorkerId, loaded: Loaded) {
        let Some(member) = self.members.get_mut(worker) else {
            return;
        };
        member.state = MemberState::Loaded;
        member.device_class = loaded.device_class;
        self.notice(Notice::Loaded {
            worker: worker.clone(),
            device: loaded.device,
        });
    }

    pub(super) fn ready(&mut self, worker: &WorkerId, step: Step, digest: String) {
        let Some(member) = self.members.get(worker) else {
            return;
        };
        if !matches!(member.state, MemberState::Syncing { .. }) {
            return;
        }
        if step != self.committed {
            let identity = self.identity();
            self.send(worker, ToWorker::Stale(identity));
            self.set_state(worker, MemberState::Loaded);
            return;
        }
        match &self.state_digest {
            Some(agreed) if *agreed != digest => {
                let error = Error::new(
                    Code::ReplicasDisagree,
                    format!("the worker's state of step {step} differs from the others'"),
                )
                .why(format!("it has {digest}, the run has {agreed}"))
                .fix("all workers must run the same build on the same device class");
                self.refuse(worker, error);
            }
            Some(_) => self.set_state(worker, MemberState::Ready),
            None => {
                self.state_digest = Some(digest);
                self.set_state(worker, MemberState::Ready);
            }
        }
    }

    pub(super) fn failed(
        &mut self,
        worker: &WorkerId,
        identity: &shared::ids::Identity,
        failed: Failed,
    ) {
        if failed.retryable {
            self.reduce_failed(worker, identity, failed);
        } else {
            let notice = Notice::Failed {
                worker: worker.clone(),
                error: failed.error,
            };
            self.remove(worker, notice);
        }
    }

    pub(super) fn refuse(&mut self, worker: &WorkerId, error: Error) {
        self.send(worker, ToWorker::Refused(error.clone()));
        self.remove(
            worker,
            Notice::Failed {
                worker: worker.clone(),
                error,
            },
        );
    }

    /// Takes a member out; what it took in this step goes back to the pool.
    pub(super) fn remove(&mut self, worker: &WorkerId, why: Notice) {
        let Some(member) = self.members.remove(worker) else {
            return;
        };
        self.notice(why);
        self.out.push(Command::Disconnect(worker.clone()));
        self.checkpoint_writer_left(worker);
        if member.state.is_working() {
            self.working_member_left(worker);
        }
    }

    pub(super) fn tick(&mut self, now: Duration) {
        let lease = self.options.lease;
        let overdue: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| {
                let late = match m.state {
                    MemberState::Joining { deadline } | MemberState::Syncing { deadline } => {
                        now > deadline
                    }
                    _ => false,
                };
                late || now.saturating_sub(m.heard) > lease
            })
            .map(|(id, _)| id.clone())
            .collect();
        for worker in overdue {
            self.remove(
                &worker,
                Notice::Silent {
                    worker: worker.clone(),
                },
            );
        }
    }

    /// At a step boundary: brings joiners up, forms the generation, begins the step.
    pub(super) fn settle(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Gathering) || self.hold_for_checkpoint() {
            return;
        }
        if self.interrupted {
            self.stop_safely();
            return;
        }
        self.sync_loaded(now);
        let syncing = self
            .members
            .values()
            .any(|m| matches!(m.state, MemberState::Syncing { .. }));
        let ready = self
            .members
            .values()
            .filter(|m| m.state.has_state())
            .count();
        let needed = if self.started {
            self.options.min_workers
        } else {
            self.options.wait_workers
        }
        .max(1);
        if ready < needed {
            self.notice(Notice::Waiting { ready, needed });
            return;
        }
        if syncing {
            return;
        }
        self.form_generation();
        self.started = true;
        self.begin_step();
    }

    fn sync_loaded(&mut self, now: Duration) {
        let loaded: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.state == MemberState::Loaded)
            .map(|(id, _)| id.clone())
            .collect();
        if loaded.is_empty() {
            return;
        }
        let source = self.state_source();
        for worker in loaded {
            let sync = Sync {
                step: self.committed,
                source: source.clone(),
                state_digest: self.state_digest.clone().unwrap_or_default(),
            };
            let deadline = now + self.options.sync_deadline;
            self.set_state(&worker, MemberState::Syncing { deadline });
            self.send(&worker, ToWorker::Sync(sync));
        }
    }

    /// Where a joiner takes the committed state from; goes back to storage when nobody has it.
    fn state_source(&mut self) -> SyncSource {
        if self.committed == self.restorable.step {
            return self.restorable.source.clone();
        }
        let holder = self.members.values().find(|m| m.state.has_state());
        if let Some(holder) = holder {
            return SyncSource::Peer(holder.hello.peer_address.clone());
        }
        self.committed = self.restorable.step;
        self.state_digest = self.restorable.state_digest.clone();
        self.out.push(Command::Rewind(self.committed));
        self.notice(Notice::Rewound {
            step: self.committed,
        });
        self.restorable.source.clone()
    }

    fn form_generation(&mut self) {
        let changed = self.members.values().any(|m| m.state == MemberState::Ready);
        if !changed && self.generation.0 > 0 {
            return;
        }
        self.generation = self.generation.next();
        let with_state: Vec<_> = self
            .members
            .iter()
            .filter(|(_, m)| m.state.has_state())
            .map(|(id, _)| id.clone())
            .collect();
        for (slot, worker) in (0..).zip(&with_state) {
            self.set_state(worker, MemberState::Working { slot: Slot(slot) });
        }
        self.announce_members();
        self.report_devices();
    }

    /// Tells every member who the others are.
    pub(super) fn announce_members(&mut self) {
        let working = self.working_ids();
        let list: Vec<_> = (0..)
            .zip(&working)
            .filter_map(|(slot, worker)| {
                let member = self.members.get_mut(worker)?;
                member.state = MemberState::Working { slot: Slot(slot) };
                Some(message::Member {
                    worker: worker.clone(),
                    slot: Slot(slot),
                    peer_address: member.hello.peer_address.clone(),
                })
            })
            .collect();
        self.send_working(&ToWorker::Members(list));
        let (generation, workers) = (self.generation, working.len());
        self.notice(Notice::Generation {
            generation,
            workers,
        });
    }

    fn report_devices(&mut self) {
        let classes: BTreeSet<_> = self
            .members
            .values()
            .filter(|m| m.state.is_working())
            .map(|m| m.device_class.clone())
            .collect();
        if classes.len() > 1 {
            self.notice(Notice::MixedDevices {
                classes: classes.into_iter().collect(),
            });
        }
    }

    fn set_state(&mut self, worker: &WorkerId, state: MemberState) {
        if let Some(member) = self.members.get_mut(worker) {
            member.state = state;
        }
    }
}
