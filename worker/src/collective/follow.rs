//! The committed state from one worker to a joiner as opaque bytes, then the total of every step.
//!
//! In: on the serving side whatever [`StateSource`] freezes, on the asking side an address. Out: the
//! same bytes, whole, then totals in order, until either side ends it. What is in a state is the
//! checkpoint's business.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use shared::error::{Code, Error, Result};
use shared::ids::{RunId, Step, Term};
use shared::net::{CONNECT_TIMEOUT, TO_PEER_LIMIT};
use shared::wire::peer::peer_client::PeerClient;
use shared::wire::peer::{FollowChunk, FollowRequest, Part};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::metered::PeerDial;
use super::net;
use super::patience::Patience;
use super::slices::{self, chunks};
use super::traffic::{Tally, Traffic};

/// Bytes of one piece of a feed.
const PIECE_BYTES: usize = 1 << 20;
/// Most bytes reserved at once; what a peer claims beyond that has to arrive first.
const RESERVE_LIMIT: usize = 1 << 30;
/// Pieces that wait between the source and the network.
const QUEUED_PIECES: usize = 4;

/// A frozen state and what comes after it.
#[derive(Debug)]
pub struct StateFeed {
    /// The committed step of the state.
    pub step: Step,
    /// The encoded state, as a joiner decodes it.
    pub state: Bytes,
    /// Totals of the following steps, in order; when they end, so does the feed.
    pub totals: mpsc::Receiver<(Step, Arc<Vec<i64>>)>,
}

/// A feed that is being made.
pub type Feeding = Pin<Box<dyn Future<Output = Option<StateFeed>> + Send>>;

/// What serves the committed state of this worker.
pub trait StateSource: Send + Sync {
    /// The state as it is now and every total from then on; nothing when there is no state.
    fn feed(&self) -> Feeding;
}

/// A worker that has no state to give.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoState;

impl StateSource for NoState {
    fn feed(&self) -> Feeding {
        Box::pin(std::future::ready(None))
    }
}

/// A feed on its way out.
pub(super) type Pieces = ReceiverStream<std::result::Result<FollowChunk, Status>>;

/// Cuts a feed into pieces, as fast as they are taken.
pub(super) fn pieces(feed: StateFeed) -> Pieces {
    let (sender, pieces) = mpsc::channel(QUEUED_PIECES);
    let out = Out { sender };
    tokio::spawn(async move {
        let StateFeed {
            step,
            state,
            mut totals,
        } = feed;
        if !out.part(Part::State, step, state).await {
            return;
        }
        loop {
            tokio::select! {
                total = totals.recv() => match total {
                    Some((step, total)) => {
                        if !out.part(Part::Total, step, slices::encode(&total)).await {
                            return;
                        }
                    }
                    None => {
                        let late = Status::aborted("the source follows another state now");
                        let _ = out.sender.send(Err(late)).await;
                        return;
                    }
                },
                () = out.sender.closed() => return,
            }
        }
    });
    ReceiverStream::new(pieces)
}

/// Where pieces go.
struct Out {
    sender: mpsc::Sender<std::result::Result<FollowChunk, Status>>,
}

impl Out {
    /// Sends one part; an empty one is still one piece. False when nobody takes it.
    async fn part(&self, part: Part, step: Step, bytes: Bytes) -> bool {
        let total_bytes = bytes.len() as u64;
        let piece = |offset: usize, data: Bytes| FollowChunk {
            step: step.0,
            total_bytes,
            offset_bytes: offset as u64,
            data,
            part: part as i32,
        };
        if self.sender.send(Ok(piece(0, Bytes::new()))).await.is_err() {
            return false;
        }
        for range in chunks(0..bytes.len(), PIECE_BYTES) {
            let next = piece(range.start, bytes.slice(range));
            if self.sender.send(Ok(next)).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// What a follower receives.
#[derive(Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// The frozen state of a committed step.
    State(Step, Bytes),
    /// The total of a step.
    Total(Step, Vec<i64>),
}

/// A connection to a peer whose state and totals are followed.
pub struct Follower {
    stream: Streaming<FollowChunk>,
    address: String,
    patience: Duration,
    tally: Tally,
    begun: bool,
}

/// Asks a peer for its committed state, at least of a step, and for what follows; `tally` counts what comes.
///
/// # Errors
/// [`Code::Unreachable`] when the peer cannot be reached within `patience`,
/// [`Code::SessionLost`] when it refuses.
pub async fn follow(
    (dial, tally): (&dyn PeerDial, Tally),
    address: &str,
    run: &RunId,
    term: Term,
    least_step: Step,
    patience: Duration,
) -> Result<Follower> {
    let request = FollowRequest {
        run_id: run.0.clone(),
        term: term.0,
        least_step: least_step.0,
    };
    let asked = async {
        let channel =
            net::connect(dial, address, Traffic::of(tally.clone()), CONNECT_TIMEOUT).await?;
        let mut client = PeerClient::new(channel).max_decoding_message_size(TO_PEER_LIMIT);
        let answer = client.follow(request).await;
        let answer = answer.map_err(|e| lost(address, net::with_sources(&e)))?;
        Ok(Follower {
            stream: answer.into_inner(),
            address: address.to_owned(),
            patience,
            tally,
            begun: false,
        })
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(too_slow(address, patience)),
    }
}

impl Follower {
    /// The next whole part: first the state, then totals. A total may be long in coming.
    ///
    /// # Errors
    /// [`Code::SessionLost`] when the peer ends it or what arrives is not in order,
    /// [`Code::Unreachable`] when nothing moves in the middle of a part.
    pub async fn next(&mut self) -> Result<FeedItem> {
        let wanted = if self.begun { Part::Total } else { Part::State };
        let first = if self.begun {
            self.piece().await?
        } else {
            self.piece_soon().await?
        };
        let (step, total) = (first.step, first.total_bytes);
        let room = usize::try_from(total).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(room.min(RESERVE_LIMIT));
        let mut piece = first;
        loop {
            let end = bytes.len() as u64 + piece.data.len() as u64;
            let in_order = piece.step == step
                && piece.total_bytes == total
                && piece.offset_bytes == bytes.len() as u64
                && piece.part() == wanted
                && end <= total;
            if !in_order {
                return Err(lost(
                    &self.address,
                    format!(
                        "a piece of step {} at byte {} of {} does not continue step {step} at byte \
                         {} of {total}",
                        piece.step,
                        piece.offset_bytes,
                        piece.total_bytes,
                        bytes.len()
                    ),
                ));
            }
            bytes.extend_from_slice(&piece.data);
            if end == total {
                break;
            }
            piece = self.piece_soon().await?;
        }
        self.begun = true;
        let (step, bytes) = (Step(step), bytes.freeze());
        if wanted == Part::State {
            return Ok(FeedItem::State(step, bytes));
        }
        if !bytes.len().is_multiple_of(8) {
            let what = format!("a total of {} bytes is not of whole numbers", bytes.len());
            return Err(lost(&self.address, what));
        }
        let mut total = vec![0; bytes.len() / 8];
        slices::copy(&mut total, &bytes);
        Ok(FeedItem::Total(step, total))
    }

    async fn piece(&mut self) -> Result<FollowChunk> {
        match self.stream.message().await {
            Ok(Some(piece)) => Ok(piece),
            Ok(None) => Err(lost(&self.address, "it ended the call".into())),
            Err(status) => Err(lost(&self.address, net::with_sources(&status))),
        }
    }

    async fn piece_soon(&mut self) -> Result<FollowChunk> {
        let (limit, address, tally) = (self.patience, self.address.clone(), self.tally.clone());
        let mut patience = Patience::new(limit, Instant::now(), tally.bytes());
        let piece = self.piece();
        tokio::pin!(piece);
        loop {
            tokio::select! {
                outcome = &mut piece => return outcome,
                () = tokio::time::sleep_until(patience.ends()) => {
                    if patience.is_over(Instant::now(), tally.bytes()) {
                        return Err(too_slow(&address, limit));
                    }
                }
            }
        }
    }
}

fn lost(address: &str, why: String) -> Error {
    Error::new(
        Code::SessionLost,
        format!("the peer at {address} did not give its state"),
    )
    .why(why)
    .fix("nothing: another peer or a checkpoint is tried")
}

fn too_slow(address: &str, patience: Duration) -> Error {
    Error::new(
        Code::Unreachable,
        format!("the peer at {address} is too slow"),
    )
    .why(format!("nothing arrived within {patience:?}"))
    .fix("nothing: another peer or a checkpoint is tried")
}
