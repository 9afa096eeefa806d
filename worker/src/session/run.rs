//! Carries out what the session decides: the stream, the reducer, the device and the state.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::faults::Faults;
use shared::net::{Dial, Tcp, session_endpoint};
use shared::security::Security;
use shared::signals::LeaveSignal;
use shared::wire::message::{Envelope, Hello, PROTOCOL, Sync, SyncSource, ToWorker};
use shared::wire::session::CoordinatorMessage;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::connect::Stream;
use super::feed::CommittedFeed;
use super::greeting;
use super::reducer::{ReduceEvent, Reducer};
use super::state::{Action, Ending, Input, Session};
use super::tasks::{self, Event};
use crate::collective::{PeerDial, PeerServer, PeerTcp};
use crate::progress::Counters;
use crate::train::device_thread::{self, DeviceJob, DeviceOutcome, LoadJob, LoadedRun, Withdrawn};
use crate::train::state_thread::{self, CommittedState, StateJob, StateOutcome};

/// How often the session is told the time.
const TICK: Duration = Duration::from_millis(25);

/// How long the last words may take to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// Most outcomes that wait for the session.
const QUEUE: usize = 64;

/// What `worker join` was asked.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// Address of the coordinator, `host:port`.
    pub address: String,
    /// The device asked for on the command line, such as `cuda:0`.
    pub device: Option<String>,
    /// Threads for tensor work and for the host's share of a step.
    pub threads: usize,
    /// Address at which peers may reach this worker; port 0 picks one.
    pub listen: SocketAddr,
    /// Host under which peers reach this worker, when not the listening address.
    pub advertise: Option<String>,
    /// Folder of the base model on this machine, when not where the coordinator says.
    pub base_model: Option<PathBuf>,
    /// How its connections are secured, to the coordinator and to other workers.
    pub security: Security,
    /// Faults on purpose; usually none.
    pub faults: Faults,
}

/// Joins a run and works until it ends.
///
/// # Errors
/// Whatever ended the session, coded; nothing of the run is lost by it.
pub async fn join(options: JoinOptions) -> Result<Ending> {
    let security = options.security.clone();
    session_endpoint(&security, &options.address)?;
    let committed = CommittedState::default();
    let progress = Counters::default();
    let withdrawn = Withdrawn::default();
    let faults = options.faults.clone();
    let (state_sender, state_outcomes) = mpsc::channel(QUEUE);
    let (published, threads) = (Arc::clone(&committed), options.threads);
    let counters = progress.clone();
    let state = state_thread::spawn(published, threads, faults.clone(), counters, state_sender)?;
    let feed = Arc::new(CommittedFeed(state.clone()));
    let (server, bound) =
        PeerServer::bind(options.listen, security.clone(), feed, progress.clone())?;
    let greeting = Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        name: greeting::host_and_process(),
        device: options.device.clone().unwrap_or_default(),
        peer_address: greeting::peer_address(bound, options.advertise.as_deref()),
        incarnation: greeting::incarnation(),
        resume: None,
    };
    let (device_sender, device_outcomes) = mpsc::channel(QUEUE);
    let device = device_thread::spawn(
        committed,
        withdrawn.clone(),
        faults.clone(),
        progress.clone(),
        device_sender,
    )?;
    let (reduced_sender, reduced) = mpsc::channel(QUEUE);
    let (events_sender, events) = mpsc::channel(QUEUE);
    let dial: Arc<dyn Dial> = Arc::new(Tcp(security.clone()));
    tasks::open(
        Arc::clone(&dial),
        options.address.clone(),
        Duration::ZERO,
        events_sender.clone(),
    );
    let running = Running {
        dial,
        peers: Arc::new(PeerTcp(security)),
        options,
        withdrawn,
        device,
        state,
        reducer: Reducer::start(server, faults, reduced_sender),
        progress,
        events: events_sender,
        stream: None,
        run: None,
        following: None,
        last_reduce: (0, 0),
        started: Instant::now(),
    };
    let inlets = Inlets {
        device: device_outcomes,
        state: state_outcomes,
        reduced,
        events,
    };
    running.work(Session::new(greeting), inlets).await
}

/// Channels that outcomes come in through, one for each kind.
struct Inlets {
    device: mpsc::Receiver<DeviceOutcome>,
    state: mpsc::Receiver<StateOutcome>,
    reduced: mpsc::Receiver<ReduceEvent>,
    events: mpsc::Receiver<Event>,
}

/// A worker at work: everything that the session's actions touch.
pub(super) struct Running {
    dial: Arc<dyn Dial>,
    /// The way to other workers: what moves there counts.
    peers: Arc<dyn PeerDial>,
    options: JoinOptions,
    withdrawn: Withdrawn,
    device: std::sync::mpsc::SyncSender<DeviceJob>,
    state: std::sync::mpsc::SyncSender<StateJob>,
    pub(super) reducer: Reducer,
    progress: Counters,
    events: mpsc::Sender<Event>,
    stream: Option<Stream>,
    pub(super) run: Option<LoadedRun>,
    following: Option<JoinHandle<()>>,
    /// Time and bytes of the newest reduce, until its total is applied.
    pub(super) last_reduce: (u64, u64),
    started: Instant,
}

impl Running {
    async fn work(mut self, mut session: Session, mut inlets: Inlets) -> Result<Ending> {
        let mut drain = LeaveSignal::listen()?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                message = next(&mut self.stream) => self.received(message),
                Some(outcome) = inlets.device.recv() => self.computed(outcome)?,
                Some(outcome) = inlets.state.recv() => self.stated(outcome)?,
                Some(reduced) = inlets.reduced.recv() => self.reduced(reduced)?,
                Some(event) = inlets.events.recv() => self.happened(event),
                _ = tick.tick() => Some(Input::Tick(self.progress.read())),
                () = drain.recv() => {
                    tracing::info!("leaving when nothing is lost by it; a second signal ends this worker at once");
                    Some(Input::Drain)
                }
            };
            let Some(input) = input else { continue };
            for action in session.on(input, self.started.elapsed()) {
                if let Some(ending) = self.carry_out(action).await? {
                    self.say_goodbye().await;
                    return Ok(ending);
                }
            }
        }
    }

    fn happened(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Open(stream) => {
                self.stream = Some(stream);
                Some(Input::Connected)
            }
            Event::Input(input) => Some(input),
        }
    }

    fn received(
        &mut self,
        message: std::result::Result<Option<CoordinatorMessage>, tonic::Status>,
    ) -> Option<Input> {
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Some(self.lost("it ended the session".into())),
            Err(status) => return Some(self.lost(status.message().to_owned())),
        };
        match Envelope::<ToWorker>::try_from(message) {
            Ok(envelope) => {
                match &envelope.body {
                    ToWorker::Welcome(welcome) => tracing::info!("joined as {}", welcome.worker_id),
                    ToWorker::Stopped { step, hold: true } => tracing::warn!(
                        "the coordinator was stopped, the state of step {step} is on storage: holding on for one that \
                         is started again (a signal ends this worker)"
                    ),
                    _ => {}
                }
                Some(Input::Coordinator(envelope))
            }
            Err(error) => Some(Input::Broken(error)),
        }
    }

    fn lost(&mut self, reason: String) -> Input {
        self.stream = None;
        tracing::warn!("the coordinator is away ({reason}): holding everything, trying again");
        Input::Lost(reason)
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Ending>> {
        match action {
            Action::Open { after } => {
                self.stream = None;
                let dial = Arc::clone(&self.dial);
                let address = self.options.address.clone();
                tasks::open(dial, address, after, self.events.clone());
            }
            Action::Say(message) => {
                if let Some(stream) = &self.stream
                    && stream.outbox.try_send((*message).into()).is_err()
                {
                    // A coordinator that takes nothing any more is one that is gone; the end of
                    // the inbox says so.
                    tracing::debug!("a message could not be queued");
                }
            }
            Action::Load(welcome) => self.device(DeviceJob::Load(Box::new(LoadJob {
                welcome: *welcome,
                base_model: self.options.base_model.clone(),
                device: self.options.device.clone(),
                threads: self.options.threads,
            })))?,
            Action::Patience(patience) => self.reducer.patience(patience),
            Action::Abandon => self.reducer.abandon(),
            Action::Sync(identity, sync) => self.sync(identity, sync)?,
            Action::Unfollow => self.unfollow(),
            Action::Connect {
                identity,
                members,
                slot,
            } => {
                let (generation, workers) = (identity.generation, members.len());
                tracing::info!("generation {generation}: {workers} worker(s), this is slot {slot}");
                self.reducer.connect(identity, members, slot);
            }
            Action::Compute {
                identity,
                task,
                micro_batches,
            } => self.device(DeviceJob::Compute(identity, task, micro_batches))?,
            Action::Withdraw {
                step,
                task,
                micro_batches,
            } => {
                self.withdrawn.add(step, task, &micro_batches);
                self.job(StateJob::Withdraw(step, task, micro_batches))?;
            }
            Action::Credit(task, micro_batches) => {
                self.job(StateJob::Credit(task, micro_batches))?;
            }
            Action::Forget => {
                if self.run.is_some() {
                    self.job(StateJob::Forget)?;
                }
            }
            Action::Reduce {
                identity,
                task,
                world_size,
            } => self.job(StateJob::Sum(identity, task, world_size))?,
            Action::Reapply(identity) => self.job(StateJob::Reapply(identity))?,
            Action::Prove => self.job(StateJob::Prove)?,
            Action::Explain(identity) => self.job(StateJob::Explain(identity))?,
            Action::Retain(steps) => self.job(StateJob::Retain(steps))?,
            Action::Commit(step) => {
                self.job(StateJob::Commit(step))?;
            }
            Action::Stage { step, staging } => self.stage(step, staging)?,
            Action::End(ending) => {
                tracing::info!("{}", ending.words());
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    /// Gives a job to the state thread.
    pub(super) fn job(&self, job: StateJob) -> Result<()> {
        self.state
            .try_send(job)
            .map_err(|_| stuck("the state thread"))
    }

    fn device(&self, job: DeviceJob) -> Result<()> {
        self.device
            .try_send(job)
            .map_err(|_| stuck("the device thread"))
    }

    fn sync(&mut self, identity: shared::ids::Identity, sync: Sync) -> Result<()> {
        self.unfollow();
        match &sync.source {
            SyncSource::Initial => self.device(DeviceJob::Initial),
            SyncSource::Checkpoint(folder) => self.job(StateJob::RestoreFrom(folder.into())),
            SyncSource::Peer(address) => {
                self.following = Some(tasks::follow_peer(
                    (Arc::clone(&self.peers), address.clone()),
                    identity,
                    sync,
                    self.state.clone(),
                    self.options.faults.clone(),
                    self.progress.clone(),
                    self.events.clone(),
                ));
                Ok(())
            }
        }
    }

    fn unfollow(&mut self) {
        if let Some(task) = self.following.take() {
            task.abort();
        }
    }

    fn stage(&self, step: shared::ids::Step, staging: String) -> Result<()> {
        let Some(run) = self.run.clone() else {
            return Err(Error::new(
                Code::Internal,
                "a checkpoint was ordered before loading",
            ));
        };
        let (sender, frozen) = tokio::sync::oneshot::channel();
        self.job(StateJob::Freeze(step, sender))?;
        let stage = tasks::Stage {
            step,
            staging: staging.into(),
            run,
            progress: self.progress.clone(),
            faults: self.options.faults.clone(),
        };
        tasks::stage(stage, frozen, self.events.clone());
        Ok(())
    }

    /// Lets the last words leave: closes this side and waits for the other to close.
    async fn say_goodbye(self) {
        let Some(Stream { outbox, mut inbox }) = self.stream else {
            return;
        };
        drop(outbox);
        let ended = async { while let Ok(Some(_)) = inbox.message().await {} };
        let _ = tokio::time::timeout(GOODBYE, ended).await;
    }
}

/// The next message, when there is a stream. Cancel safe.
async fn next(
    stream: &mut Option<Stream>,
) -> std::result::Result<Option<CoordinatorMessage>, tonic::Status> {
    match stream {
        Some(stream) => stream.inbox.message().await,
        None => std::future::pending().await,
    }
}

fn stuck(who: &str) -> Error {
    let what = format!("{who} does not take orders any more");
    Error::new(Code::Internal, what)
}
