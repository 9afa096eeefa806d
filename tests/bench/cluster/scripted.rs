//! Workers without a device: real connections that speak the session's protocol.
//!
//! In: the address of a coordinator. Out: everything a worker says, at once and from nothing but step and
//! index. Keeps: all of a cast agree on every fingerprint, sum and digest; a session that is cut opens again
//! with what it holds; what no worker of a sound run may hear ends the measurement.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::ids::{Identity, MicroBatchId, Step, WorkerId};
use shared::net::{TO_WORKER_LIMIT, session_endpoint};
use shared::numerics::Fingerprint;
use shared::security::PLAIN;
use shared::wire::message::{
    Applied, Computed, Envelope, FromWorker, Hello, Loaded, PROTOCOL, Position, Progress, Task,
    ToWorker,
};
use shared::wire::session::session_client::SessionClient;
use shared::wire::session::{CoordinatorMessage, WorkerMessage};
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Messages on their way out at most.
const OUTBOX: usize = 256;
/// Between tries while the listener's queue is full.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections of one worker that may break before it is welcomed for the first time.
const TRIES: usize = 50;
/// Whose line was cut works again within it.
const COMES_BACK: Duration = Duration::from_secs(60);
const BEAT: Duration = Duration::from_secs(5);

/// What all workers of a cast know.
pub(crate) struct Stage {
    endpoint: Endpoint,
    /// The newest step that is committed.
    committed: watch::Sender<Step>,
    /// The newest message of each name.
    heard: Mutex<BTreeMap<&'static str, String>>,
    /// What nobody should have heard.
    troubles: Mutex<Vec<String>>,
    /// Works again after its line was cut.
    works: mpsc::UnboundedSender<usize>,
    /// Connections that broke before their worker was welcomed, and were tried again.
    again: AtomicUsize,
}

/// All workers of a measurement.
pub(crate) struct Cast {
    pub(crate) stage: Arc<Stage>,
    cuts: Vec<Arc<Notify>>,
    working: mpsc::UnboundedReceiver<usize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Cast {
    /// So many workers that join `address`; must be called inside a runtime.
    pub(crate) fn join(address: &str, count: usize) -> Self {
        let (works, working) = mpsc::unbounded_channel();
        let stage = Arc::new(Stage {
            endpoint: session_endpoint(&PLAIN, address).unwrap(),
            committed: watch::Sender::new(Step(0)),
            heard: Mutex::default(),
            troubles: Mutex::default(),
            works,
            again: AtomicUsize::new(0),
        });
        let cuts: Vec<_> = (0..count).map(|_| Arc::new(Notify::new())).collect();
        let tasks = cuts.iter().enumerate().map(|(number, cut)| {
            let worker = Scripted::new(number, Arc::clone(&stage));
            tokio::spawn(worker.perform(Arc::clone(cut)))
        });
        Self {
            tasks: tasks.collect(),
            stage,
            cuts,
            working,
        }
    }

    /// Cuts one worker's connection and waits until it works again.
    pub(crate) fn reconnect(&mut self, number: usize) {
        while self.working.try_recv().is_ok() {}
        self.cuts[number].notify_one();
        let works = async { while self.working.recv().await != Some(number) {} };
        let works = tokio::runtime::Handle::current()
            .block_on(async { tokio::time::timeout(COMES_BACK, works).await });
        assert!(works.is_ok(), "worker {number}: {:?}", self.troubles());
    }

    /// What nobody should have heard.
    pub(crate) fn troubles(&self) -> Vec<String> {
        lock(&self.stage.troubles).clone()
    }

    /// Connections that broke before their worker was welcomed, and were tried again.
    pub(crate) fn tried_again(&self) -> usize {
        self.stage.again.load(Ordering::Relaxed)
    }

    /// The newest message of each name, as text.
    pub(crate) fn heard(&self) -> BTreeMap<&'static str, String> {
        lock(&self.stage.heard).clone()
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// One worker.
struct Scripted {
    number: usize,
    stage: Arc<Stage>,
    identity: Identity,
    name: String,
    base_digest: String,
    committed: Step,
    /// What counts as its own in the step in work.
    credited: BTreeMap<MicroBatchId, u64>,
    /// It follows the totals of a member, until it counts itself.
    follows: bool,
    loaded: bool,
}

impl Scripted {
    fn new(number: usize, stage: Arc<Stage>) -> Self {
        Self {
            number,
            stage,
            identity: Identity::default(),
            name: String::new(),
            base_digest: String::new(),
            committed: Step(0),
            credited: BTreeMap::new(),
            follows: false,
            loaded: false,
        }
    }

    /// One session after the other.
    async fn perform(mut self, cut: Arc<Notify>) {
        let mut failed = 0;
        loop {
            let Ok(channel) = self.stage.endpoint.connect().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match self.session(channel, &cut).await {
                Ok(()) => failed = 0,
                // A connection that the listener's full queue has dropped is reset when it is first used. It is the
                // first one of a worker: whoever comes back finds room.
                Err(Broke::Line(_)) if !self.loaded && failed < TRIES => {
                    failed += 1;
                    self.stage.again.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(Broke::Line(trouble) | Broke::Word(trouble)) => {
                    let trouble = format!("{} {}: {trouble}", self.number, self.name);
                    lock(&self.stage.troubles).push(trouble);
                    return;
                }
            }
        }
    }

    /// Until its line is cut.
    async fn session(&mut self, channel: Channel, cut: &Notify) -> Result<(), Broke> {
        let (say, said) = mpsc::channel::<WorkerMessage>(OUTBOX);
        let gone = |_| Broke::Line("the connection is gone".to_owned());
        say.send(self.says(FromWorker::Hello(self.hello())))
            .await
            .map_err(gone)?;
        self.follows = false;
        let client = SessionClient::new(channel).max_decoding_message_size(TO_WORKER_LIMIT);
        let opened = { client }.open(ReceiverStream::new(said)).await;
        let mut answers = opened.map_err(|e| Broke::Line(e.to_string()))?.into_inner();
        let mut beat = tokio::time::interval(BEAT);
        let mut committed = self.stage.committed.subscribe();
        loop {
            let answers = tokio::select! {
                () = cut.notified() => return Ok(()),
                _ = beat.tick() => vec![FromWorker::Beat(Progress::default())],
                _ = committed.changed(), if self.follows => {
                    self.committed = *committed.borrow_and_update();
                    vec![self.ready()]
                }
                message = next(&mut answers) => self.hears(message?).map_err(Broke::Word)?,
            };
            for body in answers {
                say.send(self.says(body)).await.map_err(gone)?;
            }
        }
    }

    fn says(&self, body: FromWorker) -> WorkerMessage {
        let identity = self.identity.clone();
        Envelope { identity, body }.into()
    }

    fn hello(&self) -> Hello {
        Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            name: format!("scripted-{}", self.number),
            device: String::new(),
            peer_address: format!("127.0.0.1:{}", 10_000 + self.number),
            incarnation: format!("incarnation-{}", self.number),
            resume: self.loaded.then(|| self.position()),
        }
    }

    fn position(&self) -> Position {
        Position {
            run: self.identity.run.clone(),
            worker: WorkerId(self.name.clone()),
            step: self.committed,
            state_digest: state_digest(self.committed),
            task: Task::Train,
            credited: self.credited.clone(),
            shadow_digest: String::new(),
            loaded: Some(self.computes_with()),
            retained: BTreeMap::new(),
        }
    }

    fn computes_with(&self) -> Loaded {
        Loaded {
            base_digest: self.base_digest.clone(),
            device_class: "scripted".into(),
            device: "cpu".into(),
            rehearsals: Vec::new(),
        }
    }

    fn ready(&self) -> FromWorker {
        FromWorker::Ready {
            step: self.committed,
            state_digest: state_digest(self.committed),
        }
    }

    /// What it says to what it hears.
    fn hears(&mut self, message: Envelope<ToWorker>) -> Result<Vec<FromWorker>, String> {
        self.remember(&message);
        let Envelope { identity, body } = message;
        if !matches!(body, ToWorker::Beat) {
            self.identity = identity;
        }
        let step = self.identity.step;
        match body {
            ToWorker::Welcome(welcome) => {
                self.name = welcome.worker_id;
                self.base_digest = welcome.base_digest;
                if !welcome.keep_sums {
                    self.credited.clear();
                }
                if !std::mem::replace(&mut self.loaded, true) {
                    return Ok(vec![FromWorker::Loaded(self.computes_with())]);
                }
            }
            ToWorker::Sync(sync) => {
                self.committed = sync.step;
                self.follows = true;
                return Ok(vec![self.ready()]);
            }
            ToWorker::Members(change) => {
                self.follows = false;
                // All of them are listed once in a session. Nobody waits for it when nobody was cut off.
                if change.since.is_none() {
                    let _ = self.stage.works.send(self.number);
                }
            }
            ToWorker::Assign(task, list) => {
                let computed = list.into_iter().map(|micro_batch| Computed {
                    micro_batch,
                    fingerprint: fingerprint(step, micro_batch),
                    compute_us: 1000,
                    task,
                });
                return Ok(computed.map(FromWorker::Computed).collect());
            }
            ToWorker::Credit(_, list) => {
                let credited = list.into_iter().map(|m| (m, fingerprint(step, m)));
                self.credited.extend(credited);
            }
            ToWorker::Reduce { fingerprint, .. } => {
                return Ok(vec![FromWorker::Applied(self.applies(fingerprint))]);
            }
            ToWorker::Commit { .. } => {
                self.committed = step;
                self.credited.clear();
                self.stage.committed.send_if_modified(|newest| {
                    let newer = step > *newest;
                    *newest = (*newest).max(step);
                    newer
                });
            }
            ToWorker::Beat | ToWorker::Stale(_) | ToWorker::Withdraw(..) | ToWorker::Retain(_) => {}
            other => return Err(format!("{other:?}")),
        }
        Ok(Vec::new())
    }

    /// The total is what the coordinator expects: what an all-reduce of all sums would deliver.
    fn applies(&self, total: u64) -> Applied {
        let sum: Fingerprint = self.credited.values().map(|f| Fingerprint(*f)).sum();
        Applied {
            state_digest: state_digest(self.identity.step),
            total_fingerprint: total,
            loss: 1 << 40,
            grad_norm: 1.0,
            bytes_sent: 1 << 20,
            reduce_us: 1000,
            apply_us: 1000,
            contributed_fingerprint: sum.0,
            ..Applied::default()
        }
    }

    fn remember(&self, message: &Envelope<ToWorker>) {
        let name = match &message.body {
            ToWorker::Welcome(_) => "Welcome",
            ToWorker::Members(change) if change.since.is_some() => "Members, what changed",
            ToWorker::Members(_) => "Members, all",
            _ if self.number > 0 => return,
            ToWorker::Assign(..) => "Assign",
            ToWorker::Reduce { .. } => "Reduce",
            ToWorker::Commit { .. } => "Commit",
            _ => return,
        };
        lock(&self.stage.heard).insert(name, format!("{message:?}"));
        if name == "Reduce"
            && let ToWorker::Reduce { fingerprint, .. } = &message.body
        {
            let applied = format!("{:?}", self.applies(*fingerprint));
            lock(&self.stage.heard).insert("Applied", applied);
        }
    }
}

/// Why a session ended.
enum Broke {
    /// Its connection.
    Line(String),
    /// What was said, or that the coordinator ended it.
    Word(String),
}

async fn next(answers: &mut Streaming<CoordinatorMessage>) -> Result<Envelope<ToWorker>, Broke> {
    let message = answers.message().await;
    let message = message.map_err(|e| Broke::Line(e.to_string()))?;
    let closed = || Broke::Word("the coordinator closed the session".to_owned());
    Envelope::try_from(message.ok_or_else(closed)?).map_err(|e| Broke::Word(e.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of the integers that a micro-batch comes to.
fn fingerprint(step: Step, micro_batch: MicroBatchId) -> u64 {
    (step.0 << 20 | u64::from(micro_batch.0)) + 1
}

/// Of the state after a step.
fn state_digest(step: Step) -> String {
    let digest = blake3::hash(format!("the state of step {step}").as_bytes());
    digest.to_hex().to_string()
}
