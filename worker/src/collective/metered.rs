//! Connections of the peer service whose bytes count while they move.
//!
//! In: a connection, made or accepted. Out: the same, and every byte it carries in its [`Traffic`]. Keeps: what
//! moves is counted at the socket. A chunk is half a megabyte and arrives whole: on a slow line it takes longer than
//! nothing may move, and whoever counted chunks would take that line for one that hangs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use shared::net::{Dialing, PEER};
use shared::security::{PLAIN, Security};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::Endpoint;
use tonic::transport::server::Connected;

use super::traffic::Traffic;

/// A connection that counts.
pub struct Metered<Io> {
    io: Io,
    traffic: Traffic,
}

impl<Io> Metered<Io> {
    /// Counts in `traffic`.
    pub fn new(io: Io, traffic: Traffic) -> Self {
        Self { io, traffic }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Metered<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.traffic.moved(buffer.filled().len() - before);
        polled
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Metered<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.traffic.moved(*written);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.traffic.moved(*written);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl<Io> Connected for Metered<Io> {
    type ConnectInfo = Traffic;

    fn connect_info(&self) -> Traffic {
        self.traffic.clone()
    }
}

/// Opens connections to other workers; what the endpoint says of deadlines holds for all of them.
pub trait PeerDial: Send + Sync {
    /// Connects once, over a [`Metered`] connection that counts in `traffic`.
    fn dial(&self, endpoint: Endpoint, traffic: Traffic) -> Dialing;

    /// How the connections are secured, those that come in too. A network within a test needs nothing.
    fn security(&self) -> &Security {
        &PLAIN
    }
}

/// The network of this machine.
#[derive(Clone, Debug, Default)]
pub struct PeerTcp(pub Security);

impl PeerDial for PeerTcp {
    fn dial(&self, endpoint: Endpoint, traffic: Traffic) -> Dialing {
        let metered = move |stream| Metered::new(stream, traffic.clone());
        Box::pin(PEER.connect_over(endpoint, metered))
    }

    fn security(&self) -> &Security {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::traffic::Tally;
    use super::*;
    use crate::progress::Counters;

    #[tokio::test]
    async fn every_byte_counts_when_it_moves_and_not_when_its_message_is_whole() {
        let (here, mut there) = tokio::io::duplex(64);
        let progress = Counters::default();
        let tally = Tally::new(&progress);
        let mut metered = Metered::new(here, Traffic::of(tally.clone()));
        there.write_all(&[0; 3]).await.unwrap();
        let mut buffer = [0; 16];
        assert_eq!(metered.read(&mut buffer).await.unwrap(), 3);
        assert_eq!((tally.bytes(), progress.read().moved), (3, 3));
        metered.write_all(&[0; 5]).await.unwrap();
        assert_eq!((tally.bytes(), progress.read().moved), (8, 8));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_no_progress() {
        let (here, _there) = tokio::io::duplex(64);
        let progress = Counters::default();
        let tally = Tally::new(&progress);
        let mut metered = Metered::new(here, Traffic::of(tally.clone()));
        metered.write_all(&[0; 5]).await.unwrap();
        tally.close();
        metered.write_all(&[0; 7]).await.unwrap();
        assert_eq!((tally.bytes(), progress.read().moved), (12, 5));
    }

    #[tokio::test]
    async fn the_bytes_of_a_connection_count_once_its_purpose_is_known() {
        let (here, mut there) = tokio::io::duplex(64);
        let (progress, first) = (Counters::default(), Tally::default());
        let traffic = Traffic::default();
        let mut metered = Metered::new(here, traffic.clone());
        metered.write_all(&[0; 5]).await.unwrap();
        assert_eq!(first.bytes(), 0);
        traffic.counts_for(first.clone());
        assert_eq!(first.bytes(), 5);
        // Whoever came first keeps the connection.
        traffic.counts_for(Tally::new(&progress));
        there.write_all(&[0; 3]).await.unwrap();
        assert_eq!(metered.read(&mut [0; 16]).await.unwrap(), 3);
        assert_eq!((first.bytes(), progress.read().moved), (8, 0));
    }
}
