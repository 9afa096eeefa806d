//! Opens the stream that is the lease.

use std::time::Duration;

use shared::error::{Code, Error, Result};
use shared::wire::session::session_client::SessionClient;
use shared::wire::session::{CoordinatorMessage, WorkerMessage};
use shared::wire::{SESSION_MESSAGE_LIMIT, session_endpoint};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Messages on their way to the coordinator at most.
const OUTBOX: usize = 256;

/// How often and how long the coordinator is tried: it may be started after the workers.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// Both directions of an open session.
pub(super) struct Stream {
    pub(super) outbox: mpsc::Sender<WorkerMessage>,
    pub(super) inbox: Streaming<CoordinatorMessage>,
}

/// Connects and opens the stream with its first message.
pub(super) async fn open(address: &str, first: WorkerMessage) -> Result<Stream> {
    let endpoint = session_endpoint(address)?;
    let unreachable = |reason: String| {
        Error::new(
            Code::Unreachable,
            format!("the coordinator at {address} cannot be reached"),
        )
        .why(reason)
        .fix("is `coordinator up` running, and is this the address it printed?")
    };
    let mut tries = 0;
    let channel = loop {
        tries += 1;
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) if tries < TRIES => tokio::time::sleep(PAUSE).await,
            Err(e) => return Err(unreachable(source_text(&e))),
        }
    };
    let (outbox, waiting) = mpsc::channel(OUTBOX);
    let mut client = SessionClient::new(channel).max_decoding_message_size(SESSION_MESSAGE_LIMIT);
    if outbox.try_send(first).is_err() {
        return Err(Error::new(Code::Internal, "a new channel is full"));
    }
    let response = client
        .open(ReceiverStream::new(waiting))
        .await
        .map_err(|status| unreachable(status.message().to_owned()))?;
    Ok(Stream {
        outbox,
        inbox: response.into_inner(),
    })
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
