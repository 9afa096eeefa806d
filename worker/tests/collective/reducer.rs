//! The task that reduces beside a session: what it gives back for one member, for two, and for none.

use std::sync::Arc;

use shared::faults::Faults;
use shared::ids::Slot;
use shared::net::Dialing;
use shared::wire::message::{Member, Task};
use tokio::sync::mpsc;
use tonic::transport::Endpoint;
use worker::collective::{FailureKind, NoState, PeerDial, PeerServer, Traffic};
use worker::progress::Counters;
use worker::session::{Contribution, ReduceEvent, Reduced, Reducer};

use crate::group::{LIMIT, LOOPBACK, identity, inputs, members, plain_sum, servers};

struct Seat {
    reducer: Reducer,
    results: mpsc::Receiver<ReduceEvent>,
}

impl Seat {
    fn new(server: PeerServer) -> Self {
        let (tell, results) = mpsc::channel(4);
        let reducer = Reducer::start(server, Faults::default(), tell);
        Self { reducer, results }
    }

    fn reduce(&mut self, generation: u64, sum: &Arc<Vec<i64>>, room: Vec<i64>, world_size: usize) {
        let given = Contribution {
            sum: Arc::clone(sum).into(),
            room: room.into(),
        };
        self.reducer
            .reduce(identity(generation), Task::Train, given, world_size)
            .unwrap();
    }

    async fn total(&mut self) -> Reduced {
        let next = tokio::time::timeout(LIMIT, self.results.recv());
        match next.await.expect("hangs").unwrap() {
            ReduceEvent::Ended(reduced) => reduced,
            ReduceEvent::Stalled(_, stalled) => panic!("{stalled}"),
        }
    }
}

fn named(servers: &[&PeerServer]) -> Vec<Member> {
    let named = members(servers).into_iter().map(|m| Member {
        worker: m.worker,
        slot: m.slot,
        peer_address: m.address,
    });
    named.collect()
}

#[tokio::test]
async fn a_lone_worker_s_sum_is_the_total_and_no_copy_of_it() {
    let server = servers(1).await.remove(0);
    let all = named(&[&server]);
    let mut seat = Seat::new(server);
    let sum = inputs(1, 1000, 1).remove(0);
    seat.reduce(1, &sum, Vec::new(), 1);
    let nobody = seat.total().await.total.unwrap_err();
    assert_eq!(nobody.kind, FailureKind::Protocol);
    seat.reducer.connect(identity(1), all, Slot(0));
    seat.reduce(1, &sum, Vec::new(), 1);
    let total = seat.total().await.total.unwrap().into_host();
    assert!(Arc::ptr_eq(&total, &sum));
    // Asked for among other members than are connected.
    seat.reduce(2, &sum, Vec::new(), 1);
    let stale = seat.total().await.total.unwrap_err();
    assert_eq!(stale.kind, FailureKind::Stale);
}

#[tokio::test]
async fn two_workers_get_the_sum_in_the_buffers_they_gave() {
    let servers = servers(2).await;
    let all = named(&servers.iter().collect::<Vec<_>>());
    let sums = inputs(2, 1000, 1);
    let mut seats: Vec<Seat> = servers.into_iter().map(Seat::new).collect();
    let mut places = Vec::new();
    for ((seat, slot), sum) in seats.iter_mut().zip(0..).zip(&sums) {
        seat.reducer.connect(identity(1), all.clone(), Slot(slot));
        let used = vec![7; 1000];
        places.push(used.as_ptr());
        seat.reduce(1, sum, used, 2);
    }
    for (seat, place) in seats.iter_mut().zip(places) {
        let reduced = seat.total().await;
        let total = reduced.total.unwrap().into_host();
        assert_eq!(*total, plain_sum(&sums));
        assert_eq!(total.as_ptr(), place);
        assert!(
            (8000..9000).contains(&reduced.bytes_sent),
            "half out, half back: {}",
            reduced.bytes_sent
        );
    }
}

#[tokio::test]
async fn what_is_told_of_bytes_is_of_one_reduce_however_many_there_were() {
    let servers = servers(2).await;
    let all = named(&servers.iter().collect::<Vec<_>>());
    let sums = inputs(2, 1000, 1);
    let mut seats: Vec<Seat> = servers.into_iter().map(Seat::new).collect();
    for generation in 1..=5 {
        for ((seat, slot), sum) in seats.iter_mut().zip(0..).zip(&sums) {
            seat.reducer
                .connect(identity(generation), all.clone(), Slot(slot));
            seat.reduce(generation, sum, Vec::new(), 2);
        }
        for seat in &mut seats {
            let reduced = seat.total().await;
            assert!(reduced.total.is_ok());
            assert!((8000..9000).contains(&reduced.bytes_sent));
        }
    }
}

/// A network on which no connection is ever made, nor refused.
struct Dead;

impl PeerDial for Dead {
    fn dial(&self, _: Endpoint, _: Traffic) -> Dialing {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_member_set_does_not_wait_for_one_before_it_that_never_comes_about() {
    let nobody = tokio_stream::pending::<std::io::Result<tokio::net::TcpStream>>();
    let (state, counters) = (Arc::new(NoState), Counters::default());
    let server = PeerServer::serve(nobody, LOOPBACK, state, Arc::new(Dead), counters);
    let [me, other] = [&server, &server];
    let both = named(&[me, other]);
    let mut seat = Seat::new(server);
    let sum = inputs(1, 1000, 1).remove(0);
    for generation in 1..100 {
        seat.reducer
            .connect(identity(generation), both.clone(), Slot(0));
        tokio::task::yield_now().await;
    }
    seat.reducer
        .connect(identity(100), both[..1].to_vec(), Slot(0));
    seat.reduce(100, &sum, Vec::new(), 1);
    let reduced = seat.total().await;
    assert_eq!(reduced.identity, identity(100));
    assert!(Arc::ptr_eq(&reduced.total.unwrap().into_host(), &sum));
}
