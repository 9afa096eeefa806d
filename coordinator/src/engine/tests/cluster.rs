//! A cluster of scripted workers around one engine. A worker's state is the set of steps it
//! committed, its gradient a hash of (step, micro-batch): enough to see what counted.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{Identity, Step, WorkerId};
use shared::numerics::LossScale;
use shared::wire::message::{
    Envelope, FileDigest, FromWorker, Hello, Loaded, PROTOCOL, SliceFingerprints, Sync, SyncSource,
    ToWorker,
};

use super::super::{
    Command, Committed, Engine, Event, ExportFailure, Notice, Options, PublishFailure, Remembered,
    Restorable, Schedule, StoredCheckpoint,
};
pub(super) use super::scripted::{Fixed, Scripted, expected_state, options, worker};

/// Whether a step is skipped, and the loss scale it was computed with.
pub(super) type Outcome = (bool, Option<LossScale>);

pub(super) struct Cluster {
    /// What comes out of each step.
    pub(super) outcome: fn(Step) -> Outcome,
    pub(super) engine: Engine,
    pub(super) now: Duration,
    pub(super) workers: BTreeMap<WorkerId, Scripted>,
    pub(super) commits: Vec<Committed>,
    pub(super) notices: Vec<Notice>,
    pub(super) end: Option<Command>,
    pub(super) reducing: Vec<(WorkerId, Identity)>,
    pub(super) rewound: Vec<Step>,
    pub(super) published: Vec<Step>,
    /// Who was told to write which step.
    pub(super) writers: Vec<(Step, WorkerId)>,
    /// A writer that is told to write says nothing.
    pub(super) hold_writing: bool,
    /// What comes of bringing the adapter to where loaders look.
    pub(super) exports: VecDeque<Step>,
    pub(super) set_aside: Vec<Step>,
    pub(super) released: Vec<WorkerId>,
    pub(super) removed: Vec<Step>,
    pub(super) verify: Option<StoredCheckpoint>,
    /// Whose staged files hold another state.
    pub(super) wrong_files: Option<WorkerId>,
    /// What comes of the next publication, and of the next export.
    pub(super) publish_fails: Option<PublishFailure>,
    pub(super) export_fails: Option<ExportFailure>,
    /// A checkpoint that holds another state.
    pub(super) rots: Option<String>,
    /// Nobody can write.
    pub(super) cannot_write: bool,
    /// Orders to take a state are not answered; these wait.
    pub(super) hold_sync: bool,
    pub(super) sync_orders: Vec<Identity>,
    /// No checkpoint can be read.
    pub(super) unreadable: bool,
    pub(super) hold_reduce: bool,
    /// Publications are not answered; these wait.
    pub(super) hold_publishing: bool,
    pub(super) publishing: Vec<(StoredCheckpoint, PathBuf)>,
    pub(super) refused: Vec<(WorkerId, Code)>,
    /// Who was forced to leave, as the ledger has it.
    pub(super) evicted: Vec<WorkerId>,
    queue: VecDeque<Event>,
    busy: bool,
}

impl Cluster {
    pub(super) fn new(options: Options, steps: u64, micro_batches: u32) -> Self {
        let from = Restorable {
            step: Step(0),
            source: SyncSource::Initial,
            state_digest: None,
        };
        let schedule = Box::new(Fixed {
            steps,
            micro_batches,
            every: None,
        });
        Self::with(options, schedule, from, Remembered::default())
    }

    pub(super) fn with(
        options: Options,
        schedule: Box<dyn Schedule>,
        from: Restorable,
        remembered: Remembered,
    ) -> Self {
        Self {
            outcome: |_| (false, None),
            engine: Engine::new(options, schedule, from, remembered),
            now: Duration::ZERO,
            workers: BTreeMap::new(),
            commits: Vec::new(),
            notices: Vec::new(),
            end: None,
            reducing: Vec::new(),
            rewound: Vec::new(),
            published: Vec::new(),
            writers: Vec::new(),
            hold_writing: false,
            exports: VecDeque::new(),
            set_aside: Vec::new(),
            released: Vec::new(),
            removed: Vec::new(),
            verify: None,
            wrong_files: None,
            publish_fails: None,
            export_fails: None,
            rots: None,
            cannot_write: false,
            hold_sync: false,
            sync_orders: Vec::new(),
            unreadable: false,
            hold_reduce: false,
            hold_publishing: false,
            publishing: Vec::new(),
            refused: Vec::new(),
            evicted: Vec::new(),
            queue: VecDeque::new(),
            busy: false,
        }
    }

    pub(super) fn hello() -> Hello {
        Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            ..Hello::default()
        }
    }

    pub(super) fn join(&mut self, name: &str) {
        self.workers.insert(worker(name), Scripted::default());
        self.open(name);
    }

    /// A worker of another device class, whose every state or gradient differs by one.
    pub(super) fn join_unlike(&mut self, name: &str, spoils: u64, wrong: u64) {
        let unlike = Scripted {
            device_class: "another",
            spoils,
            wrong,
            ..Scripted::default()
        };
        self.workers.insert(worker(name), unlike);
        self.open(name);
    }

    /// A worker that is there opens a session.
    pub(super) fn open(&mut self, name: &str) {
        let hello = Hello {
            peer_address: name.into(),
            incarnation: format!("process of {name}"),
            ..Self::hello()
        };
        self.event(Event::Opened {
            worker: worker(name),
            hello,
        });
    }

    pub(super) fn leave(&mut self, name: &str) {
        self.workers.remove(&worker(name));
        self.reducing.retain(|(w, _)| w.0 != name);
        self.event(Event::Closed {
            worker: worker(name),
            reason: "gone".into(),
        });
    }

    pub(super) fn say(&mut self, name: &WorkerId, identity: Identity, body: FromWorker) {
        let envelope = Envelope { identity, body };
        self.event(Event::Message {
            worker: name.clone(),
            envelope,
        });
    }

    /// Events are heard one after the other, like messages on a stream.
    pub(super) fn event(&mut self, event: Event) {
        self.queue.push_back(event);
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        while let Some(event) = self.queue.pop_front() {
            let text = format!("{event:?}");
            let (commands, holds) = self.engine.on_checked(event, self.now);
            assert_eq!(holds, Ok(()), "after {text}");
            for command in commands {
                self.obey(command);
            }
        }
        self.busy = false;
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send { to, message } => self.hear(&to, *message),
            Command::Commit(committed) => {
                self.followed(&committed);
                self.commits.push(*committed);
            }
            Command::Publish {
                step,
                state_digest,
                staging,
                ..
            } => {
                self.published.push(step);
                let folder = format!("/c/{step}");
                let stored = StoredCheckpoint {
                    step,
                    folder,
                    state_digest,
                };
                let writer = self.writers.last().map(|(_, writer)| writer.clone());
                let wrong = self.wrong_files.take_if(|w| Some(&*w) == writer.as_ref());
                let wrong = wrong.map(|_| {
                    PublishFailure::Content(Error::new(Code::DigestDiffers, "another state"))
                });
                let outcome = match self.publish_fails.take().or(wrong) {
                    Some(failure) => {
                        self.published.pop();
                        Err(failure)
                    }
                    None if self.hold_publishing => {
                        self.publishing.push((stored, staging));
                        return;
                    }
                    None => Ok(stored),
                };
                self.event(Event::Published {
                    step,
                    staging,
                    outcome,
                });
            }
            Command::Rewind(rewind) => {
                self.rewound.push(rewind.step);
                self.commits.retain(|c| c.step <= rewind.step);
            }
            Command::Notice(notice) => self.notices.push(notice),
            Command::Evicted(evicted) => self.evicted.push(evicted.worker),
            Command::SetAside { step, .. } => self.set_aside.push(step),
            Command::Remove(step) => self.removed.push(step),
            Command::Verify(stored) => self.verify = Some(stored),
            Command::Export { result, .. } => {
                self.exports.push_back(result);
                let outcome = self.export_fails.take().map_or(Ok(()), Err);
                self.event(Event::Exported { result, outcome });
            }
            Command::Disconnect(_)
            | Command::Members(..)
            | Command::Evaluated(_)
            | Command::Stored(_)
            | Command::Discard(_) => {}
            end => self.end = Some(end),
        }
    }

    /// Who follows applies the total too, and says so.
    fn followed(&mut self, committed: &Committed) {
        let total: u64 = committed.credits.values().map(|c| c.fingerprint).sum();
        let mut ready = Vec::new();
        for (name, scripted) in &mut self.workers {
            if let Some(step) = &mut scripted.following
                && step.next() == committed.step
            {
                *step = committed.step;
                scripted.state += total;
                ready.push((
                    name.clone(),
                    scripted.asked.clone(),
                    scripted.state.to_string(),
                ));
            }
        }
        for (name, asked, state_digest) in ready {
            let step = committed.step;
            self.say(&name, asked, FromWorker::Ready { step, state_digest });
        }
    }

    fn hear(&mut self, to: &WorkerId, message: Envelope<ToWorker>) {
        let Envelope { identity, body } = message;
        let sums: Vec<u64> = self.workers.values().map(|s| s.sum).collect();
        let Some(scripted) = self.workers.get_mut(to) else {
            return;
        };
        match body {
            ToWorker::Welcome(_) => {
                let loaded = Loaded {
                    device_class: scripted.device_class.to_owned(),
                    ..Loaded::default()
                };
                self.say(to, identity, FromWorker::Loaded(loaded));
            }
            ToWorker::Sync(sync) => self.sync(to, identity, &sync),
            ToWorker::Assign(task, list) => {
                let held = list.into_iter().map(|m| (identity.clone(), m, task));
                scripted.held.extend(held);
            }
            ToWorker::Credit(_, list) => {
                for micro_batch in list {
                    scripted.sum += scripted.side.remove(&micro_batch).unwrap();
                }
            }
            ToWorker::Reduce { .. } => self.reducing.push((to.clone(), identity)),
            ToWorker::Retain(steps) => {
                scripted.retained.retain(|step, _| steps.contains(step));
                if steps.contains(&scripted.step) {
                    scripted.retained.insert(scripted.step, scripted.state);
                }
            }
            ToWorker::Explain => {
                let total: u64 = sums.iter().sum();
                let slices = SliceFingerprints {
                    sent: vec![scripted.sum, 0],
                    received: vec![total, 0],
                };
                self.say(to, identity, FromWorker::Slices(slices));
            }
            ToWorker::Commit { .. } => {
                scripted.step = identity.step;
                scripted.state = scripted.shadow;
                scripted.sum = 0;
                scripted.side.clear();
            }
            ToWorker::WriteCheckpoint { step, .. } => self.write(to, identity, step),
            ToWorker::Members(_) => scripted.following = None,
            ToWorker::Reapply if !scripted.mute => {
                let committed_digest = scripted.state.to_string();
                let state_digest = scripted.shadow.to_string();
                let again = FromWorker::Reapplied {
                    committed_digest,
                    state_digest,
                };
                self.say(to, identity, again);
            }
            ToWorker::Prove if !scripted.mute => {
                let state_digest = scripted.state.to_string();
                let step = Step(identity.step.0 - 1);
                self.say(to, identity, FromWorker::Proved { step, state_digest });
            }
            ToWorker::Refused(error) => self.refused.push((to.clone(), error.code)),
            ToWorker::Release => self.released.push(to.clone()),
            ToWorker::Withdraw(task, list) => {
                let before = scripted.held.len();
                scripted
                    .held
                    .retain(|(_, id, of)| *of != task || !list.contains(id));
                if scripted.held.len() < before {
                    let skipped = FromWorker::Skipped(task, list);
                    self.say(to, identity, skipped);
                }
            }
            ToWorker::Reapply
            | ToWorker::Prove
            | ToWorker::Finish { .. }
            | ToWorker::Stopped { .. }
            | ToWorker::Stale(_)
            | ToWorker::Beat => {}
        }
    }

    /// Takes a state from where it is told to, unless that cannot be read.
    fn sync(&mut self, to: &WorkerId, identity: Identity, sync: &Sync) {
        if self.hold_sync {
            self.sync_orders.push(identity);
            return;
        }
        let (step, stored) = (sync.step, sync.state_digest.parse::<u64>());
        let state = match &sync.source {
            SyncSource::Initial => 0,
            SyncSource::Checkpoint(_) if self.unreadable => {
                let reason = "input/output error".to_owned();
                self.say(to, identity, FromWorker::Unsynced { reason });
                return;
            }
            SyncSource::Checkpoint(folder) => {
                let rotten = u64::from(self.rots.as_ref() == Some(folder));
                stored.unwrap() + rotten
            }
            SyncSource::Peer(peer) => self.workers[&worker(peer)].state,
        };
        let Some(scripted) = self.workers.get_mut(to) else {
            return;
        };
        scripted.state = state + scripted.spoils;
        scripted.following = matches!(sync.source, SyncSource::Peer(_)).then_some(step);
        (scripted.sum, scripted.step) = (0, step);
        scripted.asked = identity.clone();
        scripted.held.clear();
        let state_digest = scripted.state.to_string();
        self.say(to, identity, FromWorker::Ready { step, state_digest });
    }

    fn write(&mut self, writer: &WorkerId, identity: Identity, step: Step) {
        self.writers.push((step, writer.clone()));
        let Some(scripted) = self.workers.get(writer).filter(|_| !self.hold_writing) else {
            return;
        };
        let has = scripted.step == step || scripted.retained.contains_key(&step);
        let outcome = match has && !scripted.cannot_write && !self.cannot_write {
            true => Ok(Vec::<FileDigest>::new()),
            false => Err("it cannot write".to_owned()),
        };
        let written = FromWorker::CheckpointWritten { step, outcome };
        self.say(writer, identity, written);
    }
}
