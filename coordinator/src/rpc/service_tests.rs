//! Names, limits and what is counted.

use shared::evaluation::Prompts;
use shared::ids::{Identity, RunId, Step};
use shared::net::session_endpoint;
use shared::security::Security;
use shared::wire::message::{Position, Task, Welcome};
use shared::wire::session::session_client::SessionClient;

use super::super::listen::{NO_WORKER_CAN_CONNECT, bind};
use super::*;

fn outbox() -> (
    Outbox,
    mpsc::Receiver<std::result::Result<CoordinatorMessage, Status>>,
) {
    let (sender, receiver) = mpsc::channel(4);
    let outbox = Outbox {
        worker: WorkerId("worker-1".into()),
        sender,
        traffic: Arc::default(),
    };
    (outbox, receiver)
}

fn welcome(tokens: usize) -> Envelope<ToWorker> {
    let prompts = Prompts {
        ids: vec![vec![u32::MAX; tokens]],
        ..Prompts::default()
    };
    Envelope {
        identity: Identity::default(),
        body: ToWorker::Welcome(Welcome {
            prompts,
            ..Welcome::default()
        }),
    }
}

#[test]
fn a_message_of_megabytes_is_sent() {
    let (outbox, mut receiver) = outbox();
    outbox.send(welcome(1 << 20)).unwrap();
    assert!(receiver.try_recv().unwrap().unwrap().encoded_len() > 4 << 20);
}

#[test]
fn a_message_beyond_the_limit_is_not_sent_and_the_worker_is_told_which() {
    let (outbox, mut receiver) = outbox();
    let error = outbox.send(welcome(4 << 20)).unwrap_err();
    assert_eq!(error.code, Code::OutOfRange);
    assert!(error.what.contains("Welcome"), "{error:?}");
    let sent = receiver.try_recv().unwrap().unwrap();
    let sent = Envelope::<ToWorker>::try_from(sent).unwrap();
    assert_eq!(sent.body, ToWorker::Refused(error));
    assert!(receiver.try_recv().is_err(), "nothing else");
}

fn position(name: &str) -> Position {
    Position {
        run: RunId("1234".into()),
        worker: WorkerId(name.into()),
        step: Step(1),
        state_digest: "state-1".into(),
        task: Task::Train,
        credited: [].into(),
        shadow_digest: String::new(),
        loaded: None,
        retained: [].into(),
    }
}

#[test]
fn no_two_sessions_of_a_run_have_one_name() {
    let names = |term| Names {
        term: Term(term),
        given: AtomicU64::new(0),
    };
    let mut drawn = std::collections::BTreeSet::new();
    for term in 1..30 {
        let names = names(term);
        for _ in 0..30 {
            assert!(drawn.insert(names.draw()), "term {term}");
        }
    }
    let (first, second) = (names(1), names(2));
    first.draw();
    assert_eq!(first.draw().0, "worker-2");
    assert_eq!(second.draw().0, "worker-2.1");
}

/// Two workers whose sessions broke claim the same name, and one of them comes twice.
#[tokio::test]
async fn a_session_s_name_is_never_what_a_worker_claims() {
    let (events, mut heard) = mpsc::channel(16);
    let service = SessionService::new(events, Arc::default(), Term(2)).into_server();
    let listener = bind("127.0.0.1:0".parse().unwrap(), &Security::Plain).unwrap();
    let address = listener.address().to_string();
    let server = listener.server().add_service(service);
    let incoming = listener.incoming(NO_WORKER_CAN_CONNECT);
    let server = tokio::spawn(server.serve_with_incoming(incoming));
    let endpoint = session_endpoint(&Security::Plain, &address).unwrap();
    let mut open = Vec::new();
    let mut given = Vec::new();
    for (incarnation, claimed) in [("a", "worker-2"), ("b", "worker-2"), ("a", "worker-2.1")] {
        let hello = Envelope {
            identity: Identity::default(),
            body: FromWorker::Hello(Hello {
                incarnation: incarnation.into(),
                resume: Some(position(claimed)),
                ..Hello::default()
            }),
        };
        let (say, said) = mpsc::channel(1);
        say.send(WorkerMessage::from(hello)).await.unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = SessionClient::new(channel);
        let answers = client.open(ReceiverStream::new(said)).await.unwrap();
        match heard.recv().await {
            Some(SessionEvent::Opened {
                worker,
                hello,
                outbox,
            }) => {
                assert_eq!(hello.incarnation, incarnation);
                given.push(worker.0);
                open.push((say, answers, client, outbox));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(given, ["worker-2.1", "worker-2.2", "worker-2.3"]);
    server.abort();
}
