//! What may follow what.

use super::*;
use crate::error::Code;
use crate::numerics::LossScale;

fn rewind(step: u64) -> Record {
    Record::Rewind(Rewind {
        step: Step(step),
        state_digest: (step > 0).then(|| format!("state-{step}")),
        reason: "nobody held the state".into(),
        forked: Vec::new(),
    })
}

/// The run goes on from a step, and what came after it is void.
fn fork(step: u64) -> Record {
    let Record::Rewind(rewind) = rewind(step) else {
        panic!("no rewind");
    };
    Record::Rewind(Rewind {
        forked: vec!["one".into(), "two".into()],
        ..rewind
    })
}

fn refused(records: &[Record]) -> (usize, Code) {
    let (line, error) = read(&lines(records)).unwrap_err();
    (line, error.code)
}

#[test]
fn the_state_is_what_the_lines_say() {
    let plan = plan();
    let mut records = run_to(&plan, 4, 2);
    records.push(Record::Checkpoint(Checkpoint {
        step: Step(4),
        folder: "checkpoint-4".into(),
        state_digest: "state-4".into(),
        ..Checkpoint::default()
    }));
    records.push(term(2));
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!((state.term(), state.committed), (Term(2), Step(4)));
    assert_eq!(state.state_digest.as_deref(), Some("state-4"));
    assert_eq!(state.leader.as_ref().unwrap().address, "127.0.0.1:7400");
    assert_eq!(state.members.as_ref().unwrap().workers.len(), 2);
    assert_eq!(state.checkpoint.as_ref().unwrap().step, Step(4));
    assert_eq!(state.agrees(Step(3), "state-3"), Some(true));
    assert_eq!(state.agrees(Step(3), "state-4"), Some(false));
    assert_eq!(state.agrees(Step(5), "state-5"), None);
    assert_eq!(state.line_of(Step(1)), Some(4));
    assert!(state.complete.is_none());
}

#[test]
fn a_ledger_begins_with_its_run_and_has_one() {
    let plan = plan();
    assert_eq!(refused(&[term(1)]), (1, Code::LedgerContradiction));
    let run = Record::Run(run_of(&plan));
    assert_eq!(refused(&[run.clone(), run]), (2, Code::LedgerContradiction));
}

#[test]
fn a_gap_a_repeat_and_a_step_past_the_end_are_refused() {
    let plan = plan();
    let next = |step| {
        let mut records = run_to(&plan, 3, 1);
        records.push(Record::Commit(commit(&plan, step, 1)));
        records
    };
    assert!(read(&lines(&next(4))).is_ok());
    assert_eq!(refused(&next(5)), (7, Code::LedgerContradiction));
    assert_eq!(refused(&next(3)), (7, Code::LedgerContradiction));
    let mut over = run_to(&plan, 6, 1);
    over.push(Record::Commit(commit(&plan, 7, 1)));
    assert_eq!(refused(&over), (10, Code::LedgerContradiction));
}

#[test]
fn a_replay_that_comes_out_the_same_is_accepted() {
    let plan = plan();
    let mut records = run_to(&plan, 5, 2);
    records.push(rewind(2));
    // Other workers, the same samples and the same state.
    records.extend((3..=6).map(|step| Record::Commit(commit(&plan, step, 3))));
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!((state.committed, state.highest()), (Step(6), Step(6)));
    assert_eq!((state.rewinds, state.replayed), (1, 3));
}

#[test]
fn a_replay_with_another_state_or_other_samples_is_refused() {
    let plan = plan();
    let replayed = |change: &dyn Fn(&mut Commit)| {
        let mut records = run_to(&plan, 5, 2);
        records.push(rewind(0));
        let mut first = commit(&plan, 1, 2);
        change(&mut first);
        records.push(Record::Commit(first));
        records
    };
    assert!(read(&lines(&replayed(&|_| {}))).is_ok());
    let state = replayed(&|commit| commit.state_digest = "another".into());
    assert_eq!(refused(&state), (10, Code::ReplayDiffers));
    let samples = replayed(&|commit| commit.micro_batches[1].samples.reverse());
    assert_eq!(refused(&samples), (10, Code::ReplayDiffers));
}

#[test]
fn a_refused_record_changes_nothing_and_the_right_one_may_still_come() {
    let plan = plan();
    let mut book = read(&lines(&run_to(&plan, 2, 1))).unwrap();
    let before = book.clone();
    assert!(book.seal(&Record::Commit(commit(&plan, 4, 1))).is_err());
    assert_eq!(book, before);
    let right = Record::Commit(commit(&plan, 3, 1));
    let sealed = book.seal(&right).unwrap();
    book.accept(&right, &sealed).unwrap();
    assert_eq!(book.state().unwrap().committed, Step(3));
}

#[test]
fn a_run_goes_on_only_from_a_state_that_it_committed() {
    let plan = plan();
    let after = |record: Record| {
        let mut records = run_to(&plan, 3, 1);
        records.push(record);
        records
    };
    assert!(read(&lines(&after(rewind(3)))).is_ok());
    assert_eq!(refused(&after(rewind(4))), (7, Code::LedgerContradiction));
    let other = Record::Rewind(Rewind {
        step: Step(2),
        state_digest: Some("state-1".into()),
        ..Rewind::default()
    });
    assert_eq!(refused(&after(other)), (7, Code::LedgerContradiction));
}

#[test]
fn terms_grow_and_only_the_leader_commits() {
    let plan = plan();
    let mut records = run_to(&plan, 3, 1);
    records.push(term(1));
    assert_eq!(refused(&records), (7, Code::LedgerContradiction));
    records.pop();
    records.push(term(2));
    records.push(Record::Commit(commit(&plan, 4, 1)));
    assert_eq!(refused(&records), (8, Code::LedgerContradiction));
}

#[test]
fn a_run_ends_after_its_last_step_and_never_goes_on() {
    let plan = plan();
    let end = Record::Complete(Complete {
        step: Step(6),
        adapter_sha256: "sha".into(),
    });
    let mut early = run_to(&plan, 5, 1);
    early.push(end.clone());
    assert_eq!(refused(&early), (9, Code::LedgerContradiction));
    let mut records = run_to(&plan, 6, 1);
    records.push(end);
    assert!(
        read(&lines(&records))
            .unwrap()
            .state()
            .unwrap()
            .complete
            .is_some()
    );
    records.push(rewind(3));
    assert_eq!(refused(&records), (11, Code::LedgerContradiction));
}

/// A run in fp16 whose third step overflowed.
fn scaled(plan: &Plan) -> Vec<Record> {
    let mut scale = LossScale::new(2);
    let mut records = run_to(plan, 5, 1);
    for record in &mut records {
        if let Record::Commit(commit) = record {
            commit.skipped = commit.step.0 >= 3;
            commit.loss_scale = Some(scale);
            scale = scale.after(commit.skipped);
        }
    }
    records
}

#[test]
fn the_loss_scale_goes_by_its_rule() {
    let plan = plan();
    let records = scaled(&plan);
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    // At scale 2 a smaller one could help, at 1 none is there.
    let skipped = [(Step(3), false), (Step(4), true), (Step(5), true)];
    assert_eq!(state.skipped, skipped.into());
    for other in [None, Some(LossScale::new(2))] {
        let mut records = scaled(&plan);
        let Some(Record::Commit(commit)) = records.last_mut() else {
            panic!("no commit");
        };
        commit.loss_scale = other;
        assert_eq!(refused(&records), (8, Code::LedgerContradiction));
    }
    let mut records = scaled(&plan);
    records.push(rewind(0));
    records.extend(scaled(&plan).into_iter().skip(3));
    assert!(read(&lines(&records)).is_ok());
}

#[test]
fn without_a_loss_scale_every_skipped_step_is_not_finite() {
    let plan = plan();
    let mut records = run_to(&plan, 2, 1);
    if let Some(Record::Commit(commit)) = records.last_mut() {
        commit.skipped = true;
    }
    let written = String::from_utf8(lines(&records).concat()).unwrap();
    assert!(!written.contains("loss_scale"));
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!(state.skipped, [(Step(2), true)].into());
}

/// A step as another device class would compute it.
fn differing(plan: &Plan, step: u64) -> Record {
    let mut commit = commit(plan, step, 2);
    commit.state_digest = format!("other-state-{step}");
    Record::Commit(commit)
}

#[test]
fn after_a_fork_what_came_out_before_is_void_and_a_differing_replay_follows() {
    let plan = plan();
    let mut records = run_to(&plan, 5, 2);
    records.push(Record::Checkpoint(Checkpoint {
        step: Step(4),
        folder: "checkpoint-4".into(),
        state_digest: "state-4".into(),
        ..Checkpoint::default()
    }));
    records.push(fork(2));
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!((state.committed, state.highest()), (Step(2), Step(2)));
    assert_eq!((state.forks, state.rewinds), (1, 1));
    assert_eq!(state.checkpoint, None, "no checkpoint of a void step");
    records.extend((3..=6).map(|step| differing(&plan, step)));
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!(state.agrees(Step(3), "other-state-3"), Some(true));
    assert_eq!(state.agrees(Step(2), "state-2"), Some(true));
    // From here on the fork's own steps have to come out again.
    records.push(rewind(2));
    records.push(Record::Commit(commit(&plan, 3, 2)));
    assert_eq!(refused(&records).1, Code::ReplayDiffers);
}

fn checkpoint(step: u64) -> Record {
    Record::Checkpoint(Checkpoint {
        step: Step(step),
        folder: format!("checkpoint-{step}"),
        state_digest: format!("state-{step}"),
        ..Checkpoint::default()
    })
}

fn set_aside(step: u64) -> Record {
    let folder = format!("checkpoint-{step}.damaged");
    Record::Checkpoint(Checkpoint::set_aside(
        Step(step),
        folder,
        String::new(),
        "E0702 torn\n  at a file",
    ))
}

#[test]
fn the_ledger_says_which_checkpoint_was_set_aside_when_and_whether_it_came_again() {
    let mut records = run_to(&plan(), 4, 2);
    records.extend([checkpoint(2), set_aside(2)]);
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert_eq!(state.checkpoint, None);
    let aside = state.set_aside[&Step(2)].clone();
    assert_eq!((aside.after, aside.line), (Step(4), records.len() as u64));
    assert_eq!(aside.folder, "checkpoint-2.damaged");
    assert_eq!(aside.reason, "E0702 torn, at a file");
    assert!(!aside.written_again);
    let report = audited(&records, plan()).unwrap();
    assert_eq!(report.set_aside, [aside]);
    let text = report.to_text();
    assert!(
        text.contains("2, found after step 4 (line 9): E0702 torn, at a file"),
        "{text}"
    );
    // The same step comes again, and a newer one goes.
    records.extend([rewind(1), term(2)]);
    for step in 2..=4 {
        records.push(Record::Commit(Commit {
            term: Term(2),
            ..commit(&plan(), step, 1)
        }));
    }
    records.extend([checkpoint(2), checkpoint(4), set_aside(2)]);
    let state = read(&lines(&records[..records.len() - 1])).unwrap();
    assert!(state.state().unwrap().set_aside[&Step(2)].written_again);
    let state = read(&lines(&records)).unwrap().into_state().unwrap();
    assert!(!state.set_aside[&Step(2)].written_again);
    assert_eq!(state.checkpoint.unwrap().step, Step(4));
    // Of a step that a fork made void too, or of none.
    records.push(set_aside(9));
    read(&lines(&records)).unwrap();
}

#[test]
fn a_line_without_forks_and_classes_is_written_as_before() {
    let plan = plan();
    let mut records = run_to(&plan, 2, 1);
    records.extend([checkpoint(2), rewind(1)]);
    let written = String::from_utf8(lines(&records).concat()).unwrap();
    for field in ["forked", "incarnations", "device_classes", "set_aside"] {
        assert!(!written.contains(field), "{field}");
    }
}
