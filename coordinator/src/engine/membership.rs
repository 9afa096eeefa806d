//! Which workers may join, and which are evicted, refused or gone.

use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::ids::{Identity, WorkerId};
use shared::ledger::Evicted;
use shared::wire::message::{Failed, FailureScope, Hello, Loaded, PROTOCOL, ToWorker, Welcome};

use super::event::Command;
use super::members::{Member, MemberState};
use super::notice::Notice;
use super::recovery::rehearsals;
use super::state::Phase;
use super::{Engine, Options};

/// Whether a worker may join, by its version, its device and the run it names.
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
    if hello.resume.as_ref().is_some_and(|p| p.run != options.run) {
        return Err(
            Error::new(Code::SessionLost, "another run is led at this address now")
                .why("what the worker holds belongs to the run it worked for")
                .fix("join again: it then starts from nothing"),
        );
    }
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    pub(super) fn opened(&mut self, worker: WorkerId, hello: Hello) {
        if let Err(error) = admit(&hello, &self.options, env!("CARGO_PKG_VERSION")) {
            self.send(&worker, ToWorker::Refused(error.clone()));
            self.outbox.push(Command::Notice(Notice::Failed {
                worker: worker.clone(),
                error,
            }));
            self.outbox.push(Command::Disconnect(worker));
            return;
        }
        if matches!(self.phase, Phase::Over) {
            let step = self.states.committed;
            self.send(&worker, ToWorker::Finish { step });
            self.outbox.push(Command::Disconnect(worker));
            return;
        }
        let name = hello.name.clone();
        let loaded = |p: &shared::wire::message::Position| p.loaded.is_some();
        if let Some(position) = hello.resume.clone().filter(loaded) {
            self.returned(worker, hello, position);
            return;
        }
        self.end_earlier_session(&hello.incarnation);
        let since = self.now;
        let member = Member::new(hello, MemberState::Joining { since }, self.now);
        self.members.insert(worker.clone(), member);
        self.welcome(&worker, false);
        self.outbox.notice(Notice::Admitted { worker, name });
    }

    pub(super) fn welcome(&mut self, worker: &WorkerId, keep_sums: bool) {
        let timeouts = &self.options.timeouts;
        let welcome = Welcome {
            worker_id: worker.0.clone(),
            lease_ms: millis(timeouts.lease),
            ride_through_ms: millis(timeouts.ride_through),
            beat_ms: millis(timeouts.beat).max(1),
            reduce_patience_ms: millis(timeouts.reduce_patience),
            keep_sums,
            ..self.options.welcome.clone()
        };
        self.send(worker, ToWorker::Welcome(welcome));
    }

    pub(super) fn loaded(&mut self, worker: &WorkerId, loaded: Loaded) {
        let joining = |m: &Member| matches!(m.state(), MemberState::Joining { .. });
        if !self.members.get(worker).is_some_and(joining) {
            return;
        }
        if let Some(member) = self.members.get_mut(worker) {
            member.pace.rehearsed(rehearsals(&loaded));
        }
        if self.accepts_device(worker, loaded.device_class) {
            self.members.set_state(worker, MemberState::Loaded);
            self.outbox.notice(Notice::Loaded {
                worker: worker.clone(),
                device: loaded.device,
            });
        }
    }

    /// Remembers the worker's device class; under `strict` a worker of another class is refused.
    pub(super) fn accepts_device(&mut self, worker: &WorkerId, class: String) -> bool {
        let own = self
            .options
            .device_class
            .get_or_insert_with(|| class.clone())
            .clone();
        if self.options.strict_devices && own != class {
            let error = Error::new(
                Code::DeviceClassDiffers,
                "this worker is of another device class, and `device_class` is strict",
            )
            .why(format!("the run computes on {own}, the worker on {class}"))
            .fix("join from a machine of that class, or start with --set device_class=mixed");
            self.refuse(worker, error);
            return false;
        }
        if let Some(member) = self.members.get_mut(worker) {
            member.device_class = class;
        }
        true
    }

    pub(super) fn failed(&mut self, worker: &WorkerId, identity: &Identity, failed: Failed) {
        match failed.scope {
            FailureScope::Reduce => self.reduce_failed(worker, identity, failed),
            FailureScope::Nothing => self.reduce_stalled(worker, identity, failed),
            FailureScope::Work => {
                self.look_through_its_source(worker);
                let notice = Notice::Failed {
                    worker: worker.clone(),
                    error: failed.error,
                };
                self.remove(worker, notice);
            }
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

    pub(super) fn left(&mut self, worker: &WorkerId, reason: String) {
        self.remove(
            worker,
            Notice::Left {
                worker: worker.clone(),
                reason,
            },
        );
    }

    /// Removes a worker; its assignments and credits of this step go back to the pool.
    pub(super) fn remove(&mut self, worker: &WorkerId, why: Notice) {
        let Some(member) = self.members.remove(worker) else {
            return;
        };
        self.outbox.push(Command::Disconnect(worker.clone()));
        let held = member.has_state(self.states.committed) || !member.retains.is_empty();
        let line = matches!(why, Notice::Left { .. } | Notice::Silent { .. });
        if held && line && !member.hello.incarnation.is_empty() {
            let until = self.now + self.options.timeouts.rejoin;
            self.members.awaits(member.hello.incarnation.clone(), until);
        }
        if why.evicts() {
            self.outbox.push(Command::Evicted(Evicted {
                worker: worker.clone(),
                reason: why.to_string(),
            }));
        }
        self.outbox.notice(why);
        self.checkpoint_writer_left(worker);
        if member.is_working() {
            self.working_member_left();
        }
        self.store_owed();
    }
}
