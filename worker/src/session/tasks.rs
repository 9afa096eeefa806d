//! What runs beside the session: opening streams, following a peer, staging a checkpoint.
//!
//! Each is a task of its own whose outcome comes back as an input, so that orders are heard while
//! it goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use shared::error::{Code, Error, render};
use shared::faults::{Effect, Faults};
use shared::ids::{Identity, Step};
use shared::net::Dial;
use shared::numerics::AdapterState;
use shared::wire::message::{FileDigest, Sync};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connect::{self, Stream};
use super::state::Input;
use crate::checkpoint;
use crate::collective::{FeedItem, PeerDial, Tally, follow};
use crate::progress::Counters;
use crate::train::device_thread::LoadedRun;
use crate::train::state_thread::StateJob;

/// How long a peer may stand still while it hands over the state.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(30);

/// Most totals that have come from a peer and are not applied yet.
const FOLLOWED_AHEAD: usize = 4;

/// What one of these tasks has to say.
pub(super) enum Event {
    /// A stream is open.
    Open(Stream),
    /// An outcome for the session, whatever the task was.
    Input(Input),
}

/// Opens a stream after a pause; how long, the session decides.
pub(super) fn open(
    dial: Arc<dyn Dial>,
    address: String,
    after: Duration,
    events: mpsc::Sender<Event>,
) {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let event = match connect::open(&*dial, &address).await {
            Ok(stream) => Event::Open(stream),
            Err(error) => {
                let reason = [vec![error.what.clone()], error.why.clone()].concat();
                Event::Input(Input::Lost(reason.join(": ")))
            }
        };
        // Nobody listens any more only when the session is over.
        let _ = events.send(event).await;
    });
}

/// Takes the state from a peer, dialled at its address, and follows its totals until either side ends it.
pub(super) fn follow_peer(
    (dial, address): (Arc<dyn PeerDial>, String),
    identity: Identity,
    sync: Sync,
    jobs: std::sync::mpsc::SyncSender<StateJob>,
    faults: Faults,
    progress: Counters,
    events: mpsc::Sender<Event>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (run, term) = (&identity.run, identity.term);
        let outcome = async {
            let way = (&*dial, Tally::new(&progress));
            let asked = follow(way, &address, run, term, sync.step, FOLLOW_PATIENCE);
            let mut following = asked.await?;
            let under_way = Arc::new(Semaphore::new(FOLLOWED_AHEAD));
            loop {
                // A worker that applies totals more slowly than the run goes on reads more slowly too.
                let room = Arc::clone(&under_way).acquire_owned().await;
                let room = room.map_err(|e| {
                    Error::new(Code::Internal, "no totals any more").why(e.to_string())
                })?;
                let job = match following.next().await? {
                    FeedItem::State(step, bytes) => {
                        let _ = faults.at("join", step);
                        StateJob::Adopt(Box::new(checkpoint::decode_snapshot(&bytes)?))
                    }
                    FeedItem::Total(step, total) => StateJob::FollowTotal(step, total, room),
                };
                match jobs.try_send(job) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        return Err(Error::new(
                            Code::SyncFailed,
                            "its state thread is too far behind",
                        ));
                    }
                    Err(TrySendError::Disconnected(_)) => return Ok(()),
                }
            }
        };
        let outcome: shared::error::Result<()> = outcome.await;
        if let Err(error) = outcome {
            let reason = [vec![error.what.clone()], error.why.clone()].concat();
            let input = Input::SyncFailed(reason.join(": "));
            let _ = events.send(Event::Input(input)).await;
        }
    })
}

/// A checkpoint that is written beside the training.
pub(super) struct Stage {
    pub(super) step: Step,
    pub(super) staging: PathBuf,
    pub(super) run: LoadedRun,
    pub(super) progress: Counters,
    pub(super) faults: Faults,
}

/// Writes a committed state aside: the one that the state thread hands out, once all earlier jobs are done.
pub(super) fn stage(
    stage: Stage,
    frozen: oneshot::Receiver<Option<Arc<AdapterState>>>,
    events: mpsc::Sender<Event>,
) {
    tokio::spawn(async move {
        let step = stage.step;
        // Training goes on while it is written.
        let state = frozen.await.ok().flatten();
        let written = tokio::task::spawn_blocking(move || write(&stage, state.as_deref()));
        let outcome = written.await.unwrap_or_else(|e| Err(e.to_string()));
        let input = Input::Staged { step, outcome };
        let _ = events.send(Event::Input(input)).await;
    });
}

fn write(stage: &Stage, state: Option<&AdapterState>) -> Result<Vec<FileDigest>, String> {
    let step = stage.step;
    let state = state.ok_or_else(|| format!("the state of step {step} is gone"))?;
    if stage.faults.hold("checkpoint", step, Duration::ZERO) == Some(Effect::Full) {
        return Err("no space left on device (a fault on purpose)".to_owned());
    }
    let flip = stage.faults.at("staged", step) == Some(Effect::Flip);
    let damaged = flip.then(|| checkpoint::damage(state));
    let state = damaged.as_ref().unwrap_or(state);
    let run = &stage.run;
    let pissa_initial = run.pissa_initial.as_deref().map(Vec::as_slice);
    checkpoint::write_checkpoint(
        &stage.staging,
        &run.config,
        &run.layout,
        state,
        pissa_initial,
        &stage.progress,
    )
    .map_err(|e| render(&e))
}
