//! One stream per worker, translated both ways.
//!
//! Keeps: a session's name is made here from the term and a counter of this start, so no two sessions of a run share a
//! name, and nothing has to be stored for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use shared::error::{Code, Error, Result};
use shared::ids::{Term, WorkerId};
use shared::net::{TO_COORDINATOR_LIMIT, TO_WORKER_LIMIT};
use shared::wire::message::{Envelope, FromWorker, Hello, PROTOCOL, ToWorker};
use shared::wire::session::session_server::{Session, SessionServer};
use shared::wire::session::{CoordinatorMessage, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::traffic::Traffic;

/// Largest number of messages that wait for one worker.
const OUTBOX: usize = 1024;

/// How long a new stream may take to say hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// What the session service reports to the driver.
#[derive(Debug)]
pub enum SessionEvent {
    /// A worker said hello.
    Opened {
        /// The new session's name.
        worker: WorkerId,
        /// The worker's first message.
        hello: Hello,
        /// The messages back to this worker; dropping it ends the session.
        outbox: Outbox,
    },
    /// A worker said something else.
    Message {
        /// The session on which the message came.
        worker: WorkerId,
        /// The message, translated from protobuf.
        envelope: Envelope<FromWorker>,
    },
    /// A stream ended.
    Closed {
        /// The session that ended.
        worker: WorkerId,
        /// Why the stream ended, in words for people.
        reason: String,
    },
}

/// Messages to one worker; dropping it ends the session.
#[derive(Debug)]
pub struct Outbox {
    worker: WorkerId,
    sender: mpsc::Sender<std::result::Result<CoordinatorMessage, Status>>,
    traffic: Arc<Traffic>,
}

impl Outbox {
    /// Queues a message. A message larger than [`TO_WORKER_LIMIT`] is not sent; the worker is refused with the reason
    /// instead.
    ///
    /// # Errors
    /// [`Code::SessionLost`] when the worker does not read, or is gone; [`Code::OutOfRange`] when the
    /// message is too large. The session is of no use then.
    pub fn send(&self, message: Envelope<ToWorker>) -> Result<()> {
        let (identity, name) = (message.identity.clone(), name(&message.body));
        let message = CoordinatorMessage::from(message);
        let bytes = message.encoded_len();
        if bytes <= TO_WORKER_LIMIT {
            return self.queue(message);
        }
        let error = Error::new(
            Code::OutOfRange,
            format!("the message {name} is too large to be sent"),
        )
        .why(format!(
            "it has {bytes} bytes, a worker takes {TO_WORKER_LIMIT}"
        ))
        .fix("make the configuration smaller: `eval_prompts`, or micro-batches in a step");
        let body = ToWorker::Refused(error.clone());
        self.queue(Envelope { identity, body }.into())?;
        Err(error)
    }

    fn queue(&self, message: CoordinatorMessage) -> Result<()> {
        self.traffic.sent(message.encoded_len());
        self.sender.try_send(Ok(message)).map_err(|e| {
            Error::new(
                Code::SessionLost,
                format!("{} takes no messages: {e}", self.worker),
            )
        })
    }
}

/// The session service, one for all workers.
#[derive(Clone)]
pub struct SessionService {
    events: mpsc::Sender<SessionEvent>,
    names: Arc<Names>,
    traffic: Arc<Traffic>,
}

/// Makes session names: `worker-1`, `worker-2` under the first term, `worker-T.1` under term T.
#[derive(Debug)]
struct Names {
    term: Term,
    given: AtomicU64,
}

impl Names {
    fn draw(&self) -> WorkerId {
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        WorkerId(match self.term {
            Term(0 | 1) => format!("worker-{number}"),
            Term(term) => format!("worker-{term}.{number}"),
        })
    }
}

impl SessionService {
    /// A service that reports to `events`, of a coordinator that leads under `term`.
    #[must_use]
    pub fn new(events: mpsc::Sender<SessionEvent>, traffic: Arc<Traffic>, term: Term) -> Self {
        let given = AtomicU64::new(0);
        Self {
            events,
            names: Arc::new(Names { term, given }),
            traffic,
        }
    }

    /// The tonic server of this service, with the limits on message sizes.
    #[must_use]
    pub fn into_server(self) -> SessionServer<Self> {
        SessionServer::new(self)
            .max_decoding_message_size(TO_COORDINATOR_LIMIT)
            .max_encoding_message_size(TO_WORKER_LIMIT)
    }
}

#[tonic::async_trait]
impl Session for SessionService {
    type OpenStream = ReceiverStream<std::result::Result<CoordinatorMessage, Status>>;

    async fn open(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> std::result::Result<Response<Self::OpenStream>, Status> {
        let (sender, receiver) = mpsc::channel(OUTBOX);
        tokio::spawn(read(request.into_inner(), sender, self.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn read(
    mut stream: Streaming<WorkerMessage>,
    sender: mpsc::Sender<std::result::Result<CoordinatorMessage, Status>>,
    service: SessionService,
) {
    let first = tokio::time::timeout(HELLO_DEADLINE, stream.message()).await;
    let Ok(Ok(Some(first))) = first else {
        tracing::warn!("a session opened without a greeting");
        return;
    };
    let length = first.encoded_len();
    let hello = match Envelope::<FromWorker>::try_from(first) {
        Ok(Envelope {
            body: FromWorker::Hello(hello),
            ..
        }) => hello,
        // A first message that is no `Hello` becomes one of a foreign version, which the engine refuses in words.
        _ => Hello {
            version: "unknown".into(),
            protocol: PROTOCOL + 1,
            ..Hello::default()
        },
    };
    let SessionService {
        events,
        names,
        traffic,
    } = service;
    let worker = names.draw();
    traffic.received(length);
    let outbox = Outbox {
        worker: worker.clone(),
        sender,
        traffic: Arc::clone(&traffic),
    };
    let opened = SessionEvent::Opened {
        worker: worker.clone(),
        hello,
        outbox,
    };
    if events.send(opened).await.is_err() {
        return;
    }
    let reason = loop {
        match stream.message().await {
            Ok(Some(message)) => {
                traffic.received(message.encoded_len());
                let event = match Envelope::<FromWorker>::try_from(message) {
                    Ok(envelope) => SessionEvent::Message {
                        worker: worker.clone(),
                        envelope,
                    },
                    Err(error) => break error.to_string(),
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(None) => break "it closed the session".to_owned(),
            Err(status) => break format!("its session broke ({})", innermost(&status)),
        }
    };
    // Sending fails only when the run is over and nobody listens.
    let _ = events.send(SessionEvent::Closed { worker, reason }).await;
}

/// The innermost cause of an error: for a lost connection, the operating system's message.
fn innermost(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |e| e.source());
    sources
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// A message's name in the protocol.
fn name(body: &ToWorker) -> &'static str {
    match body {
        ToWorker::Welcome(_) => "Welcome",
        ToWorker::Refused(_) => "Refused",
        ToWorker::Sync(_) => "Sync",
        ToWorker::Members(_) => "Members",
        ToWorker::Assign(..) => "Assign",
        ToWorker::Withdraw(..) => "Withdraw",
        ToWorker::Reapply => "Reapply",
        ToWorker::Prove => "Prove",
        ToWorker::Retain(_) => "Retain",
        ToWorker::Explain => "Explain",
        ToWorker::Release => "Release",
        ToWorker::Credit(..) => "Credit",
        ToWorker::Reduce { .. } => "Reduce",
        ToWorker::Commit { .. } => "Commit",
        ToWorker::WriteCheckpoint { .. } => "WriteCheckpoint",
        ToWorker::Finish { .. } => "Finish",
        ToWorker::Stopped { .. } => "Stopped",
        ToWorker::Stale(_) => "Stale",
        ToWorker::Beat => "Beat",
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
