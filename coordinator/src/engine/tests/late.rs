//! What comes late from storage, or cannot be read for a while: nothing is believed of it, and nobody is blamed.

use std::time::Duration;

use shared::error::{Code, Error};
use shared::ids::Step;
use shared::wire::message::FromWorker;

use super::super::{Command, Event, ExportFailure, Notice, Options};
use super::cluster::{Cluster, options, worker};
use super::stories::complete;

const SECOND: Duration = Duration::from_secs(1);

/// The state of step 1 is being published while its only holder dies.
fn published_late(cluster: &mut Cluster) {
    cluster.hold_publishing = true;
    cluster.join("a");
    for _ in 0..4 {
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    assert_eq!(cluster.published, [Step(1)]);
    cluster.leave("a");
}

fn comes_now(cluster: &mut Cluster) -> u64 {
    cluster.hold_publishing = false;
    let (stored, staging) = cluster.publishing.remove(0);
    let step = stored.step;
    cluster.event(Event::Published {
        step,
        staging,
        outcome: Ok(stored),
    });
    step.0
}

#[test]
fn what_a_fork_left_behind_is_no_checkpoint_when_it_comes_late() {
    let mut cluster = Cluster::new(options(1, 1, 1), 2, 4);
    published_late(&mut cluster);
    // Nothing of it moves for so long that it counts as lost: the run begins again, on another device.
    cluster.pass(130 * SECOND, &[]);
    cluster.hold_publishing = false;
    cluster.join_unlike("b", 0, 1);
    for _ in 0..4 {
        cluster.compute(&worker("b"));
    }
    cluster.reduce();
    let forked = |n: &Notice| matches!(n, Notice::Forked { .. });
    assert!(cluster.notices.iter().any(forked), "{:?}", cluster.notices);
    assert_eq!(cluster.published, [Step(1), Step(1)]);
    comes_now(&mut cluster);
    assert_eq!(
        cluster.set_aside,
        [Step(1)],
        "it has taken the other one's place"
    );
    assert_eq!(cluster.published[2..], [Step(1)], "which is written again");
    cluster.run();
    assert_eq!(cluster.end, Some(Command::Complete(Step(2))));
    assert_eq!(cluster.set_aside, [Step(1)]);
}

#[test]
fn what_lies_before_every_digest_that_is_known_is_removed_when_it_comes_late() {
    let options = Options {
        save_total_limit: Some(1),
        ..options(1, 2, 1)
    };
    let mut cluster = Cluster::new(options, 4, 4);
    cluster.hold_publishing = true;
    cluster.join("a");
    cluster.join("b");
    cluster.run();
    cluster.pass(130 * SECOND, &["a", "b"]);
    cluster.hold_publishing = false;
    let late = cluster.publishing.remove(0);
    for (stored, staging) in std::mem::take(&mut cluster.publishing) {
        let step = stored.step;
        cluster.event(Event::Published {
            step,
            staging,
            outcome: Ok(stored),
        });
    }
    cluster.publishing.push(late);
    for _ in 0..4 {
        cluster.compute(&worker("a"));
        cluster.compute(&worker("b"));
    }
    cluster.reduce();
    let removed = cluster.removed.clone();
    assert!(removed.contains(&Step(1)), "{removed:?}");
    comes_now(&mut cluster);
    assert_eq!(cluster.removed.last(), Some(&Step(1)));
    assert_eq!(cluster.removed.len(), removed.len() + 1);
    assert_eq!(cluster.set_aside, []);
    cluster.run();
    complete(&cluster, 4, 4);
}

#[test]
fn an_export_that_the_disk_refuses_is_tried_again_and_no_checkpoint_is_to_blame() {
    let mut cluster = Cluster::new(options(1, 1, 100), 1, 4);
    cluster.export_fails = Some(ExportFailure::Storage(Error::new(Code::Io, "no space")));
    cluster.join("a");
    cluster.run();
    assert_eq!((cluster.end.as_ref(), cluster.exports.len()), (None, 1));
    cluster.pass(10 * SECOND, &["a"]);
    assert_eq!(
        (cluster.exports.len(), &cluster.set_aside[..]),
        (2, &[][..])
    );
    assert_eq!(cluster.published, [Step(1)], "it is still on storage");
    complete(&cluster, 1, 4);
}

/// A worker cannot read the checkpoint that it is to begin with; the coordinator looks.
fn cannot_read(outcome: Result<(), Error>) -> Cluster {
    let mut cluster = super::edges::from_storage(&["", "another"]);
    cluster.rots = Some("/c/4".into());
    cluster.unreadable = true;
    cluster.join("a");
    let doubted = cluster.verify.take().map(|stored| stored.step);
    assert_eq!(doubted, Some(Step(4)));
    cluster.unreadable = false;
    cluster.rots = None;
    let step = Step(4);
    cluster.event(Event::Verified { step, outcome });
    assert_eq!(cluster.refused, []);
    cluster.pass(20 * SECOND, &["a"]);
    cluster.run();
    assert_eq!(cluster.end, Some(Command::Complete(Step(6))));
    cluster
}

#[test]
fn a_checkpoint_that_its_reader_cannot_read_is_looked_through_and_taken_when_it_is_whole() {
    let cluster = cannot_read(Ok(()));
    assert_eq!(cluster.set_aside, []);
}

#[test]
fn what_cannot_be_read_just_now_is_not_damaged() {
    let cluster = cannot_read(Err(Error::new(Code::Io, "the server does not answer")));
    assert_eq!(cluster.set_aside, []);
}

#[test]
fn what_is_damaged_is_set_aside_and_its_reader_takes_the_one_before() {
    let cluster = cannot_read(Err(Error::new(Code::DigestDiffers, "a bit has flipped")));
    assert_eq!(cluster.set_aside, [Step(4)]);
}

#[test]
fn the_first_adapter_is_drawn_again_where_nobody_holds_the_agreed_one() {
    let mut cluster = Cluster::new(options(1, 1, 100), 2, 4);
    cluster.join("a");
    cluster.leave("a");
    cluster.join_unlike("b", 1, 0);
    // The first one may come back with it for a while.
    cluster.pass(70 * SECOND, &["b"]);
    assert_eq!(cluster.refused, []);
    cluster.run();
    assert_eq!(cluster.end, Some(Command::Complete(Step(2))));
    // With somebody who holds it, it is taken from there.
    let mut cluster = Cluster::new(options(2, 2, 100), 2, 4);
    cluster.join("a");
    cluster.join_unlike("b", 1, 0);
    let again = |n: &Notice| matches!(n, Notice::SyncAgain { worker, .. } if worker.0 == "b");
    assert!(cluster.notices.iter().any(again), "{:?}", cluster.notices);
}

/// The only checkpoint is damaged and everybody is gone: the seed is all there is.
#[test]
fn what_lies_before_a_damaged_checkpoint_is_compared_when_it_comes_again() {
    let mut cluster = Cluster::new(options(1, 1, 2), 3, 4);
    cluster.join("a");
    for _ in 0..2 {
        for _ in 0..4 {
            cluster.compute(&worker("a"));
        }
        cluster.reduce();
    }
    assert_eq!(cluster.published, [Step(2)]);
    cluster.leave("a");
    cluster.rots = Some("/c/2".into());
    cluster.join_unlike("b", 0, 1);
    cluster.pass(70 * SECOND, &["b"]);
    assert!(cluster.verify.take().is_some(), "{:?}", cluster.notices);
    cluster.event(Event::Verified {
        step: Step(2),
        outcome: Err(Error::new(Code::DigestDiffers, "a bit has flipped")),
    });
    cluster.pass(10 * SECOND, &["b"]);
    cluster.run();
    assert!(cluster.rewound.contains(&Step(0)), "{:?}", cluster.rewound);
    let forked = |n: &Notice| matches!(n, Notice::Forked { step: Step(0), .. });
    assert!(cluster.notices.iter().any(forked), "{:?}", cluster.notices);
    assert_eq!(cluster.end, Some(Command::Complete(Step(3))));
}

/// The first peer serves a spoiled state, and what it sends next comes when another one was asked.
#[test]
fn what_is_on_its_way_from_one_source_is_no_answer_of_the_next() {
    let mut cluster = Cluster::new(options(1, 1, 100), 2, 4);
    cluster.join("a");
    cluster.hold_sync = true;
    cluster.join("b");
    let ready = |cluster: &mut Cluster, order: usize, state_digest: &str| {
        let identity = cluster.sync_orders[order].clone();
        let state_digest = state_digest.to_owned();
        let step = Step(0);
        let body = FromWorker::Ready { step, state_digest };
        cluster.say(&worker("b"), identity, body);
        let member = cluster.engine.members.get(&worker("b")).unwrap();
        (cluster.sync_orders.len(), member.has_state(Step(0)))
    };
    assert_eq!(ready(&mut cluster, 0, "another"), (2, false));
    assert_eq!(ready(&mut cluster, 0, "0"), (2, false));
    assert_eq!(ready(&mut cluster, 1, "0"), (2, true));
}
