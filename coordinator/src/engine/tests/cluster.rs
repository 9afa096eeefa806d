//! A cluster of scripted workers around one engine. A worker's state is the set of steps it
//! committed, its gradient a hash of (step, micro-batch): enough to see what counted.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use shared::error::Code;
use shared::ids::{Identity, MicroBatchId, RunId, Step, Term, WorkerId};
use shared::numerics::{Fingerprint, LossScale};
use shared::wire::message::{
    Applied, Computed, Envelope, FromWorker, Hello, Loaded, PROTOCOL, SyncSource, Task, ToWorker,
    Welcome,
};

use super::super::{
    Command, Committed, Engine, Event, Ladder, Notice, Options, Remembered, Restorable, Schedule,
};

pub(super) struct Fixed {
    pub(super) steps: u64,
    pub(super) micro_batches: u32,
}

impl Schedule for Fixed {
    fn total_steps(&self) -> u64 {
        self.steps
    }
    fn micro_batches(&self, _step: Step) -> u32 {
        self.micro_batches
    }
}

pub(super) fn worker(name: &str) -> WorkerId {
    WorkerId(name.into())
}

pub(super) fn gradient(step: Step, micro_batch: MicroBatchId) -> u64 {
    step.0 * 1000 + u64::from(micro_batch.0) + 1
}

#[derive(Default)]
pub(super) struct Scripted {
    pub(super) side: BTreeMap<MicroBatchId, u64>,
    pub(super) sum: u64,
    pub(super) state: u64,
    pub(super) shadow: u64,
    pub(super) held: VecDeque<(Identity, MicroBatchId, Task)>,
    pub(super) lies: bool,
    /// Added to every fingerprint it computes.
    pub(super) wrong: u64,
    /// Its state does not answer: neither a reduce nor a second look.
    pub(super) mute: bool,
    /// Added to every state it takes.
    pub(super) spoils: u64,
    /// Follows the totals of others; at this step.
    pub(super) following: Option<Step>,
}

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
    pub(super) hold_reduce: bool,
    pub(super) refused: Vec<(WorkerId, Code)>,
    queue: VecDeque<Event>,
    busy: bool,
}

pub(super) fn options(min: usize, wait: usize, save_steps: u64) -> Options {
    Options {
        run: RunId("r".into()),
        term: Term(1),
        welcome: Welcome::default(),
        device: "auto".into(),
        min_workers: min,
        wait_workers: wait,
        save_steps,
        strict_devices: false,
        device_class: None,
        max_workers: usize::MAX,
        audit_rate: 0.0,
        patience: Default::default(),
        stability: Default::default(),
        ladder: Ladder::new(Duration::from_secs(8), Duration::from_secs(60)).unwrap(),
        staging: PathBuf::from("/s"),
    }
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
        });
        Self {
            outcome: |_| (false, None),
            engine: Engine::new(options, schedule, from, Remembered::default()),
            now: Duration::ZERO,
            workers: BTreeMap::new(),
            commits: Vec::new(),
            notices: Vec::new(),
            end: None,
            reducing: Vec::new(),
            rewound: Vec::new(),
            published: Vec::new(),
            hold_reduce: false,
            refused: Vec::new(),
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

    /// A worker that is there opens a session.
    pub(super) fn open(&mut self, name: &str) {
        let hello = Hello {
            peer_address: name.into(),
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
            for command in self.engine.on(event, self.now) {
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
                step, state_digest, ..
            } => {
                self.published.push(step);
                let folder = format!("/c/{step}");
                self.event(Event::Published {
                    step,
                    outcome: Ok((folder, state_digest)),
                });
            }
            Command::Rewind(step) => {
                self.rewound.push(step);
                self.commits.retain(|c| c.step <= step);
            }
            Command::Notice(notice) => self.notices.push(notice),
            Command::Disconnect(_) | Command::Members(..) => {}
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
                ready.push((name.clone(), scripted.state.to_string()));
            }
        }
        for (name, state_digest) in ready {
            let step = committed.step;
            self.say(
                &name,
                Identity::default(),
                FromWorker::Ready { step, state_digest },
            );
        }
    }

    fn hear(&mut self, to: &WorkerId, message: Envelope<ToWorker>) {
        let Envelope { identity, body } = message;
        let peers: BTreeMap<_, _> = self
            .workers
            .iter()
            .map(|(w, s)| (w.0.clone(), s.state))
            .collect();
        let Some(scripted) = self.workers.get_mut(to) else {
            return;
        };
        match body {
            ToWorker::Welcome(_) => {
                self.say(to, identity, FromWorker::Loaded(Loaded::default()));
            }
            ToWorker::Sync(sync) => {
                scripted.state = match &sync.source {
                    SyncSource::Initial => 0,
                    SyncSource::Checkpoint(_) => sync.state_digest.parse().unwrap(),
                    SyncSource::Peer(peer) => peers[peer],
                } + scripted.spoils;
                scripted.following =
                    matches!(sync.source, SyncSource::Peer(_)).then_some(sync.step);
                scripted.sum = 0;
                let state_digest = scripted.state.to_string();
                self.say(
                    to,
                    identity,
                    FromWorker::Ready {
                        step: sync.step,
                        state_digest,
                    },
                );
            }
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
            ToWorker::Commit { .. } => {
                scripted.state = scripted.shadow;
                scripted.sum = 0;
                scripted.side.clear();
            }
            ToWorker::WriteCheckpoint { step, .. } => {
                let outcome = Ok(Vec::new());
                self.say(
                    to,
                    identity,
                    FromWorker::CheckpointWritten { step, outcome },
                );
            }
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
            ToWorker::Reapply
            | ToWorker::Prove
            | ToWorker::Finish { .. }
            | ToWorker::Stale(_)
            | ToWorker::Withdraw(..)
            | ToWorker::Release
            | ToWorker::Beat => {}
        }
    }

    /// Lets a worker compute the oldest micro-batch it holds.
    pub(super) fn compute(&mut self, name: &WorkerId) -> bool {
        let Some(scripted) = self.workers.get_mut(name) else {
            return false;
        };
        let Some((identity, micro_batch, task)) = scripted.held.pop_front() else {
            return false;
        };
        let fingerprint = gradient(identity.step, micro_batch) + scripted.wrong;
        if task == Task::Train {
            scripted.side.insert(micro_batch, fingerprint);
        }
        let computed = Computed {
            micro_batch,
            fingerprint,
            compute_us: 1,
            task,
        };
        self.say(name, identity, FromWorker::Computed(computed));
        true
    }

    /// Lets every member that was told to reduce do so, when all of them were told.
    pub(super) fn reduce(&mut self) -> bool {
        let told = std::mem::take(&mut self.reducing);
        let Some(newest) = told.iter().map(|(_, i)| (i.generation, i.attempt)).max() else {
            return false;
        };
        let current: Vec<_> = told
            .into_iter()
            .filter(|(_, i)| (i.generation, i.attempt) == newest)
            .collect();
        let sums: Vec<u64> = current
            .iter()
            .filter_map(|(w, _)| self.workers.get(w))
            .map(|s| s.sum)
            .collect();
        let total: u64 = sums.iter().sum();
        for (name, identity) in current {
            let Some(scripted) = self.workers.get_mut(&name).filter(|s| !s.mute) else {
                continue;
            };
            let (skipped, loss_scale) = (self.outcome)(identity.step);
            let update = if skipped { 0 } else { total };
            scripted.shadow = scripted.state + update + u64::from(scripted.lies);
            let slots = sums.len();
            let mut sent = vec![0; slots];
            sent[0] = scripted.sum;
            let mut received = vec![0; slots];
            received[0] = total;
            let applied = Applied {
                state_digest: scripted.shadow.to_string(),
                fingerprint: (Fingerprint(0) + Fingerprint(total)).0,
                sent,
                received,
                skipped,
                loss_scale,
                ..Applied::default()
            };
            self.say(&name, identity, FromWorker::Applied(applied));
        }
        true
    }

    /// Runs until nothing happens any more.
    pub(super) fn run(&mut self) {
        for _ in 0..100_000 {
            let names: Vec<_> = self.workers.keys().cloned().collect();
            let mut moved = false;
            for name in names {
                moved |= self.compute(&name);
            }
            if !moved && !self.hold_reduce {
                moved = self.reduce();
            }
            if !moved {
                return;
            }
        }
        panic!("the run does not end");
    }
}

/// The state a run of `steps` must end in, whoever computed it.
pub(super) fn expected_state(steps: u64, micro_batches: u32) -> u64 {
    (1..=steps)
        .flat_map(|s| (0..micro_batches).map(move |m| gradient(Step(s), MicroBatchId(m))))
        .sum()
}
