//! The state's form, its means and its way through a resume.

use super::*;
use crate::history::record::record;

fn config(logging_steps: u64) -> RunConfig {
    let text = format!(
        "batch_size: 2\nepochs: 5\nlearning_rate: 0.001\nsave_steps: 50\nlogging_steps: {logging_steps}\n"
    );
    shared::config::testing::config(&text).unwrap()
}

fn state(logging_steps: u64) -> TrainerState {
    let config = config(logging_steps);
    TrainerState::new(&config, &Plan::new(&config, vec![1; 5], vec![2; 5]))
}

fn feed(state: &mut TrainerState, steps: std::ops::RangeInclusive<u64>) {
    for step in steps {
        state.record(&record(step)).unwrap();
    }
}

#[test]
fn every_entry_holds_the_mean_since_the_last_one() {
    let mut state = state(4);
    let logged: Vec<_> = (1..=10)
        .filter_map(|s| state.record(&record(s)).unwrap())
        .collect();
    let history: Vec<_> = logged.iter().cloned().map(HistoryEntry::Steps).collect();
    assert_eq!(history, state.log_history);
    assert_eq!(logged.iter().map(|e| e.step).collect::<Vec<_>>(), [4, 8]);
    assert_eq!(
        logged[1].loss,
        (3.0 / 5.0 + 3.0 / 6.0 + 3.0 / 7.0 + 3.0 / 8.0) / 4.0
    );
    let last = record(8);
    assert_eq!(
        (logged[1].grad_norm, logged[1].num_tokens),
        (last.grad_norm, last.num_tokens)
    );
    assert_eq!((state.global_step, state.epoch), (10, 10.0 / 3.0));
}

#[test]
fn a_resume_in_the_middle_of_a_window_writes_the_same_history() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trainer_state.json");
    for stop in 0..=9 {
        let (mut whole, mut first) = (state(4), state(4));
        feed(&mut first, 1..=stop);
        first.save(&file).unwrap();
        let config = config(4);
        let plan = Plan::new(&config, vec![1; 5], vec![2; 5]);
        let mut second = TrainerState::restore(&file, &config, &plan, Step(stop)).unwrap();
        assert_eq!(second, first);
        feed(&mut whole, 1..=9);
        feed(&mut second, stop + 1..=9);
        assert_eq!(second.to_json().unwrap(), whole.to_json().unwrap());
    }
}

#[test]
fn the_number_of_workers_is_nowhere_in_it() {
    let (mut one, mut four) = (state(1), state(1));
    for s in 1..=3 {
        one.record(&record(s)).unwrap();
        four.record(&StepRecord {
            workers: 4,
            ..record(s)
        })
        .unwrap();
    }
    assert_eq!(one.to_json().unwrap(), four.to_json().unwrap());
}

#[test]
fn the_loss_of_a_skipped_step_is_left_out_and_the_step_is_counted() {
    let skipped = |step| StepRecord {
        loss: f64::NAN,
        skipped: true,
        loss_scale: Some(1024),
        ..record(step)
    };
    let mut state = state(2);
    state.record(&skipped(1)).unwrap();
    state.record(&record(2)).unwrap();
    state.record(&skipped(3)).unwrap();
    state.record(&skipped(4)).unwrap();
    let json = state.to_json().unwrap();
    let back: TrainerState = serde_json::from_str(&json).unwrap();
    let of = |index: usize| match &back.log_history[index] {
        HistoryEntry::Steps(entry) => (entry.loss, entry.skipped_steps, entry.loss_scale),
        HistoryEntry::Evaluation(_) => panic!("no steps"),
    };
    assert_eq!(of(0), (record(2).loss, 1, None));
    // There is no loss where every step was skipped.
    assert!(json.contains("\"loss\": null"), "{json}");
    assert!(of(1).0.is_nan());
    assert_eq!((of(1).1, of(1).2), (2, Some(1024)));
}

#[test]
fn a_step_out_of_order_or_a_file_of_another_step_is_refused() {
    let mut state = state(1);
    state.record(&record(1)).unwrap();
    assert_eq!(state.record(&record(3)).unwrap_err().code, Code::Internal);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trainer_state.json");
    state.save(&file).unwrap();
    let config = config(1);
    let plan = Plan::new(&config, vec![1; 5], vec![2; 5]);
    let restore = |step| TrainerState::restore(&file, &config, &plan, Step(step)).map(drop);
    assert_eq!(restore(2).unwrap_err().code, Code::NoCheckpoint);
    assert!(restore(1).is_ok());
    std::fs::write(&file, "{").unwrap();
    assert_eq!(restore(1).unwrap_err().code, Code::NoCheckpoint);
}

#[test]
fn the_file_has_the_keys_of_transformers_and_no_other() {
    let mut state = state(1);
    state.record(&record(1)).unwrap();
    insta::assert_snapshot!(state.to_json().unwrap());
}
