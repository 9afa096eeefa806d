//! The numbers of the peer service's network, the same on both sides.
//!
//! HTTP/2 frames are the largest lever and have to be raised on client and server alike; the
//! default flow-control windows would stall a chunk. The keep-alive is the kernel's: a ping of HTTP/2 waits behind
//! the chunk that is on the line, and would end a slow one; it would also count as something that
//! moves. A peer that hangs is found by whoever waits for its bytes.

use std::io;
use std::time::Duration;

use shared::wire::Dial;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::{CollectiveError, FailureKind};

/// Elements of one chunk: 512 KiB of values.
pub(super) const CHUNK_ELEMENTS: usize = 64 * 1024;
/// Chunks that wait per sender between the network and the sum, and between the sum and the network.
pub(super) const QUEUED_CHUNKS: usize = 4;
/// Largest message accepted.
pub(super) const MESSAGE_LIMIT: usize = 16 << 20;
/// How long a collective that is given up may take to deliver what it has queued.
pub(super) const LINGER: Duration = Duration::from_secs(10);
/// Nothing moving for this long ends a collective; the generation change normally comes first.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

const MAX_FRAME: u32 = (1 << 24) - 1;
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Of the kernel: after so long without a byte it asks whether the peer's machine is there.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TRIES: u32 = 3;

/// The server's side.
pub(super) fn server() -> Server {
    Server::builder()
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

/// Small messages wait for no acknowledgement, and the kernel finds out when the other machine is gone.
///
/// # Errors
/// Those of the socket.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE)
        .with_retries(KEEP_ALIVE_TRIES);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&alive)?;
    // Where something is on its way the kernel does not ask: it waits for the acknowledgement.
    socket.set_tcp_user_timeout(Some(KEEP_ALIVE * (KEEP_ALIVE_TRIES + 1)))
}

/// Connects to a peer service, `host:port`.
pub(super) async fn connect(dial: &dyn Dial, address: &str) -> Result<Channel, CollectiveError> {
    let unreachable = |reason: String| {
        CollectiveError::new(
            FailureKind::Unreachable,
            format!("the peer service at {address} cannot be reached: {reason}"),
        )
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| unreachable(with_sources(&e)))?
        .connect_timeout(CONNECT_TIMEOUT)
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let connected = dial.dial(endpoint).await;
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
