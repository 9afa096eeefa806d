//! Opens the stream that is the lease.

use shared::error::{Code, Error, Result};
use shared::net::{CONNECT_TIMEOUT, Dial, TO_WORKER_LIMIT, session_endpoint};
use shared::wire::session::session_client::SessionClient;
use shared::wire::session::{CoordinatorMessage, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Messages on their way to the coordinator at most.
const OUTBOX: usize = 1024;

/// Both directions of an open session.
#[derive(Debug)]
pub struct Stream {
    /// Messages of this worker, sent in order.
    pub outbox: mpsc::Sender<WorkerMessage>,
    /// Messages of the coordinator, in the order they come.
    pub inbox: Streaming<CoordinatorMessage>,
}

/// Connects once and opens a stream; nothing is said on it yet.
///
/// # Errors
/// [`Code::Unreachable`], [`Code::Usage`] when the address is not `HOST:PORT`.
pub async fn open(dial: &dyn Dial, address: &str) -> Result<Stream> {
    let endpoint = session_endpoint(dial.security(), address)?;
    let unreachable = |reason: String| {
        Error::new(
            Code::Unreachable,
            format!("the coordinator at {address} cannot be reached"),
        )
        .why(reason)
        .fix("is `coordinator up` running, and is this the address it printed?")
    };
    let opened = async {
        let channel = dial.dial(endpoint).await;
        let channel = channel.map_err(|e| unreachable(source_text(&e)))?;
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        let mut client = SessionClient::new(channel).max_decoding_message_size(TO_WORKER_LIMIT);
        let response = client.open(ReceiverStream::new(waiting)).await;
        let response = response.map_err(|status| unreachable(status.message().to_owned()))?;
        Ok(Stream {
            outbox,
            inbox: response.into_inner(),
        })
    };
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, opened).await {
        Ok(outcome) => outcome,
        Err(_) => Err(unreachable("it does not answer".into())),
    }
}

fn source_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
