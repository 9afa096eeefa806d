//! The virtual network under tonic: a listener and a dialer whose every byte the simulation carries.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use shared::net::{Dial, Dialing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;
use tonic::transport::server::Connected;
use tonic::transport::{Endpoint, Uri};
use turmoil::net::{TcpListener, TcpStream};
use worker::collective::{Metered, PeerDial, Traffic};

/// Every host listens here.
pub(super) const PORT: u16 = 9000;

/// Opens connections between simulated hosts: to the coordinator, and between workers.
pub(super) struct Virtual;

impl Dial for Virtual {
    fn dial(&self, endpoint: Endpoint) -> Dialing {
        let connect = |uri: Uri| async move { io::Result::Ok(TokioIo::new(connect(&uri).await?)) };
        let connector = tower::service_fn(connect);
        Box::pin(async move { endpoint.connect_with_connector(connector).await })
    }
}

impl PeerDial for Virtual {
    fn dial(&self, endpoint: Endpoint, traffic: Traffic) -> Dialing {
        let connector = tower::service_fn(move |uri: Uri| {
            let traffic = traffic.clone();
            async move {
                let metered = Metered::new(connect(&uri).await?, traffic);
                io::Result::Ok(TokioIo::new(metered))
            }
        });
        Box::pin(async move { endpoint.connect_with_connector(connector).await })
    }
}

async fn connect(uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().to_owned();
    let port = uri.port_u16().unwrap_or_default();
    TcpStream::connect((host, port)).await
}

/// A connection that came in.
pub(super) struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Listens on the host this is called on.
pub(super) async fn listen() -> io::Result<impl Stream<Item = io::Result<Accepted>> + Send> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let (sender, accepted) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if sender.send(Ok(Accepted(stream))).await.is_err() {
                return;
            }
        }
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(accepted))
}
