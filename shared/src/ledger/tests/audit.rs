//! The proof: honest runs pass whoever computed, planted mistakes are found with their line.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::error::Code;
use crate::hex::hex;

#[test]
fn an_honest_run_is_proved_and_reads_well() {
    let plan = plan();
    let mut records = run_to(&plan, 5, 2);
    records.push(term(2));
    records.push(Record::Evicted(Evicted {
        worker: WorkerId("worker-1".into()),
        reason: "silent".into(),
    }));
    records.push(Record::Rewind(Rewind {
        step: Step(3),
        state_digest: None,
        reason: "nobody held the state".into(),
        forked: Vec::new(),
    }));
    let again = Commit {
        term: Term(2),
        ..commit(&plan, 4, 1)
    };
    records.push(Record::Commit(again));
    let mut report = audited(&records, plan).unwrap();
    report.head = "HEAD".into();
    insta::assert_snapshot!(report.to_text(), @r"
    run 1234
      chain          12 lines, none altered
      chain head     HEAD
      steps          1 to 5 of 6, no gap, none twice; the run goes on after step 4
      samples        37 used, lost 0, repeated 0
      epochs         1 whole, each of 21 samples once; one begun, 16 of 21 samples
      micro-batches  19, each credited once and as planned
                     10 by worker-0
                     9 by worker-1
      terms          2
      rewinds        1; steps computed again, all equal: 1
      evictions      1
      checkpoints    none
      adapter        not written yet
    sample column sha256 b12e16073f4ea5217c7dd41358ba97a6b2c1e4ded5238622dcc74ae93b0084ca
    ");
}

#[test]
fn the_sample_column_is_the_text_that_the_header_promises() {
    let plan = plan_with("max_steps: 2\nshuffle: false\n");
    let report = audited(&run_to(&plan, 2, 3), plan).unwrap();
    let text = "1: 0,1,2,3,4,5,6,7\n2: 8,9,10,11,12,13,14,15\n";
    assert_eq!(report.sample_column, hex(&Sha256::digest(text)));
    assert_eq!((report.samples, report.epochs_finished), (16, 0));
}

#[test]
fn a_packed_run_uses_every_row_once_and_not_in_the_padded_micro_batches() {
    let packed = || plan_with("packing: true\n");
    let report = audited(&run_to(&packed(), 6, 2), packed()).unwrap();
    assert_eq!((report.samples, report.epochs_finished), (42, 2));
    let (_, error) = audited(&run_to(&plan(), 6, 2), packed()).unwrap_err();
    assert_eq!(error.code, Code::LedgerContradiction);
    assert!(error.what.contains("other rows than planned"), "{error}");
}

#[test]
fn a_run_that_began_elsewhere_is_proved_from_there_on() {
    let plan = plan();
    let mut records = run_to(&plan, 6, 2);
    records.drain(3..7);
    let Record::Run(run) = &mut records[0] else {
        panic!("no run");
    };
    run.begins_after = Step(4);
    let report = audited(&records, plan).unwrap();
    assert_eq!((report.samples, report.epochs_finished), (13, 1));
}

#[test]
fn a_planted_repeat_is_found_with_its_line() {
    let (plan, mut records) = (plan(), run_to(&plan(), 6, 2));
    // Row 0 of step 2 becomes one that step 1 used.
    let used = commit(&plan, 1, 2).micro_batches[0].samples[0];
    change(&mut records, 2, |c| c.micro_batches[0].samples[0] = used);
    let (line, error) = audited(&records, plan).unwrap_err();
    assert_eq!((line, error.code), (5, Code::LedgerContradiction));
    assert_eq!(
        error.what,
        format!("step 2 uses row {used} a second time in its epoch")
    );
}

#[test]
fn a_micro_batch_that_counts_twice_or_never_is_found_with_its_line() {
    let plant = |plant: &dyn Fn(&mut Vec<Credit>)| {
        let mut records = run_to(&plan(), 6, 2);
        change(&mut records, 4, |c| plant(&mut c.micro_batches));
        let (line, error) = audited(&records, plan()).unwrap_err();
        assert_eq!((line, error.code), (7, Code::LedgerContradiction));
        error.what
    };
    insta::assert_snapshot!(
        [
            plant(&|credits| credits.insert(1, credits[0].clone())),
            plant(&|credits| drop(credits.remove(1))),
            plant(&|credits| drop(credits.pop())),
            plant(&|credits| {
                let last = credits.last().cloned().unwrap();
                let micro_batch = last.micro_batch.next();
                credits.push(Credit { micro_batch, ..last });
            }),
        ]
        .join("\n"), @r"
    micro-batch 0 of step 4 is credited twice
    micro-batch 1 of step 4 is never credited
    micro-batch 3 of step 4 is never credited
    micro-batch 4 of step 4 is credited, but not planned
    ");
}

#[test]
fn rows_in_another_order_and_other_counts_are_found() {
    let plant = |plant: &dyn Fn(&mut Commit)| {
        let mut records = run_to(&plan(), 6, 2);
        change(&mut records, 3, plant);
        let (line, error) = audited(&records, plan()).unwrap_err();
        assert_eq!((line, error.code), (6, Code::LedgerContradiction));
        error.what
    };
    insta::assert_snapshot!(
        [
            plant(&|commit| commit.micro_batches[1].samples.reverse()),
            plant(&|commit| commit.loss_units += 1),
            plant(&|commit| commit.epoch += 1),
            plant(&|commit| commit.micro_batches[1].samples[0] = 21),
        ]
        .join("\n"), @r"
    micro-batch 1 of step 3 used other rows than planned
    step 3 counts other target tokens
    step 3 is in another epoch
    step 3 uses row 21, which is not there
    ");
    let row = plan().step(Step(3)).micro_batches[1].samples[1];
    assert_eq!(
        plant(&|commit| commit.micro_batches[1].samples.truncate(1)),
        format!("an epoch ends with step 3 without having used row {row}")
    );
}

#[test]
fn another_number_of_steps_is_another_run() {
    let records = run_to(&plan(), 6, 2);
    let (line, error) = audited(&records, plan_with("max_steps: 5\n")).unwrap_err();
    assert_eq!((line, error.code), (1, Code::LedgerContradiction));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_sample_column_is_the_same_for_any_number_of_workers_and_any_rewind(
        workers in 1usize..6,
        steps in 1u64..=6,
        back in 0u64..6,
    ) {
        let alone = audited(&run_to(&plan(), steps, 1), plan()).unwrap();
        let mut records = run_to(&plan(), steps, workers);
        let back = back.min(steps);
        records.push(Record::Rewind(Rewind { step: Step(back), ..Rewind::default() }));
        records.extend((back + 1..=steps).map(|s| Record::Commit(commit(&plan(), s, 1))));
        let many = audited(&records, plan()).unwrap();
        prop_assert_eq!(&alone.sample_column, &many.sample_column);
        prop_assert_eq!((alone.samples, alone.epochs_finished), (many.samples, many.epochs_finished));
        prop_assert_eq!(many.replayed, steps - back);
    }
}

#[test]
fn a_fork_is_told_and_what_it_made_void_is_counted_apart() {
    let plan = plan();
    let mut records = run_to(&plan, 5, 2);
    records.push(Record::Rewind(Rewind {
        step: Step(2),
        forked: vec!["one".into(), "two".into()],
        ..Rewind::default()
    }));
    for step in 3..=6 {
        let mut again = commit(&plan, step, 2);
        again.state_digest = format!("other-state-{step}");
        records.push(Record::Commit(again));
    }
    let plain = audited(&run_to(&plan, 6, 2), plan_with("")).unwrap();
    assert!(!plain.to_text().contains("fork"));
    let report = audited(&records, plan).unwrap();
    assert_eq!(report.sample_column, plain.sample_column);
    assert_eq!((report.samples, report.steps), (plain.samples, Step(6)));
    assert_eq!(report.epochs_finished, 2);
    let micro_batches = |report: &Report| report.micro_batches.values().sum::<u64>();
    assert_eq!((report.forks, report.void), (1, 3 + 4 + 4));
    assert_eq!(micro_batches(&report), micro_batches(&plain) + report.void);
    let text = report.to_text();
    assert!(
        text.contains("forks          1; several device classes"),
        "{text}"
    );
    assert!(
        text.contains("11 of them in steps that a fork made void"),
        "{text}"
    );
}
