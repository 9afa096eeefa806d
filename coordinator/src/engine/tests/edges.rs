//! The promise at its edges: who writes, who leaves last, who comes back, what may take long.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::{MicroBatchId, RunId, Step};
use shared::ledger::Parts;
use shared::wire::message::{FromWorker, Hello, Loaded, Position, Progress, SyncSource, Task};

use super::super::{
    Command, Event, ExportFailure, Notice, Options, PublishFailure, Remembered, Restorable,
    StoredCheckpoint,
};
use super::cluster::{Cluster, Fixed, options, worker};
use super::stories::complete;

const SECOND: Duration = Duration::from_secs(1);

fn writers(cluster: &Cluster) -> Vec<(u64, &str)> {
    let writers = cluster.writers.iter();
    writers.map(|(step, w)| (step.0, w.0.as_str())).collect()
}

#[test]
fn what_one_holder_cannot_write_the_next_one_writes() {
    let mut cluster = Cluster::new(options(1, 2, 2), 4, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.workers.get_mut(&worker("a")).unwrap().cannot_write = true;
    cluster.run();
    assert_eq!(cluster.published, [Step(2), Step(4)]);
    let tried = writers(&cluster);
    assert_eq!(tried, [(2, "a"), (2, "b"), (4, "a"), (4, "b")]);
    let named =
        |n: &Notice| matches!(n, Notice::CheckpointFailed { writer, .. } if writer.0 == "a");
    assert_eq!(cluster.notices.iter().filter(|n| named(n)).count(), 2);
    complete(&cluster, 4, 4);
}

#[test]
fn a_run_that_nobody_can_write_fails_late_and_the_workers_keep_its_state() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    for name in ["a", "b"] {
        cluster.workers.get_mut(&worker(name)).unwrap().cannot_write = true;
    }
    cluster.run();
    cluster.pass(50 * SECOND, &["a", "b"]);
    assert_eq!(cluster.end, None, "{:?}", cluster.notices.last());
    cluster.pass(20 * SECOND, &["a", "b"]);
    let failed = |c: &Command| matches!(c, Command::Fail(e) if e.code == Code::Unwritable);
    assert!(
        cluster.end.as_ref().is_some_and(failed),
        "{:?}",
        cluster.end
    );
    assert_eq!(
        cluster.refused,
        [],
        "whoever holds the state is not sent away"
    );
}

#[test]
fn a_writer_whose_files_hold_another_state_goes_by_name_and_another_one_writes() {
    let mut cluster = Cluster::new(options(1, 2, 1), 2, 4);
    cluster.wrong_files = Some(worker("a"));
    cluster.join("a");
    cluster.join("b");
    cluster.run();
    assert_eq!(cluster.refused, [(worker("a"), Code::Corrupt)]);
    assert_eq!(writers(&cluster)[..2], [(1, "a"), (1, "b")]);
    cluster.workers.remove(&worker("a"));
    cluster.run();
    complete(&cluster, 2, 4);
}

#[test]
fn the_only_worker_leaves_when_its_state_is_on_storage_and_not_before() {
    let mut cluster = Cluster::new(options(1, 1, 100), 3, 4);
    cluster.join("a");
    for _ in 0..4 {
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    cluster.compute(&worker("a"));
    assert_eq!(cluster.commits.len(), 1);
    cluster.hold_writing = true;
    let leaving = FromWorker::Leaving {
        reason: "drained".into(),
        drains: true,
    };
    cluster.say(&worker("a"), Default::default(), leaving);
    assert_eq!(writers(&cluster), [(1, "a")]);
    // Far beyond the time of a drain: its bytes are moving.
    for stored in 1..40 {
        cluster.pass(SECOND, &[]);
        let progress = Progress {
            stored,
            ..Progress::default()
        };
        cluster.beat("a", progress);
    }
    assert_eq!((cluster.released.len(), cluster.engine.connected()), (0, 1));
    let written = FromWorker::CheckpointWritten {
        step: Step(1),
        outcome: Ok(Vec::new()),
    };
    cluster.say(&worker("a"), Default::default(), written);
    assert_eq!(cluster.published, [Step(1)]);
    assert_eq!(cluster.released, [worker("a")]);
    cluster.hold_writing = false;
    cluster.workers.remove(&worker("a"));
    cluster.join("b");
    cluster.run();
    assert_eq!(cluster.rewound, [], "the next one goes on from there");
    complete_from(&cluster, 3);
}

fn complete_from(cluster: &Cluster, steps: u64) {
    assert_eq!(cluster.end, Some(Command::Complete(Step(steps))));
}

#[test]
fn a_process_has_one_session_and_what_the_earlier_one_held_is_given_back() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    // The line of `a` broke twice; of the first time only the worker has heard.
    let hello = Hello {
        peer_address: "a".into(),
        incarnation: "process of a".into(),
        resume: Some(Position {
            run: RunId("r".into()),
            worker: worker("a"),
            step: Step(0),
            state_digest: "0".into(),
            task: Task::Train,
            credited: [].into(),
            shadow_digest: String::new(),
            loaded: Some(Loaded::default()),
            retained: [].into(),
        }),
        ..Cluster::hello()
    };
    for name in ["again", "once more"] {
        let scripted = cluster
            .workers
            .pop_first()
            .map(|(_, s)| s)
            .unwrap_or_default();
        cluster.workers.insert(worker(name), scripted);
        let hello = hello.clone();
        cluster.event(Event::Opened {
            worker: worker(name),
            hello,
        });
        assert_eq!(cluster.engine.connected(), 2);
    }
}

#[test]
fn a_second_worker_that_hangs_on_the_same_work_is_not_to_blame() {
    let mut cluster = Cluster::new(options(1, 3, 100), 1, 3);
    for name in ["a", "b", "c"] {
        cluster.join(name);
        let loaded = cluster.rehearsed(name, Duration::from_millis(1));
        assert!(loaded);
    }
    // `a` is given micro-batch 0 and finishes nothing; then it is somebody else's.
    cluster.compute(&worker("b"));
    cluster.compute(&worker("c"));
    cluster.pass(6 * SECOND, &["a", "b", "c"]);
    let hung = |cluster: &Cluster| {
        let hung = cluster.notices.iter().filter_map(|n| match n {
            Notice::Hung { micro_batch, .. } => Some(*micro_batch),
            _ => None,
        });
        hung.collect::<Vec<MicroBatchId>>()
    };
    let first = hung(&cluster);
    assert_eq!((first.len(), cluster.engine.connected()), (1, 2));
    cluster.pass(60 * SECOND, &["b", "c"]);
    assert_eq!(hung(&cluster), first, "nobody else goes for the same work");
}

#[test]
fn a_long_micro_batch_takes_as_long_as_its_device_goes_on() {
    let mut cluster = Cluster::new(options(1, 1, 100), 1, 1);
    cluster.join("a");
    assert!(cluster.rehearsed("a", Duration::from_millis(1)));
    for device in 1..60 {
        let progress = Progress {
            device,
            ..Progress::default()
        };
        cluster.beat("a", progress);
        cluster.pass(SECOND, &[]);
    }
    assert_eq!(cluster.refused, []);
    cluster.run();
    complete(&cluster, 1, 1);
}

#[test]
fn an_all_reduce_may_take_as_long_as_bytes_move_and_no_longer() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 2);
    cluster.join("a");
    cluster.join("b");
    cluster.hold_reduce = true;
    cluster.run();
    for moved in 1..60 {
        cluster.pass(SECOND, &[]);
        for name in ["a", "b"] {
            let progress = Progress {
                moved,
                ..Progress::default()
            };
            cluster.beat(name, progress);
        }
    }
    let again = |n: &&Notice| matches!(n, Notice::ReduceAgain { .. });
    assert_eq!(cluster.notices.iter().filter(again).count(), 0);
    cluster.pass(12 * SECOND, &["a", "b"]);
    assert_eq!(cluster.notices.iter().filter(again).count(), 1);
    cluster.hold_reduce = false;
    cluster.run();
    complete(&cluster, 1, 2);
}

#[test]
fn whoever_was_silent_while_the_coordinator_stood_still_is_heard_first() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.pass(2 * SECOND, &["a", "b"]);
    cluster.now += 300 * SECOND;
    cluster.event(Event::Tick);
    assert_eq!(cluster.engine.connected(), 2);
    cluster.run();
    complete(&cluster, 1, 4);
}

/// A run of six steps that comes back with checkpoints of 2 and 4 and nobody there.
pub(super) fn from_storage(device_classes: &[&str]) -> Cluster {
    let stored = |step: u64| StoredCheckpoint {
        step: Step(step),
        folder: format!("/c/{step}"),
        state_digest: super::cluster::expected_state(step, 4).to_string(),
    };
    let from = Restorable {
        step: Step(4),
        source: SyncSource::Checkpoint("/c/4".into()),
        state_digest: Some(stored(4).state_digest),
    };
    let mut parts = Parts::default();
    let classes = device_classes.iter().map(|c| (*c).to_owned()).collect();
    parts.took(&classes, Step(5));
    let remembered = Remembered {
        committed: Step(5),
        digests: [(Step(5), "another".to_owned())].into(),
        stored: vec![stored(2), stored(4)],
        parts,
        ..Remembered::default()
    };
    let schedule = Box::new(Fixed {
        steps: 6,
        micro_batches: 4,
        every: None,
    });
    Cluster::with(options(1, 1, 2), schedule, from, remembered)
}

#[test]
fn a_replay_that_differs_is_a_fork_where_unlike_devices_took_part() {
    let mut cluster = from_storage(&["cpu one", "cpu two"]);
    cluster.join("a");
    cluster.run();
    let forks = |n: &&Notice| matches!(n, Notice::Forked { .. });
    assert_eq!(cluster.notices.iter().filter(forks).count(), 1);
    complete_from(&cluster, 6);
}

#[test]
fn a_replay_that_differs_on_one_device_class_is_an_error() {
    let mut cluster = from_storage(&[""]);
    cluster.join("a");
    cluster.run();
    let differs = |c: &Command| matches!(c, Command::Fail(e) if e.code == Code::ReplayDiffers);
    assert!(
        cluster.end.as_ref().is_some_and(differs),
        "{:?}",
        cluster.end
    );
}

#[test]
fn a_checkpoint_that_is_not_what_the_ledger_says_is_set_aside_and_the_one_before_is_taken() {
    let mut cluster = from_storage(&["cpu one", "cpu two"]);
    cluster.rots = Some("/c/4".into());
    cluster.join("b");
    let doubted = cluster.verify.take().map(|stored| stored.step);
    assert_eq!((doubted, cluster.refused.len()), (Some(Step(4)), 0));
    let outcome = Err(Error::new(Code::DigestDiffers, "it holds another state"));
    let step = Step(4);
    cluster.event(Event::Verified { step, outcome });
    cluster.run();
    assert_eq!(cluster.set_aside[0], Step(4));
    assert!(cluster.rewound.contains(&Step(2)), "{:?}", cluster.rewound);
    complete_from(&cluster, 6);
}

#[test]
fn a_damaged_checkpoint_is_never_the_result() {
    let options = Options {
        save_total_limit: Some(1),
        ..options(1, 1, 100)
    };
    let mut cluster = Cluster::new(options, 2, 4);
    let error = Error::new(Code::DigestDiffers, "a bit has flipped");
    cluster.export_fails = Some(ExportFailure::Checkpoint(Step(2), error));
    cluster.join("a");
    cluster.run();
    assert_eq!(cluster.set_aside, [Step(2)]);
    assert_eq!(
        cluster.published,
        [Step(2), Step(2)],
        "its holder writes it again"
    );
    complete(&cluster, 2, 4);
}

#[test]
fn what_storage_refuses_is_no_fault_of_the_writer() {
    let mut cluster = Cluster::new(options(1, 1, 100), 1, 4);
    let error = Error::new(Code::Io, "no space left");
    cluster.publish_fails = Some(PublishFailure::Storage(error));
    cluster.join("a");
    cluster.run();
    assert_eq!(cluster.refused, []);
    cluster.pass(4 * SECOND, &["a"]);
    cluster.run();
    complete(&cluster, 1, 4);
}

#[test]
fn a_publication_may_take_as_long_as_its_own_bytes_move_and_no_longer() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.hold_publishing = true;
    cluster.join("a");
    cluster.join("b");
    cluster.run();
    let says = |cluster: &mut Cluster, of: usize| {
        cluster.pass(SECOND, &["a", "b"]);
        let staging = cluster.publishing[of].1.clone();
        cluster.event(Event::Publishing { staging });
    };
    for _ in 0..400 {
        says(&mut cluster, 0);
    }
    assert_eq!(writers(&cluster), [(1, "a")]);
    cluster.pass(130 * SECOND, &["a", "b"]);
    cluster.run();
    assert_eq!(writers(&cluster), [(1, "a"), (1, "b")]);
    // The first one moves again, and nothing of the second does.
    for _ in 0..130 {
        says(&mut cluster, 0);
    }
    assert!(writers(&cluster).len() > 2, "{:?}", writers(&cluster));
    let stagings: BTreeSet<_> = cluster.publishing.iter().map(|(_, s)| s).collect();
    assert_eq!(
        stagings.len(),
        writers(&cluster).len(),
        "each try has its own"
    );
    // What was given up and comes late is on storage all the same.
    let (stored, staging) = cluster.publishing.remove(0);
    let step = stored.step;
    cluster.event(Event::Published {
        step,
        staging,
        outcome: Ok(stored),
    });
    cluster.publishing.clear();
    cluster.pass(130 * SECOND, &["a", "b"]);
    complete(&cluster, 1, 4);
}

/// Two workers are needed, and one of them goes for good in the first step.
fn one_is_left(steps: u64) -> Cluster {
    let mut cluster = Cluster::new(options(2, 2, 100), steps, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.compute(&worker("a"));
    cluster.workers.remove(&worker("b"));
    let reason = "its session broke".into();
    let closed = worker("b");
    cluster.event(Event::Closed {
        worker: closed,
        reason,
    });
    cluster.run();
    cluster
}

#[test]
fn a_run_whose_last_step_is_committed_ends_below_min_workers_too() {
    let mut cluster = one_is_left(1);
    cluster.pass(20 * SECOND, &["a"]);
    cluster.run();
    complete(&cluster, 1, 4);
}

#[test]
fn a_run_that_waits_for_more_workers_does_not_keep_its_state_in_memory_alone() {
    let mut cluster = one_is_left(3);
    cluster.pass(20 * SECOND, &["a"]);
    assert_eq!(
        (cluster.commits.len(), &cluster.published[..]),
        (1, &[Step(1)][..])
    );
    assert_eq!(cluster.end, None);
}
