//! Evaluations between commits, through rewinds back and forward.

use super::*;
use crate::error::Code;
use crate::evaluation::SetSums;

fn evaluation(step: u64, loss: i64, stops: bool) -> Record {
    let sums = SetSums {
        loss,
        targets: 7,
        ..SetSums::default()
    };
    Record::Evaluation(Evaluation {
        step: Step(step),
        term: Term(1),
        generation: Generation(1),
        micro_batches: Vec::new(),
        sets: vec![EvaluatedSet::new("validation", &sums)],
        best: None,
        without_improvement: 0,
        stops,
    })
}

fn rewind(step: u64) -> Record {
    Record::Rewind(Rewind {
        step: Step(step),
        state_digest: Some(format!("state-{step}")),
        reason: "nobody held the state".into(),
        forked: Vec::new(),
    })
}

fn end(step: u64) -> Record {
    Record::Complete(Complete {
        step: Step(step),
        adapter_sha256: "sha".into(),
    })
}

/// Six steps at most, an evaluation after each, the fourth of which ends the run.
fn stopped_at_the_fourth() -> Vec<Record> {
    let plan = plan();
    let mut records = run_to(&plan, 0, 1);
    for step in 1..=4 {
        records.push(Record::Commit(commit(&plan, step, 1)));
        records.push(evaluation(step, 10, step == 4));
    }
    records
}

fn code(records: &[Record]) -> Code {
    read(&lines(records)).unwrap_err().1.code
}

fn evaluated(records: &[Record]) -> Option<Step> {
    read(&lines(records)).unwrap().state().unwrap().evaluated
}

#[test]
fn a_state_is_evaluated_once_and_comes_out_the_same_again() {
    let plan = plan();
    let mut records = stopped_at_the_fourth();
    assert_eq!(evaluated(&records), Some(Step(4)));
    records.push(evaluation(4, 10, true));
    assert_eq!(code(&records), Code::LedgerContradiction);
    records.pop();
    records.push(rewind(2));
    assert_eq!(evaluated(&records), Some(Step(2)));
    records.push(Record::Commit(commit(&plan, 3, 1)));
    records.push(evaluation(3, 10, false));
    assert_eq!(evaluated(&records), Some(Step(3)));
    records.pop();
    records.push(evaluation(3, 11, false));
    assert_eq!(code(&records), Code::ReplayDiffers);
}

#[test]
fn a_rewind_forward_brings_the_evaluation_and_the_end_back() {
    let plan = plan();
    let mut records = stopped_at_the_fourth();
    records.push(rewind(2));
    records.push(Record::Commit(commit(&plan, 3, 1)));
    records.push(evaluation(3, 10, false));
    records.push(rewind(4));
    assert_eq!(evaluated(&records), Some(Step(4)));
    let mut goes_on = records.clone();
    goes_on.push(Record::Commit(commit(&plan, 5, 1)));
    assert_eq!(code(&goes_on), Code::LedgerContradiction);
    records.push(end(4));
    assert!(read(&lines(&records)).is_ok());
}
