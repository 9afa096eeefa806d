//! A worker as a simulated host: the shipped session, reducer, peer service and streams; a device
//! made of a queue.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shared::faults::Faults;
use shared::ids::{Identity, Step};
use shared::numerics::AdapterState;
use shared::wire::message::{Computed, Envelope, SyncSource, Task, ToWorker};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use worker::checkpoint::decode_snapshot;
use worker::collective::{Buffer, FeedItem, PeerDial, PeerServer, Tally, follow};
use worker::progress::Counters;
use worker::session::{Action, Contribution, Ending, Input, Reducer, Stream, open};

use super::lines::{self, PORT, Virtual};
use super::scene::Handle;
use super::state::Own;
use crate::evaluation::PARTS;
use crate::machine::{Work, first_state};
use crate::plan::{Kind, Moment};

const TICK: Duration = Duration::from_millis(25);
const FOLLOW_PATIENCE: Duration = Duration::from_secs(30);

/// The name of a worker's host.
pub(super) fn host(number: usize) -> String {
    format!("w{number}")
}

/// What comes back from what runs beside the session.
pub(super) enum Event {
    Open(Stream),
    Input(Input),
    /// Of what it followed under this number.
    Fed(u64, Box<AdapterState>),
    Total(u64, Step, Vec<i64>),
    Device(Work, Computed, Vec<i64>),
}

pub(super) struct Member {
    pub(super) number: usize,
    pub(super) scene: Handle,
    pub(super) own: Own,
    reducer: Reducer,
    events: mpsc::Sender<Event>,
    stream: Option<Stream>,
    following: Option<JoinHandle<()>>,
    counters: Counters,
}

/// Joins the run and works until it ends.
pub(super) async fn work(number: usize, scene: Handle) -> turmoil::Result {
    let address = format!("{}:{PORT}", host(number));
    let own = Own::new(number, &address, &scene.lock().setting);
    let counters = Counters::default();
    let listening = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let server = PeerServer::serve(
        lines::listen().await?,
        listening,
        Arc::new(own.clone()),
        Arc::new(Virtual),
        counters.clone(),
    );
    let (tell, mut reduced) = mpsc::channel(64);
    let (events_sender, mut events) = mpsc::channel(1024);
    let mut member = Member {
        number,
        scene,
        own,
        reducer: Reducer::start(server, Faults::default(), tell),
        events: events_sender,
        stream: None,
        following: None,
        counters,
    };
    member.open(Duration::ZERO);
    let started = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    loop {
        let mut inputs = VecDeque::new();
        tokio::select! {
            message = next(&mut member.stream) => inputs.extend(member.received(message)),
            Some(event) = events.recv() => member.happened(event, &mut inputs),
            Some(outcome) = reduced.recv() => inputs.extend(member.reduced(outcome)),
            _ = tick.tick() => {
                inputs.push_back(Input::Tick(member.counters.read()));
                member.suffer(&mut inputs);
            }
        }
        while let Some(input) = inputs.pop_front() {
            member.note(&input);
            let actions = member
                .own
                .lock()
                .machine
                .session
                .on(input, started.elapsed());
            for action in actions {
                if let Some(ending) = member.act(action, &mut inputs) {
                    member.end(&ending).await;
                    return Ok(());
                }
            }
        }
    }
}

async fn next(stream: &mut Option<Stream>) -> Result<Option<Envelope<ToWorker>>, tonic::Status> {
    let Some(stream) = stream else {
        return std::future::pending().await;
    };
    let message = stream.inbox.message().await?;
    Ok(message.map(|m| Envelope::try_from(m).unwrap()))
}

impl Member {
    fn received(
        &mut self,
        message: Result<Option<Envelope<ToWorker>>, tonic::Status>,
    ) -> Option<Input> {
        let reason = match message {
            Ok(Some(envelope)) => return Some(Input::Coordinator(envelope)),
            Ok(None) => "it ended the session".to_owned(),
            Err(status) => status.message().to_owned(),
        };
        self.stream = None;
        Some(Input::Lost(reason))
    }

    fn happened(&mut self, event: Event, inputs: &mut VecDeque<Input>) {
        match event {
            Event::Open(stream) => {
                self.stream = Some(stream);
                inputs.push_back(Input::Connected);
                let mut held = self.own.lock();
                if held.machine.resets > 0 {
                    held.machine.resets -= 1;
                    inputs.push_back(Input::Lost("reset".into()));
                }
            }
            Event::Input(input) => inputs.push_back(input),
            Event::Fed(follow, state) => {
                inputs.extend(self.adopt(follow, *state));
                inputs.extend(self.retained());
            }
            Event::Total(follow, step, total) => {
                inputs.extend(self.follow_total(follow, step, total))
            }
            Event::Device(work, result, values) => {
                let mut held = self.own.lock();
                held.machine.busy = false;
                self.counters.device(1);
                if work.task.counts() {
                    held.machine
                        .replica
                        .keep(work.identity.step, work.task, work.id, values);
                }
                drop(held);
                let identity = work.identity;
                inputs.push_back(Input::Computed { identity, result });
                self.start_device(inputs);
            }
        }
    }

    /// What the faults want of this worker.
    fn suffer(&mut self, inputs: &mut VecDeque<Input>) {
        let mut scene = self.scene.lock();
        let orders = scene.orders.remove(&self.number).unwrap_or_default();
        let slow = scene.slow.contains(&self.number);
        if orders.contains(&Kind::StagingFails) {
            scene.cannot_write = Some(self.number);
        }
        drop(scene);
        let mut held = self.own.lock();
        held.machine.slow = if slow { 10 } else { 1 };
        for order in orders {
            match order {
                Kind::Drain => inputs.push_back(Input::Drain),
                Kind::Hang => held.machine.hung = true,
                Kind::WrongCompute => held.machine.damage.compute = true,
                Kind::CorruptSum => held.machine.damage.sum = true,
                Kind::CorruptState => held.machine.damage.state = true,
                Kind::BitBeforeStage => held.machine.damage.staged = true,
                Kind::ResetTwice if self.stream.take().is_some() => {
                    held.machine.resets = 1;
                    inputs.push_back(Input::Lost("reset".into()));
                }
                Kind::Reset if self.stream.take().is_some() => {
                    inputs.push_back(Input::Lost("reset".into()));
                }
                _ => {}
            }
        }
    }

    fn note(&self, input: &Input) {
        let beat = matches!(input, Input::Coordinator(e) if e.body == ToWorker::Beat);
        if !beat && !matches!(input, Input::Tick(_)) {
            self.scene
                .lock()
                .say(|| format!("w{} {input:?}", self.number));
        }
    }

    fn act(&mut self, action: Action, inputs: &mut VecDeque<Input>) -> Option<Ending> {
        match action {
            Action::Open { after } => self.open(after),
            Action::Say(message) => {
                if let Some(stream) = &self.stream {
                    let _ = stream.outbox.try_send((*message).into());
                }
            }
            Action::Load(_) => {
                let held = self.own.lock();
                let loaded = held.machine.loaded(&self.scene.lock().setting);
                drop(held);
                self.later((100, 800), Event::Input(Input::Loaded(loaded)));
            }
            Action::Patience(patience) => self.reducer.patience(patience),
            Action::Abandon => self.reducer.abandon(),
            Action::Sync(identity, sync) => self.sync(&identity, sync.step, sync.source),
            Action::Unfollow => self.unfollow(),
            Action::Connect {
                identity,
                members,
                slot,
            } => self.reducer.connect(identity, members, slot),
            Action::Compute {
                identity,
                task,
                micro_batches,
            } => {
                let work = micro_batches.into_iter().map(|id| Work {
                    identity: identity.clone(),
                    task,
                    id,
                });
                self.own.lock().machine.queue.extend(work);
                self.start_device(inputs);
            }
            Action::Withdraw {
                step,
                task,
                micro_batches,
            } => {
                let mut held = self.own.lock();
                held.machine.replica.withdraw(step, task, &micro_batches);
                let withdrawn = micro_batches.iter().map(|id| (step, task, *id));
                held.machine.withdrawn.extend(withdrawn);
            }
            Action::Credit(task, list) => {
                let credited = self.own.lock().machine.replica.credit(task, &list);
                self.must(credited);
            }
            Action::Forget => self.own.lock().machine.replica.forget(),
            Action::Reduce {
                identity,
                task,
                world_size,
            } => self.reduce(identity, task, world_size),
            Action::Reapply(identity) => {
                let again = self
                    .own
                    .lock()
                    .machine
                    .replica
                    .reapply(&self.rule(identity.step));
                if let Some((committed_digest, state_digest)) = self.must(again) {
                    inputs.push_back(Input::Reapplied {
                        identity,
                        committed_digest,
                        state_digest,
                    });
                }
            }
            Action::Explain(identity) => {
                let slices = self.own.lock().machine.replica.explain();
                inputs.push_back(Input::Slices { identity, slices });
            }
            Action::Retain(steps) => {
                self.own.lock().machine.replica.retain(&steps);
                inputs.extend(self.retained());
            }
            Action::Prove => {
                let (step, state_digest) = self.own.lock().machine.replica.prove();
                inputs.push_back(Input::Proved { step, state_digest });
            }
            Action::Commit(step) => self.commit(step, inputs),
            Action::Stage { step, staging } => self.stage(step, staging),
            Action::End(ending) => return Some(ending),
        }
        None
    }

    fn reduce(&mut self, identity: Identity, task: Task, world_size: usize) {
        self.scene.lock().moment = Moment::Reduce;
        let mut held = self.own.lock();
        let spoiled = std::mem::take(&mut held.machine.damage.sum);
        held.machine.spoiled_total = spoiled;
        if spoiled {
            held.machine.replica.flip_sum_bit(task);
        }
        let given = Contribution {
            sum: held.machine.replica.sum(task, world_size).into(),
            room: Buffer::default(),
        };
        drop(held);
        let ordered = self.reducer.reduce(identity, task, given, world_size);
        self.must(ordered);
    }

    fn open(&mut self, after: Duration) {
        self.stream = None;
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let event = match open(&Virtual, &format!("coordinator:{PORT}")).await {
                Ok(stream) => Event::Open(stream),
                Err(error) => Event::Input(Input::Lost(error.to_string())),
            };
            let _ = events.send(event).await;
        });
    }

    /// An event after so many milliseconds.
    pub(super) fn later(&self, (least, most): (u64, u64), event: Event) -> JoinHandle<()> {
        let time = self.scene.lock().millis(least, most);
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let _ = events.send(event).await;
        })
    }

    fn unfollow(&mut self) {
        self.own.lock().machine.follow += 1;
        if let Some(task) = self.following.take() {
            task.abort();
        }
    }

    fn sync(&mut self, identity: &Identity, least: Step, source: SyncSource) {
        self.unfollow();
        let number = self.own.lock().machine.follow;
        let state = match source {
            SyncSource::Initial => first_state(self.scene.lock().setting.scaled),
            SyncSource::Checkpoint(name) => {
                let step = Step(name.parse().unwrap());
                let kept = self.scene.lock().store.checkpoints.get(&step).cloned();
                let Some(checkpoint) = kept else {
                    let failed = Input::SyncFailed("there is no such checkpoint".into());
                    self.later((1, 60), Event::Input(failed));
                    return;
                };
                checkpoint.state
            }
            SyncSource::Peer(address) => {
                let (identity, events) = (identity.clone(), self.events.clone());
                let (scene, worker) = (self.scene.clone(), self.number);
                let counters = self.counters.clone();
                self.following = Some(tokio::spawn(async move {
                    let took = |state: &AdapterState| scene.lock().judge.handed_over(worker, state);
                    let followed = follow_peer(
                        &address,
                        &identity,
                        (least, number),
                        took,
                        counters,
                        &events,
                    );
                    if let Err(error) = followed.await {
                        let failed = Input::SyncFailed(error.to_string());
                        let _ = events.send(Event::Input(failed)).await;
                    }
                }));
                return;
            }
        };
        let drawn = Event::Fed(number, Box::new(state));
        self.following = Some(self.later((1, 60), drawn));
    }

    fn start_device(&self, inputs: &mut VecDeque<Input>) {
        loop {
            let (alone, setting) = {
                let scene = self.scene.lock();
                (scene.working < 3, scene.setting.clone())
            };
            let mut held = self.own.lock();
            let machine = &mut held.machine;
            if machine.busy {
                return;
            }
            let Some(work) = machine.queue.pop_front() else {
                return;
            };
            if !machine.begins(&work) {
                inputs.push_back(Input::Skipped {
                    step: work.identity.step,
                    task: work.task,
                    micro_batches: vec![work.id],
                });
                continue;
            }
            machine.busy = true;
            machine.damage.compute &= !alone;
            let state = Arc::clone(machine.replica.state());
            let cost = match work.task {
                Task::Evaluate => setting.sizes.evaluate(work.id, PARTS),
                Task::Train | Task::Audit => setting.sizes.train(work.identity.step, work.id),
            };
            let time = setting.sizes.time(cost) * machine.slow;
            let (result, values) = machine.compute(&work, &state, &setting, time);
            let hung = machine.hung;
            drop(held);
            self.scene.lock().moment = Moment::Compute;
            if hung {
                return;
            }
            let events = self.events.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(time)).await;
                let _ = events.send(Event::Device(work, result, values)).await;
            });
        }
    }

    async fn end(self, ending: &Ending) {
        let judged = {
            let mut scene = self.scene.lock();
            scene.say(|| format!("w{} ends: {ending:?}", self.number));
            scene.judge.ended(self.number, ending)
        };
        self.scene.judge(judged);
        // The last words leave, then the other side closes.
        let Some(Stream { outbox, mut inbox }) = self.stream else {
            return;
        };
        drop(outbox);
        let ended = async { while let Ok(Some(_)) = inbox.message().await {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
    }
}

async fn follow_peer(
    address: &str,
    identity: &Identity,
    (least, number): (Step, u64),
    took: impl Fn(&AdapterState) + Send,
    counters: Counters,
    events: &mpsc::Sender<Event>,
) -> shared::error::Result<()> {
    let way: (&dyn PeerDial, Tally) = (&Virtual, Tally::new(&counters));
    let (run, term) = (&identity.run, identity.term);
    let asked = follow(way, address, run, term, least, FOLLOW_PATIENCE);
    let mut following = asked.await?;
    loop {
        let event = match following.next().await? {
            FeedItem::State(_, bytes) => {
                let state = decode_snapshot(&bytes)?;
                took(&state);
                Event::Fed(number, Box::new(state))
            }
            FeedItem::Total(step, total) => Event::Total(number, step, total),
        };
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
}
