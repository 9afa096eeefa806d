//! Tests of the whole room: the chain, the rules, the proof.

mod audit;
mod chain;
mod evaluation;
mod rules;

use super::*;
use crate::config;
use crate::error::Error;
use crate::ids::{Generation, MicroBatchId, RunId, Step, Term, WorkerId};
use crate::plan::Plan;

/// 21 samples in steps of 8, 8 and 5, cut into micro-batches of 2, for two epochs.
fn plan() -> Plan {
    plan_with("")
}

fn plan_with(lines: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.yaml");
    let text = "train_data_dir: data\nbase_model: base\noutput_dir: out\nepochs: 2\n\
                batch_size: 2\ngradient_accumulation_steps: 4\nmicro_batch_size: 2\n";
    std::fs::write(&file, format!("{text}{lines}")).unwrap();
    let loaded = config::load(&file, &[], folder.path()).unwrap();
    let targets = (0..21).map(|row| 1 + row % 5).collect();
    Plan::new(&loaded.config, targets, vec![7; 21])
}

fn run_of(plan: &Plan) -> Run {
    Run {
        format: form(false),
        version: "1.2.3".into(),
        run_id: RunId("1234".into()),
        run_identity: "identity".into(),
        identity: [("seed".to_owned(), "42".to_owned())].into(),
        total_steps: plan.total_steps(),
        ..Run::default()
    }
}

fn term(term: u64) -> Record {
    Record::Term(Leader {
        term: Term(term),
        address: "127.0.0.1:7400".into(),
    })
}

/// A step as `workers` workers would do it, one micro-batch each in turn.
fn commit(plan: &Plan, step: u64, workers: usize) -> Commit {
    let planned = plan.step(Step(step));
    let credits = planned.micro_batches.iter().enumerate();
    let credits = credits.map(|(index, micro_batch)| Credit {
        micro_batch: MicroBatchId(index as u32),
        worker: WorkerId(format!("worker-{}", index % workers)),
        fingerprint: u64::MAX - index as u64,
        samples: micro_batch.samples.clone(),
    });
    Commit {
        step: Step(step),
        term: Term(1),
        generation: Generation(1),
        epoch: plan.epoch_of(Step(step)),
        micro_batches: credits.collect(),
        loss_units: planned.loss_units,
        loss: i64::MIN + 7,
        grad_norm_bits: 1.5f64.to_bits(),
        skipped: false,
        loss_scale: None,
        state_digest: format!("state-{step}"),
    }
}

/// A run up to a step.
fn run_to(plan: &Plan, steps: u64, workers: usize) -> Vec<Record> {
    let mut records = vec![
        Record::Run(run_of(plan)),
        term(1),
        Record::Members(Members {
            generation: Generation(1),
            workers: (0..workers)
                .map(|n| WorkerId(format!("worker-{n}")))
                .collect(),
            ..Members::default()
        }),
    ];
    records.extend((1..=steps).map(|step| Record::Commit(commit(plan, step, workers))));
    records
}

/// The lines of these records, whether the rules allow them or not.
fn lines(records: &[Record]) -> Vec<Vec<u8>> {
    let mut chain = Chain::default();
    let mut lines = Vec::new();
    for record in records {
        let sealed = chain.seal(record).unwrap();
        chain.advance(&sealed);
        lines.push(sealed.line);
    }
    lines
}

/// Reads lines into a book; the error comes with its line.
fn read(lines: &[Vec<u8>]) -> Result<Book, (usize, Error)> {
    let mut book = Book::default();
    for (index, line) in lines.iter().enumerate() {
        let line = line.strip_suffix(b"\n").unwrap();
        book.read(line).map_err(|error| (index + 1, error))?;
    }
    Ok(book)
}

/// Reads and audits records; the error comes with its line.
fn audited(records: &[Record], plan: Plan) -> Result<Report, (usize, Error)> {
    let mut book = Book::default();
    let Some(Record::Run(run)) = records.first() else {
        panic!("no run");
    };
    let mut auditor = Auditor::new(run, plan).map_err(|error| (1, error))?;
    for (index, line) in lines(records).iter().enumerate() {
        let line = line.strip_suffix(b"\n").unwrap();
        let seen = book.read(line).and_then(|record| auditor.see(&record));
        seen.map_err(|error| (index + 1, error))?;
    }
    auditor.finish(&book).map_err(|error| (0, error))
}

/// Changes the commit of a step.
fn change(records: &mut [Record], step: u64, change: impl FnOnce(&mut Commit)) {
    let commit = records.iter_mut().find_map(|record| match record {
        Record::Commit(commit) if commit.step == Step(step) => Some(commit),
        _ => None,
    });
    change(commit.unwrap());
}
