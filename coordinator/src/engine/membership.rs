//! Who may join and who is gone.

use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::ids::{Identity, Step, WorkerId};
use shared::wire::message::{Failed, Hello, Loaded, PROTOCOL, ToWorker, Welcome};

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
    if hello.resume.as_ref().is_some_and(|p| p.run != options.run) {
        return Err(
            Error::new(Code::SessionLost, "another run is led at this address now")
                .why("what the worker holds belongs to the run it worked for")
                .fix("join again: it then starts from nothing"),
        );
    }
    Ok(())
}

/// A hung device does not come back within its process: it must not join again by itself.
fn hung(step: Step) -> Error {
    Error::new(
        Code::Evicted,
        format!("step {step}: this worker's device did not finish a micro-batch in time"),
    )
    .why("the process is alive and its device does not answer; the others go on without it")
    .fix("look at the device, then start this worker again")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    pub(super) fn opened(&mut self, worker: WorkerId, hello: Hello) {
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
            let step = self.committed;
            self.send(&worker, ToWorker::Finish { step });
            self.out.push(Command::Disconnect(worker));
            return;
        }
        let name = hello.name.clone();
        let loaded = |p: &shared::wire::message::Position| p.loaded.is_some();
        if let Some(position) = hello.resume.clone().filter(loaded) {
            self.returned(worker, hello, position);
            return;
        }
        let deadline = self.now + self.options.ladder.load;
        let member = Member::new(hello, MemberState::Joining { deadline }, self.now);
        self.members.insert(worker.clone(), member);
        self.welcome(&worker, false);
        self.notice(Notice::Admitted { worker, name });
    }

    pub(super) fn welcome(&mut self, worker: &WorkerId, keep_sums: bool) {
        let ladder = &self.options.ladder;
        let welcome = Welcome {
            worker_id: worker.0.clone(),
            lease_ms: millis(ladder.lease),
            ride_through_ms: millis(ladder.ride_through),
            beat_ms: millis(ladder.beat).max(1),
            reduce_patience_ms: millis(ladder.reduce_patience),
            keep_sums,
            ..self.options.welcome.clone()
        };
        self.send(worker, ToWorker::Welcome(welcome));
    }

    pub(super) fn loaded(&mut self, worker: &WorkerId, loaded: Loaded) {
        let joining = |m: &Member| matches!(m.state, MemberState::Joining { .. });
        if !self.members.get(worker).is_some_and(joining) {
            return;
        }
        if self.accepts_device(worker, loaded.device_class) {
            self.set_state(worker, MemberState::Loaded);
            self.notice(Notice::Loaded {
                worker: worker.clone(),
                device: loaded.device,
            });
        }
    }

    /// Remembers the device class; under `strict` a foreign one is refused.
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

    pub(super) fn left(&mut self, worker: &WorkerId, reason: String) {
        self.remove(
            worker,
            Notice::Left {
                worker: worker.clone(),
                reason,
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
        if member.is_working() {
            self.working_member_left(worker);
        }
    }

    pub(super) fn tick(&mut self) {
        let (now, ladder) = (self.now, self.options.ladder);
        for (worker, member) in &mut self.members {
            if now.saturating_sub(member.heard) > ladder.suspect && !member.suspect {
                member.suspect = true;
                let worker = worker.clone();
                self.out.push(Command::Notice(Notice::Suspect { worker }));
            }
        }
        for (worker, notice) in self.overdue() {
            if let Notice::Hung { step, .. } = notice {
                self.send(&worker, ToWorker::Refused(hung(step)));
            }
            self.remove(&worker, notice);
        }
        self.sync_those_left_behind();
        self.reduce_overdue();
        self.doubt_overdue();
        self.proof_overdue();
        self.release_overdue();
        self.checkpoint_overdue();
        self.deal();
    }

    /// Who has let a deadline pass.
    fn overdue(&self) -> Vec<(WorkerId, Notice)> {
        let (now, ladder) = (self.now, &self.options.ladder);
        let late = |worker: &WorkerId, m: &Member| {
            let worker = worker.clone();
            if now.saturating_sub(m.heard) > ladder.lease {
                return Some(Notice::Silent { worker });
            }
            match m.state {
                MemberState::Joining { deadline } | MemberState::Syncing { deadline, .. }
                    if now > deadline =>
                {
                    return Some(Notice::Silent { worker });
                }
                _ => {}
            }
            // Of one that is not heard nobody knows what its device does.
            let first = m.outstanding.front().filter(|_| !m.suspect)?;
            let deadline = m.pace.deadline(ladder.progress, ladder.first_compute);
            (now.saturating_sub(first.since) > deadline).then_some(Notice::Hung {
                worker,
                step: first.step,
                micro_batch: first.micro_batch,
            })
        };
        self.members
            .iter()
            .filter_map(|(w, m)| Some((w.clone(), late(w, m)?)))
            .collect()
    }
}
