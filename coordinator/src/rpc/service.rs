//! One stream per worker, translated both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use shared::error::{Code, Error, Result};
use shared::ids::WorkerId;
use shared::wire::message::{Envelope, FromWorker, Hello, ToWorker};
use shared::wire::session::session_server::{Session, SessionServer};
use shared::wire::session::{CoordinatorMessage, WorkerMessage};
use shared::wire::{SESSION_MESSAGE_LIMIT, message::PROTOCOL};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::traffic::Traffic;

/// Messages on their way to one worker at most.
const OUTBOX: usize = 1024;

/// How long a new stream may take to say hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// What happens on the sessions.
#[derive(Debug)]
pub enum SessionEvent {
    /// A worker said hello.
    Opened {
        /// The name given to it.
        worker: WorkerId,
        /// What it said.
        hello: Hello,
        /// How to answer.
        outbox: Outbox,
    },
    /// A worker said something else.
    Message {
        /// Who.
        worker: WorkerId,
        /// What.
        envelope: Envelope<FromWorker>,
    },
    /// A stream ended.
    Closed {
        /// Whose.
        worker: WorkerId,
        /// For people.
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
    /// Queues a message.
    ///
    /// # Errors
    /// [`Code::SessionLost`] when the worker does not read, or is gone.
    pub fn send(&self, message: Envelope<ToWorker>) -> Result<()> {
        let message = CoordinatorMessage::from(message);
        self.traffic.sent(&self.worker, message.encoded_len());
        self.sender.try_send(Ok(message)).map_err(|e| {
            Error::new(
                Code::SessionLost,
                format!("{} takes no messages: {e}", self.worker),
            )
        })
    }
}

/// The service; one for all workers.
#[derive(Clone)]
pub struct SessionService {
    events: mpsc::Sender<SessionEvent>,
    next: Arc<AtomicU64>,
    traffic: Arc<Traffic>,
}

impl SessionService {
    /// A service that reports to `events`.
    #[must_use]
    ///
    /// New workers are numbered from `first`.
    pub fn new(events: mpsc::Sender<SessionEvent>, traffic: Arc<Traffic>, first: u64) -> Self {
        Self {
            events,
            next: Arc::new(AtomicU64::new(first)),
            traffic,
        }
    }

    /// With its limits.
    #[must_use]
    pub fn into_server(self) -> SessionServer<Self> {
        SessionServer::new(self).max_decoding_message_size(SESSION_MESSAGE_LIMIT)
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
        // Not understood at all: let the engine refuse it in words the worker may understand.
        _ => Hello {
            version: "unknown".into(),
            protocol: PROTOCOL + 1,
            ..Hello::default()
        },
    };
    let worker = match &hello.resume {
        Some(position) => again(&position.worker),
        None => {
            let number = service.next.fetch_add(1, Ordering::Relaxed);
            WorkerId(format!("worker-{number}"))
        }
    };
    let SessionService {
        events, traffic, ..
    } = service;
    traffic.received(&worker, length);
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
                traffic.received(&worker, message.encoded_len());
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
            Err(status) => break format!("its session broke ({})", status.code()),
        }
    };
    // Nobody listens any more only when the run is over.
    let _ = events.send(SessionEvent::Closed { worker, reason }).await;
}

/// The name of a worker in its next session: `worker-3`, then `worker-3.2`, `worker-3.3`.
fn again(before: &WorkerId) -> WorkerId {
    let (name, session) = before.0.split_once('.').unwrap_or((&before.0, "1"));
    let session = session.parse::<u64>().unwrap_or(1).saturating_add(1);
    WorkerId(format!("{name}.{session}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_session_of_a_worker_has_its_own_name() {
        let mut name = WorkerId("worker-3".into());
        for expected in ["worker-3.2", "worker-3.3"] {
            name = again(&name);
            assert_eq!(name.0, expected);
        }
    }
}
