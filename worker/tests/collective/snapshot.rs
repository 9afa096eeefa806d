//! The state for a joiner: the same bytes, of the step asked for, or an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::error::Code;
use shared::ids::{RunId, Step, Term};
use worker::collective::{PeerServer, SnapshotSource, fetch_snapshot};

use crate::group::{LIMIT, LOOPBACK, identity, join, members};

struct Frozen(Step, Bytes);

impl SnapshotSource for Frozen {
    fn snapshot(&self, step: Step) -> Option<Bytes> {
        (step == self.0).then(|| self.1.clone())
    }
}

/// Holds a state back until the sender is dropped.
struct Stuck(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl SnapshotSource for Stuck {
    fn snapshot(&self, _: Step) -> Option<Bytes> {
        let _ = self.0.lock().unwrap().recv();
        None
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_gets_the_same_bytes() {
    for size in [0, 1, 1 << 20, (3 << 20) + 12_345] {
        let state: Bytes = (0..size)
            .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let source = Arc::new(Frozen(Step(12), state.clone()));
        let (_server, address) = PeerServer::bind(LOOPBACK, source).await.unwrap();
        let run = RunId("r".to_owned());
        let got = fetch_snapshot(&address.to_string(), &run, Term(1), Step(12), LIMIT).await;
        assert!(got.unwrap() == state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_step_run_or_term_is_refused() {
    let source = Arc::new(Frozen(Step(12), Bytes::from_static(b"state")));
    let (server, address) = PeerServer::bind(LOOPBACK, source).await.unwrap();
    let _member = join(&server, 3, members(&[&server]), 0).await;
    let (address, run) = (address.to_string(), identity(3).run);
    assert!(
        fetch_snapshot(&address, &run, Term(1), Step(12), LIMIT)
            .await
            .is_ok()
    );
    let other = RunId("another".to_owned());
    for (run, term, step) in [(&run, 1, 11), (&other, 1, 12), (&run, 0, 12)] {
        let failure = fetch_snapshot(&address, run, Term(term), Step(step), LIMIT).await;
        assert_eq!(failure.unwrap_err().code, Code::SessionLost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_ends_at_the_deadline() {
    let (release, held) = std::sync::mpsc::channel();
    let source = Arc::new(Stuck(std::sync::Mutex::new(held)));
    let (_server, address) = PeerServer::bind(LOOPBACK, source).await.unwrap();
    let (address, run) = (address.to_string(), RunId("r".to_owned()));
    let soon = Duration::from_millis(200);
    let failure = fetch_snapshot(&address, &run, Term(1), Step(1), soon)
        .await
        .unwrap_err();
    assert_eq!(failure.code, Code::Unreachable);
    drop(release);
}
