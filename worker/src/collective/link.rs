//! What goes out: one long-lived stream to one member of one generation.
//!
//! In: chunks, each with bytes of its own, so that nothing the caller reuses is ever on the way. Out:
//! bytes on the network, counted when HTTP/2 takes them, and one word on how the stream ended. A
//! link that is dropped delivers what it has queued, then says goodbye with a closing chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use shared::ids::WorkerId;
use shared::wire::peer::Chunk;
use shared::wire::peer::peer_client::PeerClient;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{StreamExt, once};
use tonic::{Code, Status};

use super::CollectiveError;
use super::metered::PeerDial;
use super::net::{self, LINGER, QUEUED_CHUNKS};
use super::traffic::{Tally, Traffic};

/// Length prefix and compression flag of a gRPC message.
const MESSAGE_PREFIX_BYTES: usize = 5;

/// Bytes handed to the network on one link; they live as long as the link.
#[derive(Debug, Default)]
pub(super) struct LinkBytes {
    values: AtomicU64,
    all: AtomicU64,
}

impl LinkBytes {
    fn count(&self, values: usize, all: usize) {
        self.values.fetch_add(values as u64, Ordering::Relaxed);
        self.all.fetch_add(all as u64, Ordering::Relaxed);
    }

    /// Bytes of values alone.
    pub(super) fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Bytes of values and message overhead.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}

/// How a link ended.
#[derive(Clone, Debug)]
pub(super) enum LinkEnd {
    /// The peer left the generation on purpose, or we did.
    Closed,
    /// The peer is in a later generation, or in another run.
    Stale(String),
    /// The stream ended in any other way: the peer is gone.
    Broken(String),
}

/// The way to one peer.
pub(super) struct Link {
    pub(super) peer: WorkerId,
    pub(super) slot: usize,
    pub(super) bytes: Arc<LinkBytes>,
    queue: mpsc::Sender<Chunk>,
    _held: oneshot::Sender<()>,
}

impl Link {
    /// Connects within `patience` and opens the stream, whose bytes count in `tally`; its end will be told to `ends`.
    pub(super) async fn open(
        (dial, tally, patience): (Arc<dyn PeerDial>, Tally, Duration),
        (peer, slot, address): (WorkerId, usize, String),
        frame: Chunk,
        ends: mpsc::UnboundedSender<(usize, LinkEnd)>,
    ) -> Result<Self, CollectiveError> {
        let channel = net::connect(&*dial, &address, Traffic::of(tally), patience)
            .await
            .map_err(|e| e.by(&peer))?;
        let (queue, queued) = mpsc::channel(QUEUED_CHUNKS);
        let (held, mut dropped) = oneshot::channel::<()>();
        let bytes = Arc::new(LinkBytes::default());
        let counters = Arc::clone(&bytes);
        let outgoing = once(frame.clone())
            .chain(ReceiverStream::new(queued))
            .chain(once(frame))
            .map(move |chunk| {
                let all = chunk.encoded_len() + MESSAGE_PREFIX_BYTES;
                counters.count(chunk.values.len(), all);
                chunk
            });
        tokio::spawn(async move {
            let mut client = PeerClient::new(channel);
            let exchange = client.exchange(outgoing);
            tokio::pin!(exchange);
            let answer = tokio::select! {
                answer = &mut exchange => answer,
                _ = &mut dropped => tokio::time::timeout(LINGER, exchange)
                    .await
                    .unwrap_or_else(|_| Err(Status::aborted("the peer takes nothing more"))),
            };
            let end = match answer {
                Ok(_) => LinkEnd::Closed,
                Err(status) => end_of(&status),
            };
            tracing::debug!(slot, ?end, "link ended");
            // Nobody listens once the collective is gone.
            let _ = ends.send((slot, end));
        });
        Ok(Self {
            peer,
            slot,
            bytes,
            queue,
            _held: held,
        })
    }

    /// Where chunks are put; waits while the peer is behind, fails when the stream has ended.
    pub(super) fn queue(&self) -> mpsc::Sender<Chunk> {
        self.queue.clone()
    }
}

fn end_of(status: &Status) -> LinkEnd {
    match status.code() {
        Code::Aborted => LinkEnd::Closed,
        Code::FailedPrecondition => LinkEnd::Stale(status.message().to_owned()),
        _ => LinkEnd::Broken(net::with_sources(status)),
    }
}
