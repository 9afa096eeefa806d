//! The coordinator as a simulated host: the shipped session service over tonic, the shipped engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordinator::engine::{
    Command, Engine, Event, MemberSet, Notice, PublishFailure, StoredCheckpoint,
};
use coordinator::rpc::{Outbox, SessionEvent, SessionService, Traffic};
use shared::ids::{Identity, Step, WorkerId};
use shared::net::SESSION;
use shared::security::PLAIN;
use shared::wire::message::{Envelope, FromWorker, SyncSource, ToWorker};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lines;
use super::scene::{Handle, Scene};
use crate::invariants::Violation;
use crate::lead::{options, schedule};
use crate::ledger::Line;
use crate::plan::Moment;

struct Leader {
    scene: Handle,
    engine: Engine,
    outboxes: BTreeMap<WorkerId, Outbox>,
    /// Where its own tasks answer.
    answers: mpsc::Sender<Event>,
    started: Instant,
    /// Nothing more to do in this process.
    over: bool,
}

/// Leads from what is on storage until the run is complete or interrupted.
pub(super) async fn lead(scene: Handle) -> turmoil::Result {
    let incoming = lines::listen().await?;
    let (tell, mut sessions) = mpsc::channel(4096);
    let engine = start(&mut scene.lock());
    let term = scene.lock().term;
    let service = SessionService::new(tell, Arc::new(Traffic::default()), term);
    tokio::spawn(
        SESSION
            .server(&PLAIN)
            .add_service(service.into_server())
            .serve_with_incoming(incoming),
    );
    let (answers, mut answered) = mpsc::channel(64);
    let timeouts = scene.lock().timeouts;
    let mut leader = Leader {
        engine,
        scene,
        outboxes: BTreeMap::new(),
        answers,
        started: Instant::now(),
        over: false,
    };
    let mut tick = tokio::time::interval(timeouts.tick());
    let mut beat = tokio::time::interval(timeouts.beat);
    while !leader.over {
        let event = tokio::select! {
            Some(event) = sessions.recv() => leader.session(event),
            Some(event) = answered.recv() => event,
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
    scene.term = scene.term.next();
    let (from, remembered) = scene.store.recall(scene.term);
    // What was not on storage is gone, and may be committed again.
    let Scene { judge, store, .. } = scene;
    judge.recalled(&remembered, store);
    scene.moment = if remembered.awaited.is_empty() {
        Moment::Gathering
    } else {
        Moment::Recovering
    };
    let term = scene.term;
    let committed = remembered.committed;
    scene.say(|| format!("coordinator term {term} from {} of {committed}", from.step));
    Engine::new(
        options(&scene.setting, term, scene.timeouts),
        schedule(&scene.setting, true),
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
                self.scene.lock().judge.opened(&worker, &hello);
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
        let beats = |e: &Event| matches!(e, Event::Message { envelope, .. } if matches!(envelope.body, FromWorker::Beat(_)));
        if !matches!(event, Event::Tick) && !beats(&event) {
            self.scene.lock().say(|| format!("> {event:?}"));
        }
        let (commands, sound) = self.engine.on_checked(event, self.started.elapsed());
        self.scene
            .judge(sound.map_err(|what| Violation::new("engine", what)));
        for command in commands {
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
            Command::Members(set) => scene.store.append(Line::Members(set)),
            Command::Rewind(rewind) => {
                // Who is on its way is not known here: what a line carries is nobody's to look at.
                let judged = scene.judge.rewound(&rewind, &[]);
                scene.store.append(Line::Rewind(rewind));
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Evicted(_) => {}
            Command::Notice(notice) => {
                if let Notice::Waiting { .. } = notice {
                    scene.moment = Moment::Gathering;
                }
                let judged = scene.judge.notice(&notice);
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Complete(step) => {
                scene.store.append(Line::Complete(step));
                scene.complete = true;
                self.over = true;
            }
            Command::Interrupted(_) => {
                scene.store.append(Line::Members(MemberSet {
                    generation: self.engine.generation(),
                    ..MemberSet::default()
                }));
                self.over = true;
            }
            Command::Fail(error) => {
                drop(scene);
                let what = format!("the run failed: {error:?}");
                self.scene.judge(Err(Violation::new("progress", what)));
            }
            storage => {
                drop(scene);
                self.store(storage);
            }
        }
    }

    /// What concerns checkpoints.
    fn store(&mut self, command: Command) {
        let mut scene = self.scene.lock();
        match command {
            Command::SetAside { step, .. } => {
                let judged = scene.judge.set_aside(step, &scene.store);
                scene.store.checkpoints.remove(&step);
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Remove(step) => {
                let judged = scene.judge.removed(step, &scene.store);
                scene.store.checkpoints.remove(&step);
                drop(scene);
                self.scene.judge(judged);
            }
            Command::Stored(stored) => scene.store.append(Line::Checkpoint(stored)),
            Command::Discard(staging) => {
                scene.store.staged.remove(&staging.display().to_string());
            }
            Command::Publish {
                step,
                state_digest,
                staging,
                ..
            } => {
                scene.moment = Moment::Checkpoint;
                drop(scene);
                let moves = Event::Publishing {
                    staging: staging.clone(),
                };
                let staging = staging.display().to_string();
                self.later(Some(moves), move |scene| {
                    let outcome = publish(scene, step, &state_digest, &staging)?;
                    let staging = staging.into();
                    Ok(Event::Published {
                        step,
                        staging,
                        outcome,
                    })
                });
            }
            Command::Verify(stored) => {
                drop(scene);
                let step = stored.step;
                self.later(None, move |scene| {
                    let digest = Some(&stored.state_digest);
                    let outcome = scene.store.look_through(step, digest);
                    Ok(Event::Verified { step, outcome })
                });
            }
            Command::Export { result, last } => {
                drop(scene);
                self.later(None, move |scene| {
                    let judge = &scene.judge;
                    let outcome = scene.store.export(result, last, |step| judge.digest(step));
                    Ok(Event::Exported { result, outcome })
                });
            }
            _ => {}
        }
    }

    /// A task beside the engine: a process that is killed meanwhile answers nothing.
    fn later(
        &self,
        first: Option<Event>,
        task: impl FnOnce(&mut Scene) -> Result<Event, Violation> + Send + 'static,
    ) {
        let (scene, answers) = (self.scene.clone(), self.answers.clone());
        let time = scene.lock().millis(1, 50);
        tokio::spawn(async move {
            if let Some(first) = first {
                let _ = answers.send(first).await;
            }
            tokio::time::sleep(time).await;
            let done = task(&mut scene.lock());
            match done {
                Ok(event) => {
                    let _ = answers.send(event).await;
                }
                Err(violation) => scene.judge(Err(violation)),
            }
        });
    }
}

fn publish(
    scene: &mut Scene,
    step: Step,
    agreed: &String,
    staging: &str,
) -> Result<Result<StoredCheckpoint, PublishFailure>, Violation> {
    let checkpoint = match scene.store.publishable(step, agreed, staging) {
        Ok(checkpoint) => checkpoint,
        Err(failure) => return Ok(Err(failure)),
    };
    scene.judge.published(step, agreed, &checkpoint)?;
    Ok(Ok(scene.store.publish(step, staging, checkpoint)))
}
