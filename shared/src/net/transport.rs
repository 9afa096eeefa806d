//! Limits, windows and keep-alive of a service's connections, the same at both ends.
//!
//! In: what a service needs of its connections. Out: servers, endpoints and listeners that have it. The session's
//! keep-alive is HTTP/2's. The peers' is the kernel's: a ping of HTTP/2 waits behind the chunk that is on the line, and
//! would end a slow one; it would also count as something that moves. A peer that hangs is found by whoever waits for
//! its bytes.

use std::io;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error as TransportError, Server, Uri};
use tower::{Service, service_fn};

use crate::error::{Code, Error, Result};
use crate::security::Security;

/// The least that the handshake of a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest message to a worker. Its `Welcome` holds the configuration and every prompt; no tensor ever
/// travels there.
pub const TO_WORKER_LIMIT: usize = 16 << 20;

/// Largest message to the coordinator: numbers about micro-batches, one line of an error.
pub const TO_COORDINATOR_LIMIT: usize = 1 << 20;

/// Largest message between workers: a chunk of a sum or of a state.
pub const TO_PEER_LIMIT: usize = 16 << 20;

/// The session between worker and coordinator.
pub const SESSION: Transport = Transport {
    keep_alive: KeepAlive::Pings {
        // Without it a partitioned channel never recovers.
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
    },
    windows: None,
    // A cluster connects all at once.
    backlog: 4096,
};

/// The sums and states that go from worker to worker.
pub const PEER: Transport = Transport {
    keep_alive: KeepAlive::Kernel {
        idle: Duration::from_secs(5),
        retries: 3,
    },
    // Frames are the largest lever and have to be raised on client and server alike; the default flow-control windows
    // would stall a chunk.
    windows: Some(Windows {
        frame: (1 << 24) - 1,
        stream: 16 << 20,
        connection: 32 << 20,
    }),
    backlog: 128,
};

/// What a service needs of its connections.
#[derive(Clone, Copy, Debug)]
pub struct Transport {
    keep_alive: KeepAlive,
    windows: Option<Windows>,
    /// Largest number of connections that wait in the kernel to be accepted, as far as it allows.
    pub(super) backlog: u32,
}

/// Who finds out that the other machine is gone.
#[derive(Clone, Copy, Debug)]
enum KeepAlive {
    /// HTTP/2, by pings, while nothing is sent too.
    Pings {
        interval: Duration,
        timeout: Duration,
    },
    /// The kernel, which asks after so long without a byte.
    Kernel { idle: Duration, retries: u32 },
}

/// Sizes of HTTP/2, where its own are too small.
#[derive(Clone, Copy, Debug)]
struct Windows {
    frame: u32,
    stream: u32,
    connection: u32,
}

impl Transport {
    /// The server's end: what it accepts is secured as `security` says.
    #[must_use]
    pub fn server(&self, security: &Security) -> Server {
        let mut server = match security {
            Security::Plain => Server::builder(),
        }
        .tcp_nodelay(true);
        if let KeepAlive::Pings { interval, timeout } = self.keep_alive {
            server = server
                .http2_keepalive_interval(Some(interval))
                .http2_keepalive_timeout(Some(timeout));
        }
        match self.windows {
            Some(windows) => server
                .max_frame_size(windows.frame)
                .initial_stream_window_size(windows.stream)
                .initial_connection_window_size(windows.connection),
            None => server,
        }
    }

    /// The client's end at `HOST:PORT`, secured as `security` says.
    ///
    /// # Errors
    /// When the address is not `HOST:PORT`.
    pub fn endpoint(
        &self,
        security: &Security,
        address: &str,
    ) -> std::result::Result<Endpoint, TransportError> {
        let mut endpoint = match security {
            Security::Plain => Endpoint::from_shared(format!("http://{address}"))?,
        }
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true);
        if let KeepAlive::Pings { interval, timeout } = self.keep_alive {
            endpoint = endpoint
                .http2_keep_alive_interval(interval)
                .keep_alive_timeout(timeout)
                .keep_alive_while_idle(true);
        }
        Ok(match self.windows {
            Some(windows) => endpoint
                .max_frame_size(windows.frame)
                .initial_stream_window_size(windows.stream)
                .initial_connection_window_size(windows.connection),
            None => endpoint,
        })
    }

    /// Opens one connection to an endpoint over TCP; the channel runs over what `over` makes of the stream.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn connect_over<Io>(
        self,
        endpoint: Endpoint,
        over: impl Fn(TcpStream) -> Io + Clone + Send + 'static,
    ) -> std::result::Result<Channel, TransportError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The connector tries every address of a name, of both families, within the time.
        let mut tcp = HttpConnector::new();
        let handshake = endpoint.get_connect_timeout().unwrap_or(CONNECT_TIMEOUT);
        tcp.set_connect_timeout(Some(handshake));
        let connect = service_fn(move |uri: Uri| {
            let (over, connected) = (over.clone(), tcp.call(uri));
            async move {
                let stream = connected.await.map_err(io::Error::other)?.into_inner();
                self.prepare(&stream);
                io::Result::Ok(TokioIo::new(over(stream)))
            }
        });
        // The name has to be found first, which may take a second server's answer.
        let endpoint = endpoint.connect_timeout(handshake * 3);
        endpoint.connect_with_connector(connect).await
    }

    /// Sets TCP_NODELAY, so that small messages wait for no acknowledgement, and lets the kernel find out when the other
    /// machine is gone, where that is its part. A socket that will not be told is used as it is.
    pub(super) fn prepare(&self, stream: &TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY stays off");
        }
        let KeepAlive::Kernel { idle, retries } = self.keep_alive else {
            return;
        };
        let alive = TcpKeepalive::new()
            .with_time(idle)
            .with_interval(idle)
            .with_retries(retries);
        let socket = SockRef::from(stream);
        let prepared = socket
            .set_tcp_keepalive(&alive)
            // Where something is on its way the kernel does not ask: it waits for the acknowledgement.
            .and_then(|()| socket.set_tcp_user_timeout(Some(idle * (retries + 1))));
        if let Err(error) = prepared {
            tracing::warn!(%error, "a connection between workers keeps the system's own timeouts");
        }
    }
}

/// The worker's end of the session.
///
/// # Errors
/// [`Code::Usage`] when the address is not `HOST:PORT`.
pub fn session_endpoint(security: &Security, address: &str) -> Result<Endpoint> {
    SESSION.endpoint(security, address).map_err(|e| {
        Error::new(Code::Usage, format!("`{address}` is not HOST:PORT")).why(e.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_is_told_when_another_worker_s_machine_counts_as_gone() {
        let listener = PEER.listen("127.0.0.1:0".parse().unwrap(), &Security::Plain);
        let listener = listener.unwrap();
        let stream = TcpStream::connect(listener.address()).await.unwrap();
        PEER.prepare(&stream);
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        let five = Duration::from_secs(5);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), five);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), five);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        let most = Some(Duration::from_secs(20));
        assert_eq!(socket.tcp_user_timeout().unwrap(), most);
    }

    #[test]
    fn a_handshake_has_time_enough_and_an_address_without_a_host_is_refused() {
        for transport in [SESSION, PEER] {
            let endpoint = transport.endpoint(&Security::Plain, "node-1:7400").unwrap();
            assert_eq!(endpoint.get_connect_timeout(), Some(CONNECT_TIMEOUT));
            assert_eq!(endpoint.uri().scheme_str(), Some("http"));
        }
        let error = session_endpoint(&Security::Plain, "no port").unwrap_err();
        assert_eq!(error.code, Code::Usage);
    }
}
