//! The numbers of the peer service's network, the same on both sides.
//!
//! HTTP/2 frames are the largest lever and have to be raised on client and server alike; the
//! default flow-control windows would stall a chunk. The keep-alive is the kernel's: a ping of HTTP/2 waits behind
//! the chunk that is on the line, and would end a slow one; it would also count as something that
//! moves. A peer that hangs is found by whoever waits for its bytes.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::metered::PeerDial;
use super::traffic::Traffic;
use super::{CollectiveError, FailureKind};

/// Elements of one chunk: 512 KiB of values.
pub(super) const CHUNK_ELEMENTS: usize = 64 * 1024;
/// Chunks that wait per sender between the network and the sum, and between the sum and the network.
pub(super) const QUEUED_CHUNKS: usize = 4;
/// Largest message accepted.
pub(super) const MESSAGE_LIMIT: usize = 16 << 20;
/// How long a collective that is given up may take to deliver what it has queued.
pub(super) const LINGER: Duration = Duration::from_secs(10);

const MAX_FRAME: u32 = (1 << 24) - 1;
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// The least that a handshake may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Kernel keep-alive: after so long without a byte the kernel asks whether the peer's machine is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TRIES: u32 = 3;

/// Settings of the server's side.
pub(super) fn server() -> Server {
    Server::builder()
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

/// Small messages wait for no acknowledgement, and the kernel finds out when the other machine is gone.
/// A socket that will not be told is used as it is.
pub(super) fn prepare(stream: &TcpStream) {
    let alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE)
        .with_retries(KEEP_ALIVE_TRIES);
    let socket = SockRef::from(stream);
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&alive))
        // Where something is on its way the kernel does not ask: it waits for the acknowledgement.
        .and_then(|()| socket.set_tcp_user_timeout(Some(KEEP_ALIVE * (KEEP_ALIVE_TRIES + 1))));
    if let Err(error) = prepared {
        tracing::warn!(%error, "a connection between workers keeps the system's own timeouts");
    }
}

/// Connects to a peer service, `host:port`; a handshake may take `patience`.
pub(super) async fn connect(
    dial: &dyn PeerDial,
    address: &str,
    traffic: Traffic,
    patience: Duration,
) -> Result<Channel, CollectiveError> {
    let unreachable = |reason: String| {
        CollectiveError::new(
            FailureKind::Unreachable,
            format!("the peer service at {address} cannot be reached: {reason}"),
        )
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| unreachable(with_sources(&e)))?
        .connect_timeout(patience.max(CONNECT_TIMEOUT))
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let connected = dial.dial(endpoint, traffic).await;
    connected.map_err(|e| unreachable(with_sources(&e)))
}

/// An error and everything under it in one line: the outermost text alone says little.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_is_told_when_the_other_machine_counts_as_gone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        prepare(&stream);
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEP_ALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEP_ALIVE);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEP_ALIVE_TRIES);
        let most = Some(Duration::from_secs(20));
        assert_eq!(socket.tcp_user_timeout().unwrap(), most);
    }
}
