//! Steps that are skipped, and when they end the run: the same at every number of workers.

use shared::config::{OnNonFinite, StabilityConfig};
use shared::error::{Code, render};
use shared::ids::Step;
use shared::numerics::LossScale;

use super::super::{Command, Engine, Event, Notice, Options, Remembered, Restorable};
use super::cluster::{Cluster, Fixed, Outcome, options};
use shared::wire::message::SyncSource;

fn stable(max_skipped_steps: u32) -> Options {
    Options {
        stability: StabilityConfig {
            max_skipped_steps,
            ..StabilityConfig::default()
        },
        ..options(1, 1, 100)
    }
}

/// Runs 8 steps among 1, 2 and 3 workers: the same steps are committed, and the end is the same.
fn run(options: &Options, outcome: fn(Step) -> Outcome) -> (Vec<(u64, bool)>, Vec<Step>, Command) {
    let one = |workers: &[&str]| {
        let mut cluster = Cluster::new(options.clone(), 8, 4);
        cluster.outcome = outcome;
        for name in workers {
            cluster.join(name);
        }
        cluster.run();
        cluster.event(Event::Tick);
        let of = |c: &super::super::Committed| (c.step.0, c.skipped);
        let commits = cluster.commits.iter().map(of).collect::<Vec<_>>();
        (commits, cluster.published, cluster.end.unwrap())
    };
    let alone = one(&["a"]);
    assert_eq!(one(&["a", "b"]), alone);
    assert_eq!(one(&["a", "b", "c"]), alone);
    alone
}

fn failure(end: &Command) -> String {
    let Command::Fail(error) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.code, Code::NotFinite);
    render(error)
}

#[test]
fn too_many_in_a_row_end_the_run_and_name_the_checkpoint_of_the_good_state() {
    let (commits, published, end) = run(&stable(3), |step| (step.0 >= 3, None));
    let expected = [(1, false), (2, false), (3, true), (4, true), (5, true)];
    assert_eq!(commits, expected);
    assert_eq!(published, [Step(5)]);
    insta::assert_snapshot!(failure(&end), @r"
    E0703 3 steps in a row had values that are not finite
      the last one is step 5; none of them was applied
      `max_skipped_steps` is 3
      the state of step 5 is good, and lies in /c/5
      fix: a new run with --set learning_rate=SMALLER
      fix: or look at the data of these steps
      fix: go on from it: --set parent=/c/5
    ");
}

#[test]
fn a_good_step_in_between_begins_the_count_anew() {
    let (commits, _, end) = run(&stable(3), |step| (step.0 % 3 != 0, None));
    assert_eq!(commits.len(), 8);
    assert_eq!(end, Command::Complete(Step(8)));
}

#[test]
fn an_overflow_that_lowers_the_loss_scale_does_not_count() {
    // From 8 down to 1, and then nothing is left to lower.
    let (commits, _, end) = run(&stable(2), |step| {
        let scale = LossScale::new(16 >> step.0.min(4));
        (true, Some(scale))
    });
    assert_eq!(commits.len(), 5);
    assert!(failure(&end).contains("2 steps in a row"));
}

#[test]
fn a_policy_that_fails_commits_no_such_step() {
    let mut options = stable(3);
    options.stability.on_non_finite = OnNonFinite::Fail;
    let (commits, published, end) = run(&options, |step| (step.0 == 3, None));
    assert_eq!(commits, [(1, false), (2, false)]);
    assert_eq!(published, [Step(2)]);
    insta::assert_snapshot!(failure(&end), @r"
    E0703 step 3: a loss or gradient is not finite or out of range
      `on_non_finite: fail` ends the run before the step is applied
      the state of step 2 is good, and lies in /c/2
      fix: --set on_non_finite=skip leaves such steps out
      fix: a new run with --set learning_rate=SMALLER
      fix: or look at the data of these steps
      fix: go on from it: --set parent=/c/2
    ");
    // What only lowers the loss scale is no failure.
    let (commits, _, end) = run(&options, |step| (step.0 == 3, Some(LossScale::new(2))));
    assert_eq!(commits.len(), 8);
    assert_eq!(end, Command::Complete(Step(8)));
}

#[test]
fn a_run_that_learned_nothing_does_not_end_as_complete() {
    let (commits, published, end) = run(&stable(100), |_| (true, Some(LossScale::new(4))));
    assert_eq!((commits.len(), published), (8, vec![Step(8)]));
    assert!(failure(&end).contains("none of the 8 steps of the run was applied"));
}

#[test]
fn what_was_skipped_before_a_restart_counts() {
    let from = Restorable {
        step: Step(4),
        source: SyncSource::Checkpoint("/c/4".into()),
        state_digest: Some("4".into()),
    };
    // Step 5 is of a future that is gone.
    let skipped = [(Step(3), true), (Step(4), true), (Step(5), true)];
    let remembered = Remembered {
        committed: Step(4),
        skipped: skipped.into(),
        ..Remembered::default()
    };
    let schedule = Box::new(Fixed {
        steps: 8,
        micro_batches: 4,
        every: None,
    });
    let mut cluster = Cluster::new(stable(3), 8, 4);
    cluster.outcome = |step| (step.0 == 5, None);
    cluster.engine = Engine::new(stable(3), schedule, from, remembered);
    cluster.join("a");
    cluster.run();
    cluster.event(Event::Tick);
    assert_eq!(cluster.commits.len(), 1);
    assert!(failure(&cluster.end.unwrap()).contains("3 steps in a row"));
    let last = Notice::Skipped {
        step: Step(5),
        in_a_row: 3,
        most: 3,
    };
    assert!(cluster.notices.contains(&last));
}

/// The coordinator ended between the commit that was too much and the end; or it was started again after it.
#[test]
fn a_run_that_has_failed_fails_after_a_restart_too() {
    let from = Restorable {
        step: Step(4),
        source: SyncSource::Checkpoint("/c/4".into()),
        state_digest: Some("4".into()),
    };
    let skipped = [(Step(2), true), (Step(3), true), (Step(4), true)];
    let remembered = Remembered {
        committed: Step(4),
        skipped: skipped.into(),
        ..Remembered::default()
    };
    for steps in [4, 8] {
        let schedule = Box::new(Fixed {
            steps,
            micro_batches: 4,
            every: None,
        });
        let mut cluster = Cluster::new(stable(3), steps, 4);
        cluster.engine = Engine::new(stable(3), schedule, from.clone(), remembered.clone());
        cluster.join("a");
        cluster.run();
        cluster.event(Event::Tick);
        assert_eq!(cluster.commits.len(), 0);
        assert!(failure(&cluster.end.unwrap()).contains("3 steps in a row"));
    }
}
