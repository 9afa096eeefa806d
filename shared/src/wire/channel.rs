//! Limits, windows and keep-alive of the session's channel, the same on both sides.

use std::time::Duration;

use tonic::transport::{Endpoint, Server};

use crate::error::{Code, Error, Result};

/// How long a connection may take to be made.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest message to a worker. Its `Welcome` holds the configuration and every prompt; no tensor ever
/// travels there.
pub const TO_WORKER_LIMIT: usize = 16 << 20;

/// Largest message to the coordinator: numbers about micro-batches, one line of an error.
pub const TO_COORDINATOR_LIMIT: usize = 1 << 20;

/// Without it a partitioned channel never recovers.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The worker's end.
///
/// # Errors
/// [`Code::Usage`] when the address is not `HOST:PORT`.
pub fn session_endpoint(address: &str) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| {
        Error::new(Code::Usage, format!("`{address}` is not HOST:PORT")).why(e.to_string())
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// The coordinator's end.
#[must_use]
pub fn session_server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}
