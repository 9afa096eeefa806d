//! The peer service of one worker: partial sums come in, frozen states go out.
//!
//! In: exchange streams of the other members, each beginning with an opening chunk that says whose it
//! is. Out: their chunks in the inbox of their slot; nothing is read faster than it is summed. A
//! stream that ends without its closing chunk is a broken one: its sender died.

use std::net::SocketAddr;
use std::sync::Arc;

use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::net::{PEER, TO_PEER_LIMIT};
use shared::security::Security;
use shared::wire::peer::peer_server::{Peer, PeerServer as PeerService};
use shared::wire::peer::{Chunk, FollowRequest, Received};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::follow::{Pieces, StateSource, pieces};
use super::inbox::Delivery;
use super::metered::{Metered, PeerDial, PeerTcp};
use super::net;
use super::route::{Hub, Key};
use super::traffic::Traffic;
use crate::progress::Counters;

/// What is said while no file descriptor is left.
const NO_PEER_CAN_CONNECT: &str =
    "no other worker can connect: this one has no file descriptor left";

/// The running peer service; it ends when this is dropped.
pub struct PeerServer {
    hub: Arc<Hub>,
    address: SocketAddr,
    dial: Arc<dyn PeerDial>,
    progress: Counters,
    _alive: oneshot::Sender<()>,
}

impl PeerServer {
    /// Listens and serves on the current runtime over TCP; port 0 picks one. What the exchange of its generation
    /// moves is counted in `progress`.
    ///
    /// # Errors
    /// [`Code::PortInUse`] when the address cannot be had.
    pub fn bind(
        listen: SocketAddr,
        security: Security,
        state: Arc<dyn StateSource>,
        progress: Counters,
    ) -> Result<(Self, SocketAddr)> {
        let taken = |e: std::io::Error| {
            Error::new(
                Code::PortInUse,
                format!("the peer service cannot listen on {listen}"),
            )
            .why(e.to_string())
            .fix("give --listen ADDR:0 to have a free port picked")
        };
        let listener = PEER.listen(listen, &security).map_err(taken)?;
        let address = listener.address();
        let incoming = listener.incoming(NO_PEER_CAN_CONNECT);
        let dial = Arc::new(PeerTcp(security));
        Ok((
            Self::serve(incoming, address, state, dial, progress),
            address,
        ))
    }

    /// Serves whatever comes in at `address`; its own links are opened by `dial`.
    pub fn serve<Io, E>(
        incoming: impl Stream<Item = std::result::Result<Io, E>> + Send + 'static,
        address: SocketAddr,
        state: Arc<dyn StateSource>,
        dial: Arc<dyn PeerDial>,
        progress: Counters,
    ) -> Self
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let hub = Arc::new(Hub::default());
        let (alive, ended) = oneshot::channel::<()>();
        let service = PeerService::new(Service {
            hub: Arc::clone(&hub),
            state,
        })
        .max_decoding_message_size(TO_PEER_LIMIT);
        let metered = |io| Metered::new(io, Traffic::default());
        let incoming = incoming.map(move |accepted| accepted.map(metered));
        let serving = PEER.server(dial.security()).serve_with_incoming_shutdown(
            service,
            incoming,
            async move {
                // An error means that the server was dropped: that is the sign.
                let _ = ended.await;
            },
        );
        tokio::spawn(async move {
            if let Err(e) = serving.await {
                tracing::error!(error = %net::with_sources(&e), "the peer service ended");
            }
        });
        Self {
            hub,
            address,
            dial,
            progress,
            _alive: alive,
        }
    }

    /// Address that the service listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What counts the bytes that its generations exchange.
    #[must_use]
    pub fn progress(&self) -> &Counters {
        &self.progress
    }

    pub(super) fn dial(&self) -> &Arc<dyn PeerDial> {
        &self.dial
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for PeerServer {
    fn drop(&mut self) {
        self.hub.close();
    }
}

struct Service {
    hub: Arc<Hub>,
    state: Arc<dyn StateSource>,
}

#[tonic::async_trait]
impl Peer for Service {
    async fn exchange(
        &self,
        request: Request<Streaming<Chunk>>,
    ) -> std::result::Result<Response<Received>, Status> {
        // Every connection that is served is metered, and brings its traffic along.
        let traffic = request.extensions().get().cloned().unwrap_or_default();
        receive(&self.hub, traffic, request.into_inner())
            .await
            .map(Response::new)
    }

    type FollowStream = Pieces;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> std::result::Result<Response<Pieces>, Status> {
        let wanted = request.into_inner();
        self.hub.check_run(&wanted.run_id, wanted.term)?;
        let feed = self.state.feed().await;
        let feed = feed.ok_or_else(|| Status::not_found("this worker holds no state"))?;
        if feed.step.next() < Step(wanted.least_step) {
            let reason = format!(
                "this worker is at step {}, wanted is {}",
                feed.step, wanted.least_step
            );
            return Err(Status::not_found(reason));
        }
        // The connection counts for nothing: no wait is about what this worker gives away.
        Ok(Response::new(pieces(feed)))
    }
}

/// Opening and closing chunk of a stream: the identity of the sender and nothing else.
pub(super) fn is_frame(chunk: &Chunk) -> bool {
    chunk.step == 0 && chunk.values.is_empty()
}

async fn receive(
    hub: &Hub,
    traffic: Traffic,
    mut stream: Streaming<Chunk>,
) -> std::result::Result<Received, Status> {
    let Some(opening) = stream.message().await? else {
        return Ok(Received { bytes: 0 });
    };
    let key = Key::of_chunk(&opening);
    let slot = opening.from_slot;
    if !is_frame(&opening) {
        return Err(Status::invalid_argument(
            "a stream begins with an empty chunk of step 0",
        ));
    }
    let (door, tally) = hub.admit(&key, slot as usize).await?;
    traffic.counts_for(tally);
    let mut bytes = 0;
    loop {
        let message = tokio::select! {
            message = stream.message() => message,
            () = door.closed() => return Err(hub.refusal(&key)),
        };
        let (delivery, answer) = match message {
            Ok(Some(chunk)) if !key.matches(&chunk) || chunk.from_slot != slot => {
                let reason = "the identity changed within a stream";
                (
                    Delivery::Broken(reason.to_owned()),
                    Some(Err(Status::invalid_argument(reason))),
                )
            }
            Ok(Some(chunk)) if is_frame(&chunk) => (Delivery::Ended, Some(Ok(Received { bytes }))),
            Ok(Some(chunk)) => {
                bytes += chunk.values.len() as u64;
                (Delivery::Chunk(chunk), None)
            }
            Ok(None) => {
                let reason = "its stream broke off";
                (
                    Delivery::Broken(reason.to_owned()),
                    Some(Err(Status::aborted(reason))),
                )
            }
            Err(status) => (
                Delivery::Broken(net::with_sources(&status)),
                Some(Err(status)),
            ),
        };
        let delivered = door.send(delivery).await;
        if let Some(answer) = answer {
            return answer;
        }
        if delivered.is_err() {
            return Err(hub.refusal(&key));
        }
    }
}
