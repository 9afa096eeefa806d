//! Workers on which nothing moves in an all-reduce: what they say is judged by what moves on the others.

use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::Identity;
use shared::wire::message::{Failed, FailureScope, FromWorker, Progress};

use super::super::notice::Notice;
use super::cluster::Cluster;
use super::scripted::{options, worker};

/// Three members in a reduce that has just begun.
fn reducing() -> Cluster {
    let mut cluster = Cluster::new(options(1, 3, 100), 1, 4);
    for name in ["a", "b", "c"] {
        cluster.join(name);
    }
    cluster.hold_reduce = true;
    cluster.run();
    cluster
}

/// Nothing moves on `name`, which waits for `for_whom`.
fn stalls(cluster: &mut Cluster, name: &str, for_whom: &str) {
    let identity = cluster.reducing[0].1.clone();
    let stalled = Failed {
        error: Error::new(Code::SessionLost, "nothing moves"),
        culprit: Some(worker(for_whom)),
        scope: FailureScope::Nothing,
    };
    cluster.say(&worker(name), identity, FromWorker::Failed(stalled));
}

fn again(cluster: &Cluster) -> usize {
    let again = |n: &&Notice| matches!(n, Notice::ReduceAgain { .. });
    cluster.notices.iter().filter(again).count()
}

#[test]
fn as_long_as_something_moves_between_others_a_reduce_goes_on() {
    let mut cluster = reducing();
    let all = ["a", "b", "c"];
    for second in 1..60 {
        cluster.pass(Duration::from_secs(1), &all[2..]);
        for name in ["a", "b"] {
            let moved = Progress {
                moved: second,
                ..Progress::default()
            };
            cluster.beat(name, moved);
        }
        stalls(&mut cluster, "c", "a");
    }
    assert_eq!(again(&cluster), 0, "{:?}", cluster.notices);
    assert!(cluster.refused.is_empty() && cluster.end.is_none());
    // The last of them has delivered, and what `c` waits for is on its way.
    cluster.workers.get_mut(&worker("c")).unwrap().mute = true;
    let told = cluster.reducing.clone();
    cluster.reduce();
    cluster.reducing = told;
    stalls(&mut cluster, "c", "a");
    cluster.pass(Duration::from_millis(100), &[]);
    assert_eq!(again(&cluster), 0, "{:?}", cluster.notices);
    let hung = |n: &Notice| matches!(n, Notice::HungInReduce { .. });
    assert!(!cluster.notices.iter().any(hung), "{:?}", cluster.notices);
}

/// One beat, in which others could say something.
const BEAT: Duration = Duration::from_millis(1100);

#[test]
fn when_nothing_moves_on_anybody_the_reduce_is_repeated_and_then_the_culprit_goes() {
    let mut cluster = reducing();
    let all = ["a", "b", "c"];
    for tries in 0..2 {
        cluster.pass(Duration::from_millis(4900), &all);
        stalls(&mut cluster, "c", "a");
        assert_eq!(again(&cluster), tries, "{:?}", cluster.notices);
        cluster.pass(BEAT, &all);
        assert_eq!(again(&cluster), tries + 1, "{:?}", cluster.notices);
        cluster.reducing.drain(..3);
    }
    cluster.pass(Duration::from_millis(5100), &all);
    stalls(&mut cluster, "b", "a");
    cluster.pass(BEAT, &all);
    assert_eq!(cluster.refused, [(worker("a"), Code::Evicted)]);
    assert_eq!(cluster.evicted, [worker("a")]);
}

#[test]
fn the_first_that_says_so_is_not_believed_alone() {
    let all = ["a", "b", "c"];
    // `c` is cut off from both; `b` waits for `a`, which waits for `c`.
    for tellings in [
        [("c", "a"), ("a", "c"), ("b", "c")],
        [("c", "b"), ("b", "c"), ("a", "c")],
        [("b", "a"), ("a", "c"), ("c", "b")],
    ] {
        let mut cluster = reducing();
        for tries in 0..3 {
            cluster.pass(Duration::from_millis(5100), &all);
            for (name, for_whom) in tellings {
                assert_eq!(again(&cluster), tries, "{:?}", cluster.notices);
                stalls(&mut cluster, name, for_whom);
            }
            // All have said it: no beat is waited for.
            cluster.pass(Duration::from_millis(100), &[]);
            cluster.reducing.drain(..3.min(cluster.reducing.len()));
        }
        let cycle = tellings[0] == ("b", "a");
        let [(gone, code)] = &cluster.refused[..] else {
            panic!("{:?}", cluster.refused);
        };
        assert_eq!(*code, Code::Evicted);
        assert!(cycle || gone.0 == "c", "{tellings:?}: {gone}");
    }
}

#[test]
fn what_was_said_before_something_moved_is_over() {
    let mut cluster = reducing();
    let all = ["a", "b", "c"];
    cluster.pass(Duration::from_millis(5100), &all);
    stalls(&mut cluster, "c", "a");
    let moved = Progress {
        moved: 1,
        ..Progress::default()
    };
    cluster.beat("b", moved);
    // What `a` and `b` tell from here on does not change, and nothing more is said.
    for _ in 0..6 {
        cluster.pass(Duration::from_millis(900), &[]);
        for name in all {
            cluster.beat(name, moved);
        }
    }
    assert_eq!(again(&cluster), 0, "{:?}", cluster.notices);
}

#[test]
fn of_a_worker_that_is_not_heard_nobody_says_that_nothing_moves_there() {
    let mut cluster = reducing();
    cluster.pass(Duration::from_secs(6), &["a", "c"]);
    stalls(&mut cluster, "c", "a");
    cluster.pass(BEAT, &["a", "c"]);
    assert_eq!(again(&cluster), 0, "{:?}", cluster.notices);
    // Its lease decides.
    cluster.pass(Duration::from_secs(3), &["a", "c"]);
    let evicted = |n: &Notice| matches!(n, Notice::Silent { worker: w, .. } if w.0 == "b");
    assert!(cluster.notices.iter().any(evicted), "{:?}", cluster.notices);
}

#[test]
fn what_is_said_of_an_earlier_reduce_is_not_heard() {
    let mut cluster = reducing();
    cluster.pass(Duration::from_secs(6), &["a", "b", "c"]);
    cluster.reducing[0].1 = Identity::default();
    stalls(&mut cluster, "c", "a");
    cluster.pass(BEAT, &["a", "b", "c"]);
    assert_eq!(again(&cluster), 0, "{:?}", cluster.notices);
}
