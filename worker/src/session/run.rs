//! Carries out what the session decides: the stream, the reducer and the compute thread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::config::RunConfig;
use shared::error::{Code, Error, Result};
use shared::ids::Identity;
use shared::wire::message::{
    Applied, Envelope, FromWorker, Hello, PROTOCOL, Sync, SyncSource, ToWorker,
};
use shared::wire::session::CoordinatorMessage;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::connect::{self, Stream};
use super::reducer::{Reduced, Reducer};
use super::snapshots::CommittedSnapshots;
use super::state::{Action, Ending, Input, Session};
use crate::adapter::AdapterLayout;
use crate::checkpoint;
use crate::collective::{PeerServer, fetch_snapshot};
use crate::train::thread::{self, CommittedState, Job, LoadJob, Outcome};

/// Until the coordinator names its lease.
const FIRST_LEASE: Duration = Duration::from_secs(10);

/// How long the last words may take to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a peer may take to hand over the state.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(60);

/// Outcomes waiting at most.
const QUEUE: usize = 64;

/// What `worker join` was asked.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The coordinator, `host:port`.
    pub address: String,
    /// The device asked for.
    pub device: Option<String>,
    /// Threads for tensor work.
    pub threads: usize,
    /// Where peers may reach this worker.
    pub listen: SocketAddr,
    /// The name under which they do, when not the listening address.
    pub advertise: Option<String>,
    /// Where the base model lies here.
    pub base_model: Option<PathBuf>,
}

/// Joins a run and works until it ends.
///
/// # Errors
/// Whatever ended the session, coded; nothing of the run is lost by it.
pub async fn join(options: JoinOptions) -> Result<Ending> {
    let committed = CommittedState::default();
    let snapshots = Arc::new(CommittedSnapshots(Arc::clone(&committed)));
    let (server, bound) = PeerServer::bind(options.listen, snapshots).await?;
    let host = options
        .advertise
        .clone()
        .unwrap_or_else(|| bound.ip().to_string());
    let hello = Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL,
        name: host_and_process(),
        device: options.device.clone().unwrap_or_default(),
        peer_address: format!("{host}:{}", bound.port()),
        incarnation: incarnation(),
    };
    let identity = Identity::default();
    let first = Envelope {
        identity,
        body: FromWorker::Hello(hello),
    };
    let stream = connect::open(&options.address, first.into()).await?;
    let (outcome_sender, outcomes) = mpsc::channel(QUEUE);
    let jobs = thread::spawn(Arc::clone(&committed), outcome_sender)?;
    let (reduced_sender, reduced) = mpsc::channel(QUEUE);
    let (staged_sender, staged) = mpsc::channel(QUEUE);
    let running = Running {
        options,
        committed,
        jobs,
        reducer: Reducer::start(server, reduced_sender),
        staged: staged_sender,
        stream,
        lease: FIRST_LEASE,
        run: None,
        last_reduce: None,
    };
    running
        .work(Session::new(), outcomes, reduced, staged)
        .await
}

/// An input from a task of this session.
type Staged = Input;

struct Running {
    options: JoinOptions,
    committed: CommittedState,
    jobs: std::sync::mpsc::SyncSender<Job>,
    reducer: Reducer,
    staged: mpsc::Sender<Staged>,
    stream: Stream,
    lease: Duration,
    run: Option<(Arc<RunConfig>, Arc<AdapterLayout>)>,
    last_reduce: Option<Reduced>,
}

impl Running {
    async fn work(
        mut self,
        mut session: Session,
        mut outcomes: mpsc::Receiver<Outcome>,
        mut reduced: mpsc::Receiver<Reduced>,
        mut staged: mpsc::Receiver<Staged>,
    ) -> Result<Ending> {
        let mut drain = drain_signal()?;
        let mut beat = tokio::time::interval(FIRST_LEASE / 10);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let input = tokio::select! {
                message = self.stream.inbox.message() => {
                    heard = Instant::now();
                    self.received(message)
                }
                Some(outcome) = outcomes.recv() => self.computed(outcome),
                Some(reduced) = reduced.recv() => self.reduced(reduced)?,
                Some(input) = staged.recv() => Some(input),
                _ = beat.tick() => Some(Input::Beat),
                () = drain.recv() => Some(Input::Drain),
                () = tokio::time::sleep_until(heard + self.lease * 2) => {
                    Some(Input::Lost(format!("nothing heard for {:?}", self.lease * 2)))
                }
            };
            for action in input.map(|i| session.on(i)).unwrap_or_default() {
                if let Some(ending) = self.carry_out(action).await? {
                    self.say_goodbye().await;
                    return Ok(ending);
                }
            }
        }
    }

    fn received(
        &mut self,
        message: std::result::Result<Option<CoordinatorMessage>, tonic::Status>,
    ) -> Option<Input> {
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Some(Input::Lost("it ended the session".into())),
            Err(status) => return Some(Input::Lost(status.message().to_owned())),
        };
        match Envelope::<ToWorker>::try_from(message) {
            Ok(envelope) => {
                if let ToWorker::Welcome(welcome) = &envelope.body {
                    tracing::info!("joined as {}, loading the base model", welcome.worker_id);
                    self.lease = Duration::from_millis(welcome.lease_ms.max(1));
                }
                Some(Input::Coordinator(envelope))
            }
            Err(error) => Some(Input::Broken(error)),
        }
    }

    fn computed(&mut self, outcome: Outcome) -> Option<Input> {
        Some(match outcome {
            Outcome::Loaded(loaded, config, layout) => {
                tracing::info!("the base model is loaded on {}", loaded.device);
                self.run = Some((config, layout));
                Input::Loaded(loaded)
            }
            Outcome::Synced(step, state_digest) => Input::Synced { step, state_digest },
            Outcome::Computed(identity, result) => Input::Computed { identity, result },
            Outcome::Sum(identity, sum) => {
                self.reducer.reduce(identity, sum);
                return None;
            }
            Outcome::Applied(identity, report, total) => {
                self.reducer.recycle(total);
                let last = self.last_reduce.take();
                let (reduce_us, peer_bytes_sent) =
                    last.map(|r| (r.micros, r.bytes_sent)).unwrap_or_default();
                Input::Applied {
                    identity,
                    report: Applied {
                        reduce_us,
                        peer_bytes_sent,
                        ..report
                    },
                }
            }
            Outcome::Broken(error) => Input::Broken(error),
        })
    }

    fn reduced(&mut self, mut reduced: Reduced) -> Result<Option<Input>> {
        match std::mem::replace(&mut reduced.total, Ok(Vec::new())) {
            Ok(total) => {
                let identity = reduced.identity.clone();
                self.last_reduce = Some(reduced);
                self.job(Job::Apply(identity, total))?;
                Ok(None)
            }
            Err(failure) => Ok(Some(Input::ReduceFailed {
                identity: reduced.identity,
                culprit: failure.culprit.clone(),
                error: failure.into(),
            })),
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Ending>> {
        match action {
            Action::Say(message) => {
                // A closed outbox shows as the end of the inbox, which says why.
                let _ =
                    tokio::time::timeout(self.lease, self.stream.outbox.send((*message).into()))
                        .await;
            }
            Action::Load(welcome) => self.job(Job::Load(Box::new(LoadJob {
                welcome: *welcome,
                base_model: self.options.base_model.clone(),
                device: self.options.device.clone(),
                threads: self.options.threads,
            })))?,
            Action::Sync(identity, sync) => self.sync(&identity, sync)?,
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
                micro_batches,
            } => {
                self.job(Job::Compute(identity, micro_batches))?;
            }
            Action::Credit(micro_batches) => self.job(Job::Credit(micro_batches))?,
            Action::Reduce(identity) => self.job(Job::Sum(identity))?,
            Action::Commit(step) => {
                tracing::debug!("step {step} is committed");
                self.job(Job::Commit(step))?;
            }
            Action::Stage { step, staging } => self.stage(step, staging)?,
            Action::End(ending) => {
                tracing::info!("{}", ending.words());
                return Ok(Some(ending));
            }
        }
        Ok(None)
    }

    fn job(&self, job: Job) -> Result<()> {
        self.jobs.try_send(job).map_err(|_| {
            Error::new(
                Code::Internal,
                "the compute thread does not take orders any more",
            )
        })
    }

    fn sync(&self, identity: &Identity, sync: Sync) -> Result<()> {
        match sync.source {
            SyncSource::Initial => self.job(Job::Initial),
            SyncSource::Checkpoint(folder) => self.job(Job::RestoreFrom(folder.into())),
            SyncSource::Peer(address) => {
                let (jobs, staged) = (self.jobs.clone(), self.staged.clone());
                let (run, term) = (identity.run.clone(), identity.term);
                tokio::spawn(async move {
                    let fetched =
                        fetch_snapshot(&address, &run, term, sync.step, SNAPSHOT_DEADLINE).await;
                    let restored = fetched.and_then(|bytes| checkpoint::decode_snapshot(&bytes));
                    match restored {
                        Ok(state) => {
                            let _ = jobs.try_send(Job::Restore(Box::new(state)));
                        }
                        Err(error) => {
                            let _ = staged.send(Input::Broken(error)).await;
                        }
                    }
                });
                Ok(())
            }
        }
    }

    /// The committed state is taken once all earlier jobs are done, then written aside.
    fn stage(&self, step: shared::ids::Step, staging: String) -> Result<()> {
        let Some((config, layout)) = self.run.clone() else {
            return Err(Error::new(
                Code::Internal,
                "a checkpoint was ordered before loading",
            ));
        };
        let (committed, staged) = (Arc::clone(&self.committed), self.staged.clone());
        let (sender, ready) = tokio::sync::oneshot::channel();
        self.job(Job::Fence(sender))?;
        tokio::spawn(async move {
            let _ = ready.await;
            let written = tokio::task::spawn_blocking(move || {
                let state = thread::committed(&committed).filter(|s| s.step == step);
                let state = state.ok_or_else(|| format!("the state of step {step} is gone"))?;
                checkpoint::write_checkpoint(&PathBuf::from(staging), &config, &layout, &state)
                    .map_err(|e| shared::error::render(&e))
            });
            let outcome = written.await.unwrap_or_else(|e| Err(e.to_string()));
            let _ = staged.send(Input::Staged { step, outcome }).await;
        });
        Ok(())
    }

    /// Lets the last words leave: closes this side and waits for the other to close.
    async fn say_goodbye(self) {
        let Stream { outbox, mut inbox } = self.stream;
        drop(outbox);
        let ended = async { while let Ok(Some(_)) = inbox.message().await {} };
        let _ = tokio::time::timeout(GOODBYE, ended).await;
    }
}

/// SIGTERM and interrupt: the first drains, the second ends the process at once.
struct DrainSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    asked: bool,
}

impl DrainSignal {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        if self.asked {
            std::process::exit(i32::from(shared::error::ExitCode::Interrupted as u8));
        }
        self.asked = true;
    }
}

fn drain_signal() -> Result<DrainSignal> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|e| Error::new(Code::Io, "no signal handler").why(e.to_string()))
    };
    Ok(DrainSignal {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
        asked: false,
    })
}

fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "worker"
    } else {
        host.trim()
    };
    format!("{host}:{}", std::process::id())
}

/// Differs at every start: process and nanoseconds; used as a name only.
fn incarnation() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!(
        "{:x}-{:x}",
        std::process::id(),
        now.map(|d| d.as_nanos()).unwrap_or_default()
    )
}
