//! What must hold, told as stories.

use std::time::Duration;

use shared::error::Code;
use shared::ids::{Identity, MicroBatchId, Step};
use shared::wire::message::{Computed, FromWorker, Hello};

use super::super::{Command, Event, Notice};
use super::cluster::{Cluster, expected_state, options, worker};

pub(super) fn complete(cluster: &Cluster, steps: u64, micro_batches: u32) {
    assert_eq!(cluster.end, Some(Command::Complete(Step(steps))));
    let committed: Vec<_> = cluster.commits.iter().map(|c| c.step.0).collect();
    assert_eq!(committed, (1..=steps).collect::<Vec<_>>());
    for commit in &cluster.commits {
        assert_eq!(commit.contributions.values().sum::<u32>(), micro_batches);
    }
    for (name, scripted) in &cluster.workers {
        assert_eq!(
            scripted.state,
            expected_state(steps, micro_batches),
            "{name}"
        );
    }
}

#[test]
fn any_number_of_workers_ends_in_the_same_state() {
    for workers in 1..=5 {
        let mut cluster = Cluster::new(options(1, workers, 2), 5, 8);
        for number in 0..workers {
            cluster.join(&format!("w{number}"));
        }
        cluster.run();
        complete(&cluster, 5, 8);
    }
}

#[test]
fn every_worker_contributes_when_there_are_enough_micro_batches() {
    let mut cluster = Cluster::new(options(1, 4, 100), 3, 8);
    for name in ["a", "b", "c", "d"] {
        cluster.join(name);
    }
    cluster.run();
    assert!(cluster.commits.iter().all(|c| c.contributions.len() == 4));
}

#[test]
fn more_workers_than_micro_batches_are_named_with_the_setting_that_would_use_them() {
    let mut cluster = Cluster::new(options(1, 3, 100), 1, 2);
    for name in ["a", "b", "c"] {
        cluster.join(name);
    }
    cluster.run();
    complete(&cluster, 1, 2);
    let idle = cluster
        .notices
        .iter()
        .find(|n| matches!(n, Notice::Idle { .. }))
        .unwrap();
    assert!(idle.to_string().starts_with("c idle"), "{idle}");
    assert!(idle.to_string().contains("micro_batch_size"));
}

#[test]
fn step_one_waits_for_enough_workers() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 2);
    cluster.join("a");
    cluster.run();
    assert!(cluster.commits.is_empty());
    assert_eq!(
        cluster.notices.last(),
        Some(&Notice::Waiting {
            ready: 1,
            needed: 2
        })
    );
    cluster.join("b");
    cluster.run();
    complete(&cluster, 1, 2);
}

#[test]
fn a_worker_lost_while_computing_costs_only_what_it_took() {
    let mut cluster = Cluster::new(options(1, 2, 100), 2, 8);
    cluster.join("a");
    cluster.join("b");
    for _ in 0..2 {
        cluster.compute(&worker("a"));
        cluster.compute(&worker("b"));
    }
    cluster.leave("b");
    cluster.run();
    complete(&cluster, 2, 8);
}

#[test]
fn a_worker_lost_while_reducing_is_recomputed_by_the_survivors() {
    let mut cluster = Cluster::new(options(1, 3, 100), 2, 8);
    for name in ["a", "b", "c"] {
        cluster.join(name);
    }
    cluster.hold_reduce = true;
    cluster.run();
    cluster.leave("c");
    cluster.hold_reduce = false;
    cluster.run();
    complete(&cluster, 2, 8);
}

#[test]
fn a_worker_that_joins_mid_run_gets_the_state_from_a_peer() {
    let mut cluster = Cluster::new(options(1, 1, 100), 4, 4);
    cluster.join("a");
    for _ in 0..4 {
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    cluster.join("b");
    cluster.run();
    complete(&cluster, 4, 4);
    assert!(cluster.commits.last().unwrap().contributions.len() == 2);
}

#[test]
fn when_nobody_is_left_the_run_goes_on_from_its_newest_checkpoint() {
    let mut cluster = Cluster::new(options(1, 1, 2), 5, 4);
    cluster.join("a");
    for _ in 0..3 {
        for _ in 0..4 {
            cluster.compute(&worker("a"));
        }
        cluster.reduce();
    }
    assert_eq!(cluster.commits.len(), 3);
    cluster.leave("a");
    cluster.join("b");
    cluster.run();
    assert_eq!(
        cluster.rewound,
        [],
        "who was there a moment ago may come back"
    );
    cluster.pass(Duration::from_secs(9), &["b"]);
    cluster.run();
    assert_eq!(cluster.rewound, [Step(2)]);
    complete(&cluster, 5, 4);
}

#[test]
fn a_result_that_was_given_to_somebody_else_is_not_credited() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    let identity = Identity {
        step: Step(1),
        ..cluster.workers[&worker("a")].held[0].0.clone()
    };
    let held: Vec<_> = cluster.workers[&worker("b")]
        .held
        .iter()
        .map(|(_, m, _)| *m)
        .collect();
    let stolen = Computed {
        task: Default::default(),
        micro_batch: held[0],
        fingerprint: 1,
        compute_us: 0,
    };
    cluster.say(&worker("a"), identity.clone(), FromWorker::Computed(stolen));
    let unknown = Computed {
        task: Default::default(),
        micro_batch: MicroBatchId(99),
        fingerprint: 1,
        compute_us: 0,
    };
    cluster.say(&worker("a"), identity, FromWorker::Computed(unknown));
    cluster.run();
    complete(&cluster, 1, 4);
}

#[test]
fn replicas_that_disagree_never_commit() {
    let mut cluster = Cluster::new(options(1, 2, 100), 2, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.workers.get_mut(&worker("b")).unwrap().lies = true;
    cluster.run();
    assert!(cluster.commits.is_empty());
    assert!(matches!(&cluster.end, Some(Command::Fail(e)) if e.code == Code::ReplicasDisagree));
}

#[test]
fn a_silent_worker_is_evicted_after_its_lease() {
    let mut cluster = Cluster::new(options(1, 2, 100), 2, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.workers.remove(&worker("b"));
    cluster.pass(Duration::from_secs(9), &["a"]);
    cluster.run();
    assert!(cluster.refused.is_empty(), "silence is not a fault");
    assert!(cluster.notices.contains(&Notice::Silent {
        worker: worker("b")
    }));
    complete(&cluster, 2, 4);
}

#[test]
fn another_version_is_refused_and_told_why() {
    let mut cluster = Cluster::new(options(1, 1, 100), 1, 1);
    let hello = Hello {
        version: "0.0.1".into(),
        ..Cluster::hello()
    };
    cluster.event(Event::Opened {
        worker: worker("old"),
        hello,
    });
    assert_eq!(cluster.engine.connected(), 0);
    assert!(cluster.notices.iter().any(|n| matches!(
        n,
        Notice::Failed { error, .. } if error.code == Code::VersionMismatch
    )));
}

#[test]
fn a_device_that_contradicts_the_configuration_is_refused() {
    for (bound, asked, code) in [
        ("cpu", "cuda:0", Some(Code::DeviceContradiction)),
        ("cuda", "cpu", Some(Code::DeviceContradiction)),
        ("cuda:1", "cuda:0", Some(Code::DeviceContradiction)),
        ("cuda", "cuda:1", None),
        ("auto", "cuda:1", None),
        ("cpu", "auto", None),
        ("cpu", "", None),
    ] {
        let mut options = options(1, 1, 100);
        options.device = bound.into();
        let hello = Hello {
            device: asked.into(),
            ..Cluster::hello()
        };
        let refused = super::super::membership::admit(&hello, &options, env!("CARGO_PKG_VERSION"));
        assert_eq!(refused.err().map(|e| e.code), code, "{bound} {asked}");
    }
}

#[test]
fn an_interrupt_makes_the_state_safe_before_the_end() {
    let mut cluster = Cluster::new(options(1, 1, 100), 5, 2);
    cluster.join("a");
    cluster.event(Event::Interrupt);
    cluster.run();
    assert_eq!(cluster.published, [Step(1)]);
    assert_eq!(cluster.end, Some(Command::Interrupted(Step(1))));
}

#[test]
fn checkpoints_are_written_every_save_steps_and_at_the_end() {
    let mut cluster = Cluster::new(options(1, 1, 2), 5, 2);
    cluster.join("a");
    cluster.run();
    assert_eq!(cluster.published, [Step(2), Step(4), Step(5)]);
}

#[test]
fn a_live_worker_on_a_hung_device_is_evicted_and_its_work_goes_to_others() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 8);
    cluster.join("a");
    cluster.join("b");
    cluster.compute(&worker("b"));
    cluster.pass(Duration::from_secs(4), &["a", "b"]);
    cluster.compute(&worker("a"));
    cluster.pass(Duration::from_secs(2), &["a", "b"]);
    let hung = |name: &str| {
        let is = |n: &Notice| matches!(n, Notice::Hung { worker: w, .. } if *w == worker(name));
        cluster.notices.iter().any(is)
    };
    assert!(hung("b") && !hung("a"), "{:?}", cluster.notices);
    // It must not come back by itself: its device is as hung in the next session.
    assert_eq!(cluster.refused, [(worker("b"), Code::Evicted)]);
    cluster.workers.remove(&worker("b"));
    cluster.run();
    complete(&cluster, 1, 8);
}
