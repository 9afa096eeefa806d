//! The coordinator's listening socket.
//!
//! In: an address. Out: a listener, and the connections that it accepts. Keeps: a worker that connects while no file
//! descriptor is left is accepted later, and the reason is said once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shared::error::{Code, Error, Result, render};
use shared::limits;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Largest number of accepted connections that wait for the server.
const WAITING: usize = 16;
/// Largest number of connections that wait in the kernel to be accepted, as far as it allows: a cluster connects all at
/// once.
const BACKLOG: u32 = 4096;
/// Pause before the next accept when no file descriptor was free.
const PAUSE: Duration = Duration::from_secs(1);

/// Binds a listener; port 0 picks a free port. Returns it with its address.
///
/// # Errors
/// [`Code::PortInUse`].
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = listen(address).map_err(|e| {
        let what = if e.kind() == io::ErrorKind::AddrInUse {
            format!("{address} is in use")
        } else {
            format!("cannot listen on {address}")
        };
        let error = Error::new(Code::PortInUse, what).why(e.to_string());
        limits::explain(error, &e)
            .fix("--listen ADDR:PORT with another port; port 0 picks a free one")
    })?;
    let bound = listener
        .local_addr()
        .map_err(|e| Error::new(Code::PortInUse, "no local address").why(e.to_string()))?;
    Ok((listener, bound))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A coordinator that is started again must get the same port while its old connections still linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The accepted connections. Failed accepts are handled here, because the server would drop them in silence and try
/// again at once.
#[must_use]
pub fn incoming(listener: TcpListener) -> ReceiverStream<io::Result<TcpStream>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let listener = Arc::new(listener);
    tokio::spawn(async move {
        let accept = move || {
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.map(|(stream, _)| at_once(stream)) }
        };
        let warn = |error: &Error| tracing::warn!("{}", render(error));
        accept_all(accept, &sender, warn, PAUSE).await;
    });
    ReceiverStream::new(receiver)
}

/// Sets TCP_NODELAY, so that small messages wait for no acknowledgement; the server sets it only on connections it
/// accepts itself.
fn at_once(stream: TcpStream) -> TcpStream {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!(error = %e, "TCP_NODELAY stays off");
    }
    stream
}

/// Accepts connections until the receiving end is dropped.
async fn accept_all<T, F: Future<Output = io::Result<T>>>(
    mut accept: impl FnMut() -> F,
    sender: &mpsc::Sender<io::Result<T>>,
    mut warn: impl FnMut(&Error),
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
                    warn(&out_of_files(&e));
                }
                tokio::time::sleep(pause).await;
            }
            // This connection failed by itself: the next one may not.
            Err(e) => tracing::debug!(error = %e, "a connection was not accepted"),
        }
    }
}

fn out_of_files(e: &io::Error) -> Error {
    let what = "no worker can connect: the coordinator has no file descriptor left";
    limits::explain(Error::new(Code::Unreachable, what).why(e.to_string()), e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_held, bound) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let error = bind(bound).await.unwrap_err();
        assert_eq!(error.code, Code::PortInUse);
        assert!(error.what.contains(&bound.to_string()));
    }

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
        let warn = |error: &Error| said.push(error.clone());
        let accepts = accept_all(accept, &sender, warn, Duration::ZERO);
        let ((), (first, second)) = tokio::join!(accepts, read);
        assert_eq!(first.unwrap().unwrap(), 1);
        assert_eq!(second.unwrap().unwrap(), 2);
        assert_eq!(said.len(), 2, "once until somebody came");
        assert!(said[0].why.iter().any(|why| why.contains("RLIMIT_NOFILE")));
    }

    #[tokio::test]
    async fn a_connection_comes_through_and_delays_no_small_message() {
        let (listener, bound) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut connections = incoming(listener);
        let _ours = TcpStream::connect(bound).await.unwrap();
        let theirs = tokio_stream::StreamExt::next(&mut connections).await;
        assert!(theirs.unwrap().unwrap().nodelay().unwrap());
    }
}
