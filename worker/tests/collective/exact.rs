//! When all goes well: the sum is the sum, and the bytes are as few as they can be.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ids::{Attempt, Step};
use tokio::task::JoinSet;
use worker::collective::{Buffer, CancelSource, Collective, FailureKind};

use crate::group::{LIMIT, connect, inputs, join, members, reduce_all, servers, start, worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_gets_the_plain_wrapping_sum() {
    for world_size in 1..=5 {
        let servers = servers(world_size).await;
        let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
        for (step, length) in (1..).zip([0, 1, 3, 1000, 3_000_001]) {
            group = reduce_all(group, (step, 0), &inputs(world_size, length, step)).await;
        }
    }
}

#[tokio::test]
async fn one_thread_is_enough() {
    let servers = servers(3).await;
    let group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    reduce_all(group, (1, 0), &inputs(3, 1_000_000, 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_may_be_reduced_again_but_never_under_the_same_attempt() {
    let servers = servers(3).await;
    let mut group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    for attempt in 0..4 {
        group = reduce_all(group, (7, attempt), &inputs(3, 200_000, u64::from(attempt))).await;
    }
    let again = inputs(1, 10, 1).remove(0);
    let source = CancelSource::new();
    let (_, outcome) = start(group.remove(0), (7, 3), &again, source.token())
        .await
        .unwrap();
    assert_eq!(outcome.unwrap_err().kind, FailureKind::Protocol);
}

/// The trap of buffers that are written to while their bytes are still on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_steps_over_the_same_buffers_stay_exact() {
    const STEPS: u64 = 200;
    const LENGTH: usize = 150_001;
    const WORLD: u64 = 3;
    let value = |slot: u64, step: u64, i: usize| {
        (slot + 1)
            .wrapping_mul(0x0123_4567_89AB_CDEF)
            .wrapping_mul(step * 7 + i as u64)
    };
    let servers = servers(3).await;
    let group = connect(&servers.iter().collect::<Vec<_>>(), 1).await;
    let mut running = JoinSet::new();
    for (slot, mut member) in (0..).zip(group) {
        running.spawn(async move {
            let source = CancelSource::new();
            let (mut input, mut output) = (Arc::new(vec![0; LENGTH]), Buffer::default());
            for step in 1..=STEPS {
                let buffer = Arc::get_mut(&mut input).expect("the input is still held");
                for (i, place) in buffer.iter_mut().enumerate() {
                    *place = value(slot, step, i).cast_signed();
                }
                let (lent, cancel) = (Arc::clone(&input), source.token());
                let reducing =
                    member.all_reduce(Step(step), Attempt(0), lent.into(), output, cancel);
                let total = reducing.await.unwrap().into_host();
                assert_eq!(total.len(), LENGTH);
                for (i, found) in total.iter().enumerate() {
                    let sum = (0..WORLD).fold(0_u64, |sum, s| sum.wrapping_add(value(s, step, i)));
                    assert_eq!(*found, sum.cast_signed(), "step {step} element {i}");
                }
                output = total.into();
            }
            member
        });
    }
    let done = tokio::time::timeout(LIMIT, running.join_all())
        .await
        .expect("hangs");
    assert_eq!(done.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_carries_exactly_one_part_out_and_one_total_back() {
    let (world_size, length) = (3, 1_000_001_usize);
    let slice =
        |slot: usize| (length / world_size + usize::from(slot < length % world_size)) as u64;
    let received = |me: usize| (world_size as u64 - 1) * slice(me) + length as u64 - slice(me);
    let servers = servers(world_size).await;
    for generation in 1..=3 {
        let group = connect(&servers.iter().collect::<Vec<_>>(), generation).await;
        let group = reduce_all(
            group,
            (generation, 0),
            &inputs(world_size, length, generation),
        )
        .await;
        for (me, member) in group.iter().enumerate() {
            let expected: BTreeMap<_, _> = (0..world_size)
                .filter(|peer| *peer != me)
                .map(|peer| (worker(peer), 8 * (slice(peer) + slice(me))))
                .collect();
            assert_eq!(member.value_bytes_sent(), expected);
            let (values, all) = (expected.values().sum::<u64>(), member.bytes_sent());
            let overhead = all - values;
            assert!((1..all / 1000).contains(&overhead), "{overhead} of {all}");
            // Sent and received alike are signs of progress, over all generations.
            let moved = servers[me].progress().read().moved;
            let least = generation * (values + 8 * received(me));
            assert!(
                (least..least + least / 1000).contains(&moved),
                "{moved} of {least}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_ahead_of_the_others_waits_for_them() {
    let servers = servers(3).await;
    let all: Vec<_> = servers.iter().collect();
    let parts = inputs(3, 3_000_000, 9);
    let source = CancelSource::new();
    let mut running = Vec::new();
    for slot in 0..3 {
        // The first is in its reduce before the others have even opened the generation.
        let member = join(all[slot as usize], 1, members(&all), slot).await;
        running.push(start(member, (1, 0), &parts[slot as usize], source.token()));
    }
    let expected = crate::group::plain_sum(&parts);
    for one in running {
        assert!(one.await.unwrap().1.unwrap() == expected);
    }
}
