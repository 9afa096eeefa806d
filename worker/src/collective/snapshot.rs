//! The committed state from one worker to a joiner, as opaque bytes.
//!
//! In: on the serving side whatever [`SnapshotSource`] freezes, on the asking side an address and a
//! step. Out: the same bytes, whole and of that step, or an error. What is in them is the
//! checkpoint's business.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use shared::error::{Code, Error, Result};
use shared::ids::{RunId, Step, Term};
use shared::wire::peer::peer_client::PeerClient;
use shared::wire::peer::{SnapshotChunk, SnapshotRequest};
use tokio_stream::Stream;
use tonic::Status;

use super::net::{self, MESSAGE_LIMIT};
use super::slices::chunks;

/// Bytes of one piece.
const PIECE_BYTES: usize = 1 << 20;
/// Reserved at once at most; what a peer claims beyond that has to arrive first.
const RESERVE_LIMIT: usize = 1 << 30;

/// Holds the committed state.
pub trait SnapshotSource: Send + Sync {
    /// The state after a step, frozen now; nothing when another step is committed.
    fn snapshot(&self, step: Step) -> Option<Bytes>;
}

/// A worker that has no state to give.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshot;

impl SnapshotSource for NoSnapshot {
    fn snapshot(&self, _: Step) -> Option<Bytes> {
        None
    }
}

/// A snapshot on its way out.
pub(super) type Pieces =
    Pin<Box<dyn Stream<Item = std::result::Result<SnapshotChunk, Status>> + Send>>;

/// Cuts a state into pieces; an empty one is still one piece.
pub(super) fn pieces(step: Step, state: Bytes) -> Pieces {
    let total_bytes = state.len() as u64;
    let piece = move |offset: usize, data: Bytes| {
        let offset_bytes = offset as u64;
        Ok(SnapshotChunk {
            step: step.0,
            total_bytes,
            offset_bytes,
            data,
        })
    };
    let head = std::iter::once(piece(0, Bytes::new()));
    let ranges = chunks(0..state.len(), PIECE_BYTES);
    let body = ranges.map(move |range| piece(range.start, state.slice(range)));
    Box::pin(tokio_stream::iter(head.chain(body)))
}

/// Asks a peer for its committed state of a step.
///
/// # Errors
/// [`Code::Unreachable`] when the peer cannot be reached or takes longer than `deadline`,
/// [`Code::SessionLost`] when it refuses, has another step or breaks off.
pub async fn fetch_snapshot(
    address: &str,
    run: &RunId,
    term: Term,
    step: Step,
    deadline: Duration,
) -> Result<Bytes> {
    let request = SnapshotRequest {
        run_id: run.0.clone(),
        term: term.0,
        step: step.0,
    };
    let fetched = tokio::time::timeout(deadline, fetch(address, request)).await;
    match fetched {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            Code::Unreachable,
            format!("the peer at {address} is too slow"),
        )
        .why(format!(
            "the state of step {step} did not arrive within {deadline:?}"
        ))
        .fix("nothing: another peer or a checkpoint is tried")),
    }
}

async fn fetch(address: &str, request: SnapshotRequest) -> Result<Bytes> {
    let step = request.step;
    let lost = |why: String| {
        Error::new(
            Code::SessionLost,
            format!("the peer at {address} did not give its state"),
        )
        .why(why)
        .fix("nothing: another peer or a checkpoint is tried")
    };
    let mut client =
        PeerClient::new(net::connect(address).await?).max_decoding_message_size(MESSAGE_LIMIT);
    let answer = client.snapshot(request).await;
    let mut stream = answer
        .map_err(|e| lost(net::with_sources(&e)))?
        .into_inner();
    let mut state = BytesMut::new();
    let mut total = None;
    while let Some(piece) = stream
        .message()
        .await
        .map_err(|e| lost(net::with_sources(&e)))?
    {
        if total.is_none() {
            let room = usize::try_from(piece.total_bytes).unwrap_or(usize::MAX);
            state.reserve(room.min(RESERVE_LIMIT));
        }
        let all = *total.get_or_insert(piece.total_bytes);
        let end = state.len() as u64 + piece.data.len() as u64;
        if piece.step != step
            || piece.total_bytes != all
            || piece.offset_bytes != state.len() as u64
            || end > all
        {
            return Err(lost(format!(
                "a piece of step {} at byte {} of {} does not continue step {step} at byte {} of {all}",
                piece.step,
                piece.offset_bytes,
                piece.total_bytes,
                state.len()
            )));
        }
        state.extend_from_slice(&piece.data);
    }
    match total {
        Some(all) if all == state.len() as u64 => Ok(state.freeze()),
        Some(all) => Err(lost(format!("{} of {all} bytes arrived", state.len()))),
        None => Err(lost("the answer was empty".to_owned())),
    }
}
