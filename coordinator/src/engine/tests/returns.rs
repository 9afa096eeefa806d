//! Who comes back and with what: a holder whose line broke, a state that is ahead of the run, what is still due.

use std::time::Duration;

use shared::evaluation::SetSums;
use shared::ids::{RunId, Step};
use shared::wire::message::{Hello, Loaded, Position, SyncSource, Task};

use super::super::{Command, Event, Options, Remembered, Restorable, Stored};
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
    let stored = vec![Stored {
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

/// The process `a` opens a new session, with the state of a step and others that it keeps.
fn comes_back(cluster: &mut Cluster, step: u64, keeps: &[u64]) {
    let retained = || {
        keeps
            .iter()
            .map(|step| (Step(*step), expected_state(*step, MICRO_BATCHES)))
    };
    let scripted = Scripted {
        state: expected_state(step, MICRO_BATCHES),
        step: Step(step),
        retained: retained().collect(),
        ..Scripted::default()
    };
    cluster.workers.insert(worker("a"), scripted);
    let position = Position {
        run: RunId("r".into()),
        worker: worker("a"),
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
        peer_address: "a".into(),
        incarnation: "process of a".into(),
        resume: Some(position),
        ..Cluster::hello()
    };
    let name = worker("a");
    cluster.event(Event::Opened {
        worker: name,
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
    comes_back(&mut cluster, 5, &[4]);
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
    let remembered = Remembered {
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
    comes_back(&mut cluster, 8, &[]);
    assert_eq!(cluster.rewound, [], "{:?}", cluster.notices);
}

#[test]
fn a_state_that_is_ahead_wins_where_the_best_one_comes_with_it() {
    let mut cluster = gone_back_for_the_best();
    comes_back(&mut cluster, 8, &[6]);
    assert_eq!(cluster.rewound, [Step(8)], "{:?}", cluster.notices);
}
