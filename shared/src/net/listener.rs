//! The listening socket of a service.
//!
//! In: a bound socket. Out: the server behind it, and the connections that it accepts. Keeps: whoever connects while no
//! file descriptor is left is accepted later, and the reason is said once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::transport::Transport;
use crate::error::{Code, Error, render};
use crate::limits;
use crate::security::Security;

/// Largest number of accepted connections that wait for the server.
const WAITING: usize = 16;
/// Pause before the next accept when no file descriptor was free.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket that listens for one service.
#[derive(Debug)]
pub struct Listener {
    transport: Transport,
    socket: TcpListener,
    address: SocketAddr,
    security: Security,
}

impl Transport {
    /// Listens at an address; port 0 picks a free port. Must be called inside a runtime.
    ///
    /// # Errors
    /// What keeps the address from being had.
    pub fn listen(self, address: SocketAddr, security: &Security) -> io::Result<Listener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A coordinator that is started again must get the same port while its old connections still linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(self.backlog)?;
        Ok(Listener {
            transport: self,
            address: socket.local_addr()?,
            socket,
            security: security.clone(),
        })
    }
}

impl Listener {
    /// Address that it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server for what it accepts.
    #[must_use]
    pub fn server(&self) -> Server {
        self.transport.server(&self.security)
    }

    /// The accepted connections. Failed accepts are handled here, because the server would drop them in silence and try
    /// again at once, or end; `unheard` says who cannot connect while no file descriptor is left.
    #[must_use]
    pub fn incoming(self, unheard: &'static str) -> ReceiverStream<io::Result<TcpStream>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (transport, socket) = (self.transport, Arc::new(self.socket));
        tokio::spawn(async move {
            let accept = move || {
                let socket = Arc::clone(&socket);
                async move {
                    let (stream, _) = socket.accept().await?;
                    transport.prepare(&stream);
                    Ok(stream)
                }
            };
            let warn = |e: &io::Error| tracing::warn!("{}", render(&out_of_files(unheard, e)));
            accept_all(accept, &sender, warn, PAUSE).await;
        });
        ReceiverStream::new(receiver)
    }
}

/// Accepts connections until the receiving end is dropped.
async fn accept_all<T, F: Future<Output = io::Result<T>>>(
    mut accept: impl FnMut() -> F,
    sender: &mpsc::Sender<io::Result<T>>,
    mut warn: impl FnMut(&io::Error),
    pause: Duration,
) {
    let mut told = false;
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            () = sender.closed() => return,
        };
        match accepted {
            Ok(stream) => {
                told = false;
                if sender.send(Ok(stream)).await.is_err() {
                    return;
                }
            }
            Err(e) if limits::is_out_of_files(&e) => {
                if !std::mem::replace(&mut told, true) {
                    warn(&e);
                }
                tokio::time::sleep(pause).await;
            }
            // This connection failed by itself: the next one may not.
            Err(e) => tracing::debug!(error = %e, "a connection was not accepted"),
        }
    }
}

fn out_of_files(unheard: &str, e: &io::Error) -> Error {
    limits::explain(Error::new(Code::Unreachable, unheard).why(e.to_string()), e)
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::super::{PEER, SESSION};
    use super::*;

    #[tokio::test]
    async fn whoever_comes_without_a_descriptor_left_is_accepted_later_and_it_is_said_once() {
        // EMFILE, by its number on Linux.
        let full = || Err(io::Error::from_raw_os_error(24));
        let mut results = vec![full(), full(), Ok(1), full(), Ok(2)].into_iter();
        let (sender, mut receiver) = mpsc::channel(1);
        let mut said = Vec::new();
        let accept = move || {
            let result = results.next();
            async move {
                match result {
                    Some(result) => result,
                    None => std::future::pending().await,
                }
            }
        };
        let read = async move { (receiver.recv().await, receiver.recv().await) };
        let warn = |error: &io::Error| said.push(out_of_files("no worker can connect", error));
        let accepts = accept_all(accept, &sender, warn, Duration::ZERO);
        let ((), (first, second)) = tokio::join!(accepts, read);
        assert_eq!(first.unwrap().unwrap(), 1);
        assert_eq!(second.unwrap().unwrap(), 2);
        assert_eq!(said.len(), 2, "once until somebody came");
        assert!(said[0].why.iter().any(|why| why.contains("RLIMIT_NOFILE")));
    }

    #[tokio::test]
    async fn a_connection_comes_through_and_delays_no_small_message() {
        for transport in [SESSION, PEER] {
            let address = "127.0.0.1:0".parse().unwrap();
            let listener = transport.listen(address, &Security::Plain).unwrap();
            let bound = listener.address();
            assert!(transport.listen(bound, &Security::Plain).is_err());
            let mut connections = listener.incoming("nobody can connect");
            let _ours = TcpStream::connect(bound).await.unwrap();
            let theirs = connections.next().await;
            assert!(theirs.unwrap().unwrap().nodelay().unwrap());
        }
    }
}
