//! The state for a joiner: the same bytes, then every total, or an error.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::error::Code;
use shared::ids::{RunId, Step, Term};
use shared::security::Security;
use tokio::sync::mpsc;
use worker::collective::{
    FeedItem, Feeding, PeerDial, PeerServer, PeerTcp, StateFeed, StateSource, Tally, follow,
};
use worker::progress::Counters;

use crate::group::{LIMIT, LOOPBACK, identity, join, members};

type Totals = mpsc::Sender<(Step, Arc<Vec<i64>>)>;

/// Gives the same state to everybody, and the totals it is told.
pub struct Frozen {
    state: Bytes,
    totals: std::sync::Mutex<Vec<Totals>>,
}

impl Frozen {
    pub fn new(state: Bytes) -> Arc<Self> {
        let totals = std::sync::Mutex::default();
        Arc::new(Self { state, totals })
    }
}

impl StateSource for Frozen {
    fn feed(&self) -> Feeding {
        let (sender, totals) = mpsc::channel(4);
        self.totals.lock().unwrap().push(sender);
        let (step, state) = (Step(12), self.state.clone());
        Box::pin(std::future::ready(Some(StateFeed {
            step,
            state,
            totals,
        })))
    }
}

fn bind(source: Arc<dyn StateSource>) -> shared::error::Result<(PeerServer, SocketAddr)> {
    PeerServer::bind(LOOPBACK, Security::Plain, source, Counters::default())
}

static TCP: PeerTcp = PeerTcp(Security::Plain);

/// Over TCP, counted nowhere.
fn way() -> (&'static dyn PeerDial, Tally) {
    (&TCP, Tally::default())
}

/// Never has anything.
struct Stuck;

impl StateSource for Stuck {
    fn feed(&self) -> Feeding {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_gets_the_same_bytes_and_every_total() {
    for size in [0, 1, 1 << 20, (3 << 20) + 12_345] {
        let state: Bytes = (0..size)
            .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let source = Frozen::new(state.clone());
        let (server, address) = bind(source.clone()).unwrap();
        let run = RunId("r".to_owned());
        let (address, counted) = (address.to_string(), Counters::default());
        let way = (&TCP as &dyn PeerDial, Tally::new(&counted));
        let following = follow(way, &address, &run, Term(1), Step(12), LIMIT).await;
        let mut following = following.unwrap();
        assert_eq!(
            following.next().await.unwrap(),
            FeedItem::State(Step(12), state)
        );
        // The joiner tells how the state moves, so that a slow one is not taken for a stuck one. What a member gives
        // away is not what the coordinator waits for.
        let overhead = counted.read().moved - u64::from(size);
        assert!((1..10_000).contains(&overhead), "{overhead}");
        assert_eq!(server.progress().read().moved, 0);
        let totals = source.totals.lock().unwrap().remove(0);
        for step in [13, 14] {
            let total = Arc::new(vec![i64::MIN, -1, step, 200_000]);
            totals
                .send((Step(step as u64), Arc::clone(&total)))
                .await
                .unwrap();
            let expected = FeedItem::Total(Step(step as u64), total.to_vec());
            assert_eq!(following.next().await.unwrap(), expected);
        }
        drop(totals);
        assert_eq!(following.next().await.unwrap_err().code, Code::SessionLost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_step_another_run_or_an_older_term_is_refused() {
    let source = Frozen::new(Bytes::from_static(b"state"));
    let (server, address) = bind(source).unwrap();
    let _member = join(&server, 3, members(&[&server]), 0).await;
    let (address, run) = (address.to_string(), identity(3).run);
    // One step behind will do: the total of the next one follows.
    for step in [0, 12, 13] {
        assert!(
            follow(way(), &address, &run, Term(1), Step(step), LIMIT)
                .await
                .is_ok()
        );
    }
    let other = RunId("another".to_owned());
    for (run, term, step) in [(&run, 1, 14), (&other, 1, 12), (&run, 0, 12)] {
        let failure = follow(way(), &address, run, Term(term), Step(step), LIMIT).await;
        assert_eq!(failure.err().unwrap().code, Code::SessionLost);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_ends_at_the_deadline() {
    let (_server, address) = bind(Arc::new(Stuck)).unwrap();
    let (address, run) = (address.to_string(), RunId("r".to_owned()));
    let soon = Duration::from_millis(200);
    let failure = follow(way(), &address, &run, Term(1), Step(1), soon).await;
    assert_eq!(failure.err().unwrap().code, Code::Unreachable);
}
