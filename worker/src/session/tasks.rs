//! What runs beside the session: opening streams, following a peer, staging a checkpoint.
//!
//! Each is a task of its own whose outcome comes back as an input, so that orders are heard while
//! it goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::error::render;
use shared::faults::{Effect, Faults};
use shared::ids::{Identity, Step};
use shared::wire::Dial;
use shared::wire::message::Sync;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::connect::{self, PAUSE, Stream};
use super::state::Input;
use crate::checkpoint;
use crate::collective::{Fed, follow};
use crate::train::device_thread::LoadedRun;
use crate::train::state_thread::{CommittedState, StateJob, committed};

/// How long a peer may stand still while it hands over the state.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(30);

/// What a task has to say.
pub(super) enum Event {
    /// A stream is open.
    Open(Stream),
    /// Anything else.
    Input(Input),
}

/// Opens a stream; a failure is told after a pause, so that tries are not a storm.
pub(super) fn open(dial: Arc<dyn Dial>, address: String, events: mpsc::Sender<Event>) {
    tokio::spawn(async move {
        let event = match connect::open(&*dial, &address).await {
            Ok(stream) => Event::Open(stream),
            Err(error) => {
                tokio::time::sleep(PAUSE).await;
                let reason = [vec![error.what.clone()], error.why.clone()].concat();
                Event::Input(Input::Lost(reason.join(": ")))
            }
        };
        // Nobody listens any more only when the session is over.
        let _ = events.send(event).await;
    });
}

/// Takes the state from a peer and follows its totals until it is ended.
pub(super) fn follow_peer(
    dial: Arc<dyn Dial>,
    address: String,
    identity: Identity,
    sync: Sync,
    jobs: std::sync::mpsc::SyncSender<StateJob>,
    faults: Faults,
    events: mpsc::Sender<Event>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (run, term) = (&identity.run, identity.term);
        let outcome = async {
            let asked = follow(&*dial, &address, run, term, sync.step, FOLLOW_PATIENCE);
            let mut following = asked.await?;
            loop {
                let job = match following.next().await? {
                    Fed::State(step, bytes) => {
                        let _ = faults.at("join", step);
                        StateJob::Adopt(Box::new(checkpoint::decode_snapshot(&bytes)?))
                    }
                    Fed::Total(step, total) => StateJob::FollowTotal(step, total),
                };
                if jobs.try_send(job).is_err() {
                    return Ok(());
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

/// Writes the committed state aside, once all earlier jobs are done.
pub(super) fn stage(
    step: Step,
    staging: String,
    run: LoadedRun,
    state: CommittedState,
    fence: oneshot::Receiver<()>,
    faults: Faults,
    events: mpsc::Sender<Event>,
) {
    tokio::spawn(async move {
        let _ = fence.await;
        // Frozen now: training goes on while it is written.
        let frozen = committed(&state)
            .map(|p| p.state)
            .filter(|s| s.step == step);
        let written = tokio::task::spawn_blocking(move || {
            let state = frozen.ok_or_else(|| format!("the state of step {step} is gone"))?;
            if faults.hold("checkpoint", step, Duration::ZERO) == Some(Effect::Full) {
                return Err("no space left on device (a fault on purpose)".to_owned());
            }
            let folder = PathBuf::from(staging);
            let taken = run.taken.as_deref().map(Vec::as_slice);
            checkpoint::write_checkpoint(&folder, &run.config, &run.layout, &state, taken)
                .map_err(|e| render(&e))
        });
        let outcome = written.await.unwrap_or_else(|e| Err(e.to_string()));
        let input = Input::Staged { step, outcome };
        let _ = events.send(Event::Input(input)).await;
    });
}
