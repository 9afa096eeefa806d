//! The coordinator as a simulated host: the shipped session service over tonic, the shipped engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::engine::{Command, Engine, Event, Notice};
use coordinator::rpc::{Outbox, SessionEvent, SessionService, Traffic};
use shared::ids::{Identity, Step, WorkerId};
use shared::numerics;
use shared::wire::message::{Envelope, FromWorker, SyncSource, ToWorker};
use shared::wire::session_server;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lines;
use super::scene::{Handle, Scene};
use crate::lead::{options, schedule};
use crate::plan::Moment;
use crate::store::Line;

struct Leader {
    scene: Handle,
    engine: Engine,
    outboxes: BTreeMap<WorkerId, Outbox>,
    published: mpsc::Sender<Event>,
    started: Instant,
    /// Nothing more to do in this process.
    over: bool,
}

/// Leads from what is on storage until the run is complete or interrupted.
pub(super) async fn lead(scene: Handle) -> turmoil::Result {
    let incoming = lines::listen().await?;
    let (tell, mut sessions) = mpsc::channel(4096);
    let first = scene.lock().named + 1;
    let service = SessionService::new(tell, Arc::new(Traffic::default()), first);
    tokio::spawn(
        session_server()
            .add_service(service.into_server())
            .serve_with_incoming(incoming),
    );
    let (published, mut publications) = mpsc::channel(8);
    let ladder = scene.lock().ladder;
    let engine = start(&mut scene.lock());
    let mut leader = Leader {
        engine,
        scene,
        outboxes: BTreeMap::new(),
        published,
        started: Instant::now(),
        over: false,
    };
    let mut tick = tokio::time::interval(ladder.tick());
    let mut beat = tokio::time::interval(ladder.beat);
    while !leader.over {
        let event = tokio::select! {
            Some(event) = sessions.recv() => leader.session(event),
            Some(event) = publications.recv() => event,
            _ = beat.tick() => {
                leader.beat();
                continue;
            }
            _ = tick.tick() => leader.time(),
        };
        leader.hear(event);
    }
    // Outboxes deliver what they hold.
    leader.outboxes.clear();
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn start(scene: &mut Scene) -> Engine {
    let (from, remembered) = scene.store.recall();
    // What was not on storage is gone, and may be committed again.
    scene.judge.recalled(&remembered);
    scene.term = scene.term.next();
    scene.moment = if remembered.members.is_empty() {
        Moment::Gathering
    } else {
        Moment::Recovering
    };
    let term = scene.term;
    let committed = remembered.committed;
    scene.say(|| format!("coordinator term {term} from {} of {committed}", from.step));
    Engine::new(
        options(&scene.setting, term, scene.ladder),
        schedule(&scene.setting),
        from,
        remembered,
    )
}

impl Leader {
    fn session(&mut self, event: SessionEvent) -> Event {
        match event {
            SessionEvent::Opened {
                worker,
                hello,
                outbox,
            } => {
                let number = worker.0.trim_start_matches("worker-");
                let number = number.split('.').next().and_then(|n| n.parse().ok());
                let mut scene = self.scene.lock();
                scene.named = scene.named.max(number.unwrap_or_default());
                drop(scene);
                self.outboxes.insert(worker.clone(), outbox);
                Event::Opened { worker, hello }
            }
            SessionEvent::Message { worker, envelope } => {
                if matches!(envelope.body, FromWorker::Applied(_)) {
                    self.scene.lock().moment = Moment::Apply;
                }
                Event::Message { worker, envelope }
            }
            SessionEvent::Closed { worker, reason } => {
                self.outboxes.remove(&worker);
                Event::Closed { worker, reason }
            }
        }
    }

    fn time(&self) -> Event {
        let mut scene = self.scene.lock();
        scene.store.flush();
        if std::mem::take(&mut scene.interrupt) {
            return Event::Interrupt;
        }
        Event::Tick
    }

    fn beat(&mut self) {
        let message = || Envelope {
            identity: Identity::default(),
            body: ToWorker::Beat,
        };
        self.outboxes
            .retain(|_, outbox| outbox.send(message()).is_ok());
    }

    fn hear(&mut self, event: Event) {
        let beats = |e: &Event| matches!(e, Event::Message { envelope, .. } if envelope.body == FromWorker::Beat);
        if !matches!(event, Event::Tick) && !beats(&event) {
            self.scene.lock().say(|| format!("> {event:?}"));
        }
        for command in self.engine.on(event, self.started.elapsed()) {
            self.obey(command);
        }
        let mut scene = self.scene.lock();
        scene.committed = self.engine.committed();
        scene.working = self.engine.working();
    }

    fn obey(&mut self, command: Command) {
        let mut scene = self.scene.lock();
        if !matches!(command, Command::Send { .. }) {
            scene.say(|| format!("< {command:?}"));
        }
        match command {
            Command::Send { to, message } => {
                match &message.body {
                    ToWorker::Assign(..) => scene.moment = Moment::Assignment,
                    ToWorker::Sync(sync) if matches!(sync.source, SyncSource::Peer(_)) => {
                        scene.moment = Moment::Joining;
                    }
                    ToWorker::WriteCheckpoint { .. } => scene.moment = Moment::Checkpoint,
                    _ => {}
                }
                let judged = scene.judge.sent(&to, &message);
                drop(scene);
                self.scene.judge(judged);
                let outbox = self.outboxes.get(&to);
                if outbox.is_some_and(|o| o.send(*message).is_err()) {
                    self.outboxes.remove(&to);
                }
            }
            Command::Disconnect(worker) => {
                self.outboxes.remove(&worker);
            }
            Command::Commit(commit) => {
                scene.moment = Moment::Commit;
                let judged = scene.judge.committed(&commit);
                scene.store.append(Line::Commit(commit));
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Evaluated(evaluated) => {
                let judged = scene.judge.evaluated(&evaluated);
                scene.store.append(Line::Evaluated(evaluated));
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Members(generation, workers) => {
                scene.store.append(Line::Members(generation, workers));
            }
            Command::Rewind(step) => {
                scene.judge.rewound(step);
                scene.store.append(Line::Rewind(step));
            }
            Command::Publish { step, .. } => {
                scene.moment = Moment::Checkpoint;
                let time = scene.millis(1, 50);
                drop(scene);
                self.publish(step, time);
            }
            Command::Notice(notice) => {
                if let Notice::Waiting { .. } = notice {
                    scene.moment = Moment::Gathering;
                }
                let judged = scene.judge.notice(&notice);
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Complete(_) => {
                scene.complete = true;
                self.over = true;
            }
            Command::Interrupted(_) => {
                let line = Line::Members(self.engine.generation(), Vec::new());
                scene.store.append(line);
                self.over = true;
            }
            Command::Fail(error) => {
                drop(scene);
                let what = format!("the run failed: {error:?}");
                self.scene
                    .judge(Err(crate::invariants::Violation::new("progress", what)));
            }
        }
    }

    /// A process that is killed meanwhile publishes nothing.
    fn publish(&self, step: Step, time: Duration) {
        let (scene, published) = (self.scene.clone(), self.published.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let outcome = {
                let mut scene = scene.lock();
                let fails = scene.checkpoint_fails;
                match scene.staged.remove(&step).filter(|_| !fails) {
                    Some(state) => {
                        let digest = numerics::state_digest(&state);
                        scene.store.checkpoints.insert(step, state);
                        Ok((step.to_string(), digest))
                    }
                    None => Err(shared::error::Error::new(shared::error::Code::Io, "full")),
                }
            };
            let _ = published.send(Event::Published { step, outcome }).await;
        });
    }
}
