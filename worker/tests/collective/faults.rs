//! When members die, hang, leave or lag: the right one is named, and old chunks never count.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::error::{Code, Error};
use shared::ids::{Attempt, Slot, Step};
use shared::net::PEER;
use shared::security::PLAIN;
use shared::wire::peer::peer_client::PeerClient;
use shared::wire::peer::{Chunk, Phase};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tonic::Status;
use worker::collective::{
    Buffer, CancelSource, Collective, FailureKind, GrpcCollective, MemberAddress, PeerServer,
};

use crate::group::{
    LIMIT, connect, identity, impatient, inputs, join, members, reduce_all, serve, servers,
    stalled, start, worker,
};

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_member_that_dies_is_named_and_the_next_generation_succeeds() {
    let (living, doomed) = (runtime(2), runtime(1));
    let parts = inputs(3, 1_500_000, 5);
    living.block_on(async {
        let survivors = servers(2).await;
        let dying = doomed.spawn(serve()).await.unwrap();
        let all = members(&[&survivors[0], &survivors[1], &dying]);

        let part = Arc::clone(&parts[2]);
        let theirs = all.clone();
        let (tell, sending) = oneshot::channel();
        doomed.spawn(async move {
            let (room, source) = (Buffer::default(), CancelSource::new());
            let mut member = join(&dying, 1, theirs, 2).await;
            let reducing =
                member.all_reduce(Step(1), Attempt(0), part.into(), room, source.token());
            let sends = async {
                while dying.progress().read().moved < 2_000_000 {
                    tokio::task::yield_now().await;
                }
                tell.send(()).unwrap();
                pending::<()>().await;
            };
            tokio::join!(reducing, sends)
        });

        let source = CancelSource::new();
        let first = join(&survivors[0], 1, all.clone(), 0).await;
        let first = start(first, (1, 0), &parts[0], source.token());
        let second = join(&survivors[1], 1, all, 1).await;
        tokio::time::timeout(LIMIT, sending)
            .await
            .expect("the third never sends")
            .unwrap();
        // Without the second member nobody is done: the third dies in the middle.
        doomed.shutdown_background();
        let second = start(second, (1, 0), &parts[1], source.token());
        for survivor in [first, second] {
            let failure = survivor.await.unwrap().1.unwrap_err();
            assert_eq!(failure.culprit, Some(worker(2)), "{failure}");
            let coded = Error::from(failure);
            assert_eq!(coded.code, Code::SessionLost);
        }
        let group = connect(&[&survivors[0], &survivors[1]], 2).await;
        reduce_all(group, (1, 0), &parts[..2]).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_hangs_is_named_when_patience_ends() {
    let servers = servers(3).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    let hanging = group.pop().unwrap();
    let parts = inputs(3, 2_000_000, 1);
    let source = CancelSource::new();
    let mut running = Vec::new();
    for (member, part) in group.into_iter().zip(&parts) {
        let (member, told) = impatient(member, Duration::from_millis(400));
        running.push((start(member, (1, 0), part, source.token()), told));
    }
    for (_, told) in &mut running {
        let failure = stalled(told).await;
        assert_eq!(failure.kind, FailureKind::Stalled);
        assert_eq!(failure.culprit, Some(worker(2)), "{failure}");
        // It waits on, and says so again.
        assert_eq!(stalled(told).await.culprit, Some(worker(2)));
    }
    source.cancel();
    for (one, _) in running {
        let failure = one.await.unwrap().1.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Cancelled);
    }
    drop(hanging);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_attempt_leaves_nothing_in_the_next() {
    let servers = servers(3).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    let idle = group.pop().unwrap();
    let source = CancelSource::new();
    let wrong = inputs(3, 700_000, 1);
    let running: Vec<_> = group
        .into_iter()
        .zip(&wrong)
        .map(|(member, part)| start(member, (4, 0), part, source.token()))
        .collect();
    let sent = || {
        servers[..2]
            .iter()
            .all(|server| server.progress().read().moved > 3_000_000)
    };
    tokio::time::timeout(LIMIT, async {
        while !sent() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("nothing is sent");
    source.cancel();
    let mut group = Vec::new();
    for one in running {
        let (member, outcome) = one.await.unwrap();
        let failure = outcome.unwrap_err();
        assert_eq!(
            (failure.kind, failure.culprit),
            (FailureKind::Cancelled, None)
        );
        group.push(member);
    }
    for part in &wrong {
        assert_eq!(
            Arc::strong_count(part),
            1,
            "a cancelled reduce still holds its input"
        );
    }
    group.push(idle);
    group = reduce_all(group, (4, 1), &inputs(3, 700_000, 2)).await;
    reduce_all(group, (5, 0), &inputs(3, 700_001, 3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polite_leave_is_not_a_death() {
    let servers = servers(3).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    drop(group.pop());
    let parts = inputs(3, 1000, 1);
    let source = CancelSource::new();
    let (member, mut told) = impatient(group.remove(0), Duration::from_millis(300));
    let _reducing = start(member, (1, 0), &parts[0], source.token());
    assert_eq!(stalled(&mut told).await.kind, FailureKind::Stalled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_of_a_cancel_that_goes_away_cancels() {
    let servers = servers(2).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    let source = CancelSource::new();
    let part = inputs(1, 1000, 1).remove(0);
    let running = start(group.remove(0), (1, 0), &part, source.token());
    drop(source);
    assert_eq!(
        running.await.unwrap().1.unwrap_err().kind,
        FailureKind::Cancelled
    );
}

/// Streams hand-made chunks of one sender as member 1 of a generation.
async fn exchange(server: &PeerServer, chunks: Vec<Chunk>) -> Result<u64, Status> {
    let endpoint = PEER
        .endpoint(&PLAIN, &server.address().to_string())
        .unwrap();
    let mut client = PeerClient::new(endpoint.connect().await.unwrap());
    let call = client.exchange(tokio_stream::iter(chunks));
    let answer = tokio::time::timeout(LIMIT, call).await.expect("hangs");
    answer.map(|received| received.into_inner().bytes)
}

fn chunk(generation: u64, step: u64, offset_elements: u64, values: &[i64]) -> Chunk {
    let identity = identity(generation);
    Chunk {
        run_id: identity.run.0,
        term: identity.term.0,
        generation,
        step,
        attempt: 0,
        from_slot: 1,
        phase: Phase::ReduceScatter.into(),
        offset_elements,
        values: Bytes::from(
            values
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<_>>(),
        ),
    }
}

/// Member 0 of two, whose peer is whatever the test sends.
async fn alone(server: &PeerServer, silent: &PeerServer, generation: u64) -> GrpcCollective {
    join(server, generation, members(&[server, silent]), 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_an_older_generation_or_another_run_is_refused() {
    let (server, silent) = (serve().await, serve().await);
    let member = alone(&server, &silent, 5).await;
    let old = vec![chunk(4, 0, 0, &[]), chunk(4, 1, 0, &[1, 1])];
    let refused = exchange(&server, old).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("stale"), "{refused}");
    let mut foreign = chunk(5, 0, 0, &[]);
    foreign.run_id = "another".to_owned();
    let refused = exchange(&server, vec![foreign]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let outsider = Chunk {
        from_slot: 2,
        ..chunk(5, 0, 0, &[])
    };
    let refused = exchange(&server, vec![outsider]).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);
    let unopened = exchange(&server, vec![chunk(5, 1, 0, &[1])])
        .await
        .unwrap_err();
    assert_eq!(unopened.code(), tonic::Code::InvalidArgument);
    // An older generation cannot be gone back to, either.
    let back =
        GrpcCollective::connect(&server, &identity(4), members(&[&server]), Slot(0), LIMIT).await;
    assert_eq!(back.err().map(|e| e.kind), Some(FailureKind::Stale));
    drop(member);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_older_steps_and_attempts_never_count() {
    let (server, silent) = (serve().await, serve().await);
    let member = alone(&server, &silent, 5).await;
    let part = Arc::new(vec![10, 20, 30, 40]);
    let source = CancelSource::new();
    let running = start(member, (3, 1), &part, source.token());
    let current = |offset, values: &[i64]| Chunk {
        attempt: 1,
        ..chunk(5, 3, offset, values)
    };
    let sent = vec![
        chunk(5, 0, 0, &[]),
        chunk(5, 2, 0, &[900, 900]),
        chunk(5, 3, 0, &[900, 900]),
        current(0, &[1, 2]),
        Chunk {
            phase: Phase::AllGather.into(),
            ..current(2, &[33, 44])
        },
        chunk(5, 4, 0, &[700, 700]),
        chunk(5, 0, 0, &[]),
    ];
    assert_eq!(exchange(&server, sent).await.unwrap(), 5 * 16);
    let (member, outcome) = running.await.unwrap();
    assert_eq!(outcome.unwrap(), [11, 22, 33, 44]);
    // What came early for the next step waited for it; the stream's end was a polite one.
    let (member, mut told) = impatient(member, Duration::from_millis(300));
    let _reducing = start(member, (4, 0), &part, source.token());
    assert_eq!(stalled(&mut told).await.kind, FailureKind::Stalled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_does_not_fit_names_its_sender() {
    for wrong in [
        chunk(5, 1, 1, &[5]),
        chunk(5, 1, 0, &[5, 5, 5]),
        Chunk {
            values: Bytes::from_static(b"torn"),
            ..chunk(5, 1, 0, &[])
        },
        Chunk {
            phase: Phase::Unspecified.into(),
            ..chunk(5, 1, 0, &[5])
        },
        chunk(6, 1, 0, &[5, 5]),
    ] {
        let (server, silent) = (serve().await, serve().await);
        let member = alone(&server, &silent, 5).await;
        let source = CancelSource::new();
        let running = start(member, (1, 0), &Arc::new(vec![1; 4]), source.token());
        let text = format!("{wrong:?}");
        let _ = exchange(&server, vec![chunk(5, 0, 0, &[]), wrong]).await;
        let failure = running.await.unwrap().1.unwrap_err();
        assert_eq!(failure.culprit, Some(worker(1)), "{text}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_without_goodbye_is_a_death() {
    let (server, silent) = (serve().await, serve().await);
    let member = alone(&server, &silent, 5).await;
    let source = CancelSource::new();
    let running = start(member, (1, 0), &Arc::new(vec![1; 4]), source.token());
    exchange(&server, vec![chunk(5, 0, 0, &[]), chunk(5, 1, 0, &[1])])
        .await
        .unwrap_err();
    let failure = running.await.unwrap().1.unwrap_err();
    assert_eq!(
        (failure.kind, failure.culprit),
        (FailureKind::PeerLost, Some(worker(1)))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_left_behind_is_told_so_and_blames_nobody() {
    let servers = servers(2).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    let ahead = group.pop().unwrap();
    let source = CancelSource::new();
    let running = start(
        group.remove(0),
        (1, 0),
        &inputs(1, 100, 1)[0],
        source.token(),
    );
    let _new = join(&servers[1], 2, vec![members(&[&servers[1]]).remove(0)], 0).await;
    drop(ahead);
    let failure = running.await.unwrap().1.unwrap_err();
    assert_eq!((failure.kind, failure.culprit), (FailureKind::Stale, None));
}

#[tokio::test]
async fn a_member_that_cannot_be_reached_is_named() {
    let server = serve().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut all = members(&[&server]);
    all.push(MemberAddress {
        worker: worker(1),
        slot: Slot(1),
        address: closed.to_string(),
    });
    let failure = GrpcCollective::connect(&server, &identity(1), all.clone(), Slot(0), LIMIT).await;
    let failure = failure.err().unwrap();
    assert_eq!(
        (failure.kind, failure.culprit),
        (FailureKind::Unreachable, Some(worker(1)))
    );
    all[1].slot = Slot(0);
    let failure = GrpcCollective::connect(&server, &identity(1), all, Slot(0), LIMIT)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.kind, FailureKind::Protocol);
}
