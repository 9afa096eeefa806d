//! Who comes back and with what: a holder whose line broke, a state that is ahead of the run, what is still due.

use std::time::Duration;

use shared::error::Code;
use shared::evaluation::SetSums;
use shared::ids::{Identity, RunId, Step};
use shared::ledger::Parts;
use shared::wire::message::{FromWorker, Hello, Loaded, Position, SyncSource, Task};

use super::super::{
    Command, Engine, Event, Notice, Options, Remembered, Restorable, StoredCheckpoint,
};
use super::cluster::{Cluster, Fixed, Scripted, expected_state, options, worker};
use super::stories::complete;

const SECOND: Duration = Duration::from_secs(1);
const MICRO_BATCHES: u32 = 4;

fn state(step: u64) -> String {
    expected_state(step, MICRO_BATCHES).to_string()
}

/// A run that comes back with one checkpoint on storage.
fn from_checkpoint(step: u64, options: Options, run: Fixed, remembered: Remembered) -> Cluster {
    let folder = format!("/c/{step}");
    let from = Restorable {
        step: Step(step),
        source: SyncSource::Checkpoint(folder.clone()),
        state_digest: Some(state(step)),
    };
    let stored = vec![StoredCheckpoint {
        step: Step(step),
        folder,
        state_digest: state(step),
    }];
    let remembered = Remembered {
        stored,
        ..remembered
    };
    Cluster::with(options, Box::new(run), from, remembered)
}

/// A process opens a new session, with the state of a step and others that it keeps.
fn comes_back(cluster: &mut Cluster, name: &str, step: u64, keeps: &[u64]) {
    let keeps = keeps
        .iter()
        .map(|step| (*step, expected_state(*step, MICRO_BATCHES)));
    let keeps: Vec<_> = keeps.collect();
    comes_back_with(cluster, (name, name), step, &keeps);
}

/// The process of one session opens another.
fn comes_back_with(
    cluster: &mut Cluster,
    (process, name): (&str, &str),
    step: u64,
    keeps: &[(u64, u64)],
) {
    let retained = || keeps.iter().map(|(step, state)| (Step(*step), *state));
    let scripted = Scripted {
        state: expected_state(step, MICRO_BATCHES),
        step: Step(step),
        retained: retained().collect(),
        ..Scripted::default()
    };
    cluster.workers.insert(worker(name), scripted);
    let position = Position {
        run: RunId("r".into()),
        worker: worker(name),
        step: Step(step),
        state_digest: state(step),
        task: Task::Train,
        credited: [].into(),
        shadow_digest: String::new(),
        loaded: Some(Loaded::default()),
        retained: retained()
            .map(|(step, state)| (step, state.to_string()))
            .collect(),
    };
    let hello = Hello {
        peer_address: name.into(),
        incarnation: format!("process of {process}"),
        resume: Some(position),
        ..Cluster::hello()
    };
    cluster.event(Event::Opened {
        worker: worker(name),
        hello,
    });
}

#[test]
fn a_holder_whose_line_broke_is_awaited_before_anything_is_rolled_back() {
    let mut cluster = Cluster::new(options(1, 1, 100), 2, MICRO_BATCHES);
    cluster.join("a");
    for _ in 0..MICRO_BATCHES {
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    assert_eq!(cluster.commits.len(), 1);
    cluster.leave("a");
    cluster.join("b");
    cluster.pass(SECOND, &["b"]);
    assert_eq!(cluster.rewound, [], "it may come back with step 1");
    cluster.pass(60 * SECOND, &["b"]);
    assert_eq!(cluster.rewound, [Step(0)]);
    cluster.run();
    complete(&cluster, 2, MICRO_BATCHES);
}

/// Step 4 was being written when the coordinator ended; meanwhile step 5 was committed.
#[test]
fn what_was_due_before_a_restart_is_due_after_it() {
    let remembered = Remembered {
        committed: Step(5),
        digests: (3..=5).map(|step| (Step(step), state(step))).collect(),
        awaited: ["process of a".to_owned()].into(),
        ..Remembered::default()
    };
    let run = Fixed {
        steps: 7,
        micro_batches: MICRO_BATCHES,
        every: None,
    };
    let mut cluster = from_checkpoint(2, options(1, 1, 2), run, remembered);
    comes_back(&mut cluster, "a", 5, &[4]);
    cluster.pass(SECOND, &["a"]);
    assert_eq!(cluster.published, [Step(4)]);
    cluster.run();
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
    assert_eq!(cluster.published, [Step(4), Step(6), Step(7)]);
    assert_eq!(cluster.end, Some(Command::Complete(Step(7))));
}

/// The run went back from step 8 to 3, for the best state, that of step 6, was lost.
fn gone_back_for_the_best() -> Cluster {
    let sums = |loss| {
        let mut sums = SetSums::default();
        sums.add(&[loss], &[false]);
        vec![sums]
    };
    let mut parts = Parts::default();
    parts.took(&["another".to_owned()].into(), Step(8));
    let remembered = Remembered {
        parts,
        committed: Step(3),
        digests: (4..=8).map(|step| (Step(step), state(step))).collect(),
        evaluations: [(Step(3), sums(2.0)), (Step(6), sums(1.0))].into(),
        evaluated: Some(Step(3)),
        ..Remembered::default()
    };
    let run = Fixed {
        steps: 9,
        micro_batches: MICRO_BATCHES,
        every: Some(3),
    };
    let options = Options {
        best_is_the_result: true,
        ..options(1, 1, 100)
    };
    from_checkpoint(3, options, run, remembered)
}

#[test]
fn a_state_that_is_ahead_of_a_lost_best_one_moves_nothing() {
    let mut cluster = gone_back_for_the_best();
    comes_back(&mut cluster, "a", 8, &[]);
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
}

#[test]
fn a_state_that_is_ahead_wins_where_the_best_one_comes_with_it() {
    let mut cluster = gone_back_for_the_best();
    comes_back(&mut cluster, "a", 8, &[6]);
    assert_eq!(cluster.rewound, [Step(8)], "{:?}", cluster.notices);
}

/// While nobody else was there its numbers counted unseen; the step is not over when others come.
#[test]
fn what_one_worker_computed_alone_is_audited_by_those_who_come_back_in_the_same_step() {
    let options = Options {
        audit_rate: 1.0,
        ..options(1, 1, 100)
    };
    let mut cluster = Cluster::new(options, 1, MICRO_BATCHES);
    cluster.join("a");
    cluster.workers.get_mut(&worker("a")).unwrap().wrong = 1;
    cluster.compute(&worker("a"));
    comes_back(&mut cluster, "b", 0, &[]);
    comes_back(&mut cluster, "c", 0, &[]);
    assert_eq!(cluster.refused, []);
    for _ in 0..MICRO_BATCHES {
        cluster.compute(&worker("b"));
        cluster.compute(&worker("c"));
    }
    assert_eq!(cluster.refused, [(worker("a"), Code::WrongCompute)]);
    cluster.workers.remove(&worker("a"));
    cluster.run();
    complete(&cluster, 1, MICRO_BATCHES);
}

/// Its side of the line broke while the last state was being written.
#[test]
fn the_only_holder_comes_back_at_the_end_and_its_state_is_the_result() {
    let mut cluster = Cluster::new(options(1, 1, 100), 1, MICRO_BATCHES);
    cluster.hold_writing = true;
    cluster.join("a");
    cluster.run();
    assert_eq!((cluster.commits.len(), cluster.writers.len()), (1, 1));
    cluster.hold_writing = false;
    let state = expected_state(1, MICRO_BATCHES);
    comes_back_with(&mut cluster, ("a", "again"), 1, &[(1, state)]);
    cluster.pass(SECOND, &["again"]);
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
    complete(&cluster, 1, MICRO_BATCHES);
}

/// The coordinator waits for two, and the one that is back wants to leave.
#[test]
fn who_leaves_while_others_are_awaited_takes_nothing_along() {
    let remembered = Remembered {
        committed: Step(5),
        digests: (3..=5).map(|step| (Step(step), state(step))).collect(),
        awaited: ["process of a".to_owned(), "process of b".to_owned()].into(),
        ..Remembered::default()
    };
    let run = Fixed {
        steps: 7,
        micro_batches: MICRO_BATCHES,
        every: None,
    };
    let mut cluster = from_checkpoint(2, options(1, 1, 100), run, remembered);
    comes_back(&mut cluster, "a", 5, &[]);
    let leaving = FromWorker::Leaving {
        reason: "drained".into(),
        drains: true,
    };
    cluster.say(&worker("a"), Identity::default(), leaving);
    cluster.pass(120 * SECOND, &["a"]);
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
    assert_eq!(cluster.published, [Step(5)]);
    assert_eq!(cluster.released, [worker("a")]);
}

/// The best state, owed since before the newest checkpoint, lies before where this run's own storage begins.
#[test]
fn storage_is_not_asked_for_what_the_workers_bring() {
    let mut cluster = gone_back_for_the_best();
    let from = Restorable {
        step: Step(7),
        source: SyncSource::Checkpoint("/c/7".into()),
        state_digest: Some(state(7)),
    };
    let sums = |loss| {
        let mut sums = SetSums::default();
        sums.add(&[loss], &[false]);
        vec![sums]
    };
    let remembered = Remembered {
        begins_after: Step(2),
        committed: Step(8),
        digests: (3..=8).map(|step| (Step(step), state(step))).collect(),
        evaluations: [(Step(3), sums(1.0)), (Step(6), sums(2.0))].into(),
        evaluated: Some(Step(6)),
        awaited: ["process of a".to_owned()].into(),
        ..Remembered::default()
    };
    let schedule = Box::new(Fixed {
        steps: 9,
        micro_batches: MICRO_BATCHES,
        every: Some(3),
    });
    let options = Options {
        best_is_the_result: true,
        ..options(1, 1, 100)
    };
    cluster.engine = Engine::new(options, schedule, from, remembered);
    comes_back(&mut cluster, "a", 8, &[3]);
    assert_eq!(
        (cluster.end.as_ref(), &cluster.refused[..]),
        (None, &[][..])
    );
    cluster.pass(SECOND, &["a"]);
    assert_eq!(cluster.published, [Step(3)]);
}

/// Step 4 was due and is held by nobody any more; the state that would make it good cannot be written either.
#[test]
fn storage_that_never_heals_ends_the_run_also_where_what_was_due_is_gone() {
    let remembered = Remembered {
        committed: Step(5),
        digests: (3..=5).map(|step| (Step(step), state(step))).collect(),
        awaited: ["process of a".to_owned()].into(),
        ..Remembered::default()
    };
    let run = Fixed {
        steps: 5,
        micro_batches: MICRO_BATCHES,
        every: None,
    };
    let mut cluster = from_checkpoint(2, options(1, 1, 2), run, remembered);
    cluster.cannot_write = true;
    comes_back(&mut cluster, "a", 5, &[]);
    cluster.pass(90 * SECOND, &["a"]);
    let failed = |c: &Command| matches!(c, Command::Fail(e) if e.code == Code::Unwritable);
    assert!(
        cluster.end.as_ref().is_some_and(failed),
        "{:?}",
        cluster.notices
    );
}

/// Step 4 of a course that the run leaves is not the step 4 of the other one.
#[test]
fn what_is_kept_of_a_void_course_is_let_go() {
    let mut cluster = gone_back_for_the_best();
    comes_back(&mut cluster, "a", 8, &[4]);
    let kept = |cluster: &Cluster| {
        let member = cluster.engine.members.get(&worker("a")).unwrap();
        member.retains.clone()
    };
    assert_eq!(kept(&cluster), [Step(4)].into());
    for _ in 0..MICRO_BATCHES {
        cluster.workers.get_mut(&worker("a")).unwrap().wrong = 1;
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    let forked = |n: &Notice| matches!(n, Notice::Forked { .. });
    assert!(cluster.notices.iter().any(forked), "{:?}", cluster.notices);
    assert_eq!(kept(&cluster), [].into());
}

/// The step in work goes on without it: there is no room for more.
#[test]
fn who_comes_back_in_a_step_that_goes_on_without_it_holds_the_state() {
    let options = Options {
        max_workers: 1,
        ..options(1, 1, 100)
    };
    let mut cluster = Cluster::new(options, 2, MICRO_BATCHES);
    cluster.join("a");
    for _ in 0..MICRO_BATCHES {
        cluster.compute(&worker("a"));
    }
    cluster.reduce();
    assert_eq!(cluster.commits.len(), 1);
    comes_back(&mut cluster, "c", 1, &[]);
    let asked = |cluster: &Cluster| cluster.workers[&worker("c")].asked.clone();
    assert_eq!(asked(&cluster), Identity::default(), "it has the state");
    cluster.leave("a");
    cluster.run();
    assert_eq!(asked(&cluster), Identity::default());
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
    complete(&cluster, 2, MICRO_BATCHES);
}
