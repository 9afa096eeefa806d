//! Who is wrong, and what happens when nobody can tell.

use std::time::Duration;

use shared::error::Code;
use shared::ids::{Identity, MicroBatchId, Step, Term};
use shared::wire::message::{Computed, FromWorker, SyncSource, Task};

use super::super::{Command, Engine, Event, Notice, Options, Remembered, Restorable};
use super::cluster::{Cluster, Fixed, Scripted, options, worker};
use super::scripted::gradient;
use super::stories::complete;

/// Two workers, and everything is computed twice.
fn audited() -> Cluster {
    let options = Options {
        audit_rate: 1.0,
        ..options(1, 2, 100)
    };
    let mut cluster = Cluster::new(options, 1, 4);
    cluster.join("a");
    cluster.join("b");
    cluster
}

fn scripted<'a>(cluster: &'a mut Cluster, name: &str) -> &'a mut Scripted {
    cluster.workers.get_mut(&worker(name)).unwrap()
}

/// Whoever has said something is asked once more after a while.
fn goes_on(cluster: &mut Cluster) {
    for _ in 0..3 {
        cluster.run();
        cluster.pass(Duration::from_millis(1200), &["a", "b"]);
    }
}

#[test]
fn what_repeats_an_answer_is_none_to_the_next_question() {
    let mut cluster = audited();
    scripted(&mut cluster, "a").wrong = 1;
    cluster.run();
    for micro_batch in (0..4).map(MicroBatchId) {
        let repeated = Computed {
            micro_batch,
            fingerprint: gradient(Step(1), micro_batch) + 1,
            compute_us: 1,
            task: Task::Audit,
        };
        let identity = Identity {
            term: Term(1),
            step: Step(1),
            ..Identity::default()
        };
        cluster.say(&worker("a"), identity, FromWorker::Computed(repeated));
    }
    // It was a passing trouble: asked once more it computes as the other one.
    scripted(&mut cluster, "a").wrong = 0;
    goes_on(&mut cluster);
    assert_eq!(cluster.refused, [(worker("a"), Code::WrongCompute)]);
    cluster.workers.remove(&worker("a"));
    cluster.run();
    complete(&cluster, 1, 4);
}

#[test]
fn of_two_that_keep_to_what_they_say_nobody_is_blamed() {
    let mut cluster = audited();
    scripted(&mut cluster, "a").wrong = 1;
    goes_on(&mut cluster);
    assert!(cluster.commits.is_empty());
    assert!(matches!(&cluster.end, Some(Command::Fail(e)) if e.code == Code::WrongCompute));
}

#[test]
fn whose_committed_state_is_spoiled_is_the_one_that_computes_wrongly() {
    let mut cluster = audited();
    let a = scripted(&mut cluster, "a");
    (a.wrong, a.state) = (1, 7);
    goes_on(&mut cluster);
    assert_eq!(cluster.refused, [(worker("a"), Code::Corrupt)]);
    cluster.workers.remove(&worker("a"));
    complete(&cluster, 1, 4);
}

#[test]
fn whoever_does_not_even_hash_its_state_is_hung() {
    let mut cluster = audited();
    let a = scripted(&mut cluster, "a");
    (a.wrong, a.mute) = (1, true);
    goes_on(&mut cluster);
    cluster.pass(Duration::from_secs(10), &["a", "b"]);
    assert_eq!(cluster.end, None);
    let hung = |n: &Notice| matches!(n, Notice::HungInReduce { worker: w, .. } if w.0 == "a");
    assert!(cluster.notices.iter().any(hung), "{:?}", cluster.notices);
    cluster.workers.remove(&worker("a"));
    cluster.run();
    complete(&cluster, 1, 4);
}

/// Both have reduced, and `b` is gone before it could say what came of it.
fn lone_survivor(spoiled: bool) -> Cluster {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    scripted(&mut cluster, "b").mute = true;
    cluster.run();
    assert!(cluster.commits.is_empty());
    if spoiled {
        scripted(&mut cluster, "a").state = 7;
    }
    cluster.leave("b");
    cluster
}

#[test]
fn a_lone_survivor_of_a_reduce_commits_once_it_has_looked_twice() {
    let cluster = lone_survivor(false);
    assert_eq!(cluster.commits[0].recomputed, 0);
    complete(&cluster, 1, 4);
}

#[test]
fn a_lone_survivor_whose_state_is_spoiled_does_not_commit() {
    let cluster = lone_survivor(true);
    assert!(cluster.commits.is_empty());
    assert_eq!(cluster.refused, [(worker("a"), Code::Corrupt)]);
}

/// `a` is left alone at the first boundary, where two are needed.
fn lone_holder() -> Cluster {
    let mut cluster = Cluster::new(options(2, 2, 1), 2, 4);
    cluster.join("a");
    cluster.join("b");
    cluster.hold_reduce = true;
    cluster.run();
    cluster.leave("b");
    cluster.run();
    cluster.reduce();
    cluster
}

#[test]
fn whoever_serves_a_spoiled_state_goes_and_not_who_took_it() {
    let mut cluster = lone_holder();
    let committed = cluster.engine.committed();
    assert_eq!(committed, Step(1));
    scripted(&mut cluster, "a").state += 7;
    cluster.join("c");
    assert_eq!(cluster.refused, [(worker("a"), Code::Corrupt)]);
    cluster.workers.remove(&worker("a"));
    cluster.hold_reduce = false;
    cluster.join("d");
    // Whose line broke a moment ago may come back with the state.
    cluster.pass(Duration::from_secs(9), &["c", "d"]);
    cluster.run();
    complete(&cluster, 2, 4);
}

#[test]
fn a_joiner_that_never_proves_the_agreed_state_goes_and_who_serves_it_stays() {
    let mut cluster = lone_holder();
    cluster.workers.insert(
        worker("c"),
        Scripted {
            spoils: 7,
            ..Scripted::default()
        },
    );
    cluster.open("c");
    assert_eq!(cluster.refused, [(worker("c"), Code::ReplicasDisagree)]);
    let again = |n: &&Notice| matches!(n, Notice::SyncAgain { .. });
    assert_eq!(cluster.notices.iter().filter(again).count(), 3);
    cluster.workers.remove(&worker("c"));
    cluster.hold_reduce = false;
    cluster.join("d");
    cluster.run();
    complete(&cluster, 2, 4);
}

#[test]
fn whoever_does_not_prove_its_state_in_time_is_let_go() {
    let mut cluster = lone_holder();
    let a = scripted(&mut cluster, "a");
    (a.state, a.mute) = (a.state + 7, true);
    cluster.join("c");
    assert_eq!(cluster.refused, []);
    cluster.pass(Duration::from_secs(11), &["a", "c"]);
    let gone = |n: &Notice| matches!(n, Notice::Left { worker: w, .. } if w.0 == "a");
    assert!(cluster.notices.iter().any(gone), "{:?}", cluster.notices);
    cluster.workers.remove(&worker("a"));
    cluster.hold_reduce = false;
    cluster.join("d");
    cluster.pass(Duration::from_secs(9), &["c", "d"]);
    cluster.run();
    complete(&cluster, 2, 4);
}

#[test]
fn a_worker_that_begins_nothing_it_is_given_is_let_go() {
    let mut cluster = Cluster::new(options(1, 2, 100), 1, 4);
    cluster.join("a");
    cluster.join("b");
    for _ in 0..100 {
        let Some((identity, id, _)) = scripted(&mut cluster, "a").held.pop_front() else {
            break;
        };
        let skipped = FromWorker::Skipped(Task::Train, vec![id]);
        cluster.say(&worker("a"), identity, skipped);
    }
    let gone = |n: &Notice| matches!(n, Notice::Left { worker: w, .. } if w.0 == "a");
    assert!(cluster.notices.iter().any(gone), "{:?}", cluster.notices);
    cluster.workers.remove(&worker("a"));
    cluster.run();
    complete(&cluster, 1, 4);
}

#[test]
fn a_checkpoint_beyond_the_last_rewind_is_gone_on_from_with_a_line_in_the_ledger() {
    let from = Restorable {
        step: Step(6),
        source: SyncSource::Checkpoint("/c/6".into()),
        state_digest: Some("6".into()),
    };
    let remembered = Remembered {
        committed: Step(3),
        ..Remembered::default()
    };
    let schedule = Box::new(Fixed {
        steps: 8,
        micro_batches: 4,
        every: None,
    });
    let mut engine = Engine::new(options(1, 1, 100), schedule, from, remembered);
    let commands = engine.on(Event::Tick, Duration::ZERO);
    assert!(matches!(&commands[0], Command::Rewind(rewind) if rewind.step == Step(6)));
}
