//! The journal stands where the run stands, whatever lies on storage.

use std::collections::BTreeMap;

use serde_json::json;
use shared::error::Code;
use shared::evaluation::{Course, Prompts, Standing};
use shared::ids::{Generation, Term};
use shared::ledger::Commit;
use shared::text::TextTokenizer;

use super::super::events;
use super::super::history_at_step::HistoryAtStep;
use super::*;
use crate::engine::Committed;
use crate::history::{OutputFormat, StepRecord};

fn config(output_dir: &Path) -> RunConfig {
    let lines =
        "batch_size: 2\nepochs: 5\nlearning_rate: 0.001\nsave_steps: 50\nlogging_steps: 3\n";
    RunConfig {
        output_dir: output_dir.to_path_buf(),
        ..shared::config::testing::config(lines).unwrap()
    }
}

fn quiet() -> Reporter {
    let nowhere = || Box::new(std::io::sink());
    Reporter::with_writers(OutputFormat::Json, nowhere(), nowhere(), false)
}

struct Told {
    folder: tempfile::TempDir,
    journal: Journal,
    plan: Arc<Plan>,
}

impl Told {
    fn new() -> Self {
        Self::after(&[], &[])
    }

    /// Of a run that stands after the last of some steps, and has rewound those that lie `ahead`.
    fn after(commits: &[Commit], ahead: &[Commit]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let config = Arc::new(config(folder.path()));
        let plan = Arc::new(Plan::new(&config, vec![1; 8], vec![2; 8]));
        let reporter = quiet();
        let since = LedgerHistory {
            commits,
            ahead,
            evaluations: &BTreeMap::new(),
            course: &Course::default(),
            sets: &[],
        };
        let said = [RunEvent::notice("before the run")];
        let journal = Journal::open(config, plan.clone(), reporter, Step(0), None, &since, &said);
        Self {
            folder,
            journal: journal.unwrap(),
            plan,
        }
    }

    fn commit(&mut self, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            let committed = Committed {
                step: Step(step),
                loss: (step as i64) << 41,
                grad_norm: 1.0 / step as f64,
                bytes_sent: (0..3).map(|w| (worker(w), 100 * step)).collect(),
                ..Committed::default()
            };
            let event = events::step(&committed, &self.plan, CoordinatorTraffic::default());
            self.journal.take(&event).unwrap();
        }
    }

    fn state(&mut self, step: u64) -> String {
        self.journal.trainer_state(Step(step)).unwrap()
    }

    fn rewind(&mut self, step: u64, void: bool) {
        let forked = if void {
            vec!["class".to_owned()]
        } else {
            vec![]
        };
        let rewind = shared::ledger::Rewind {
            step: Step(step),
            forked,
            ..shared::ledger::Rewind::default()
        };
        self.journal.take(&RunEvent::Rewind(rewind)).unwrap();
    }

    fn metrics(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.folder.path().join("metrics.jsonl")).unwrap();
        let step = |line: &str| serde_json::from_str::<StepRecord>(line).unwrap().step.0;
        text.lines().map(step).collect()
    }
}

fn worker(n: u64) -> shared::ids::WorkerId {
    shared::ids::WorkerId(format!("worker-{n}"))
}

#[test]
fn a_state_that_is_written_late_or_twice_is_that_of_its_step() {
    let mut told = Told::new();
    told.commit(1..=7);
    let at_seven = told.state(7);
    told.commit(8..=10);
    // The first writer failed, the second one is asked three steps later.
    assert_eq!(told.state(7), at_seven);
    assert_eq!(told.state(7), at_seven);
    assert!(told.state(5).contains("\"global_step\": 5"));
}

#[test]
fn it_goes_back_and_forward_to_steps_without_a_checkpoint() {
    let mut told = Told::new();
    told.commit(1..=10);
    let at = [told.state(4), told.state(8), told.state(10)];
    told.rewind(4, false);
    assert_eq!(told.journal.newest(), Step(4));
    assert_eq!(told.metrics(), [1, 2, 3, 4]);
    assert_eq!(told.state(4), at[0]);
    // A holder of step 8 comes back after all.
    told.rewind(8, false);
    assert_eq!(told.metrics(), (1..=8).collect::<Vec<_>>());
    assert_eq!(told.state(8), at[1]);
    told.commit(9..=10);
    assert_eq!(told.metrics(), (1..=10).collect::<Vec<_>>());
    assert_eq!(told.state(10), at[2]);
}

/// The coordinator was started again behind a rewind, and then a holder of step 6 came back.
#[test]
fn it_goes_forward_to_what_was_rewound_before_it_was_opened() {
    let commits = |steps: std::ops::RangeInclusive<u64>| {
        let commit = |step| Commit {
            step: Step(step),
            loss: (step as i64) << 41,
            grad_norm_bits: (1.0 / step as f64).to_bits(),
            ..Commit::default()
        };
        steps.map(commit).collect::<Vec<_>>()
    };
    let mut told = Told::after(&commits(1..=4), &commits(5..=6));
    assert_eq!(
        (told.journal.newest(), told.metrics()),
        (Step(4), vec![1, 2, 3, 4])
    );
    told.rewind(6, false);
    assert_eq!(told.metrics(), (1..=6).collect::<Vec<_>>());
    let mut undisturbed = Told::after(&commits(1..=6), &[]);
    assert_eq!(told.state(6), undisturbed.state(6));
}

#[test]
fn what_a_fork_made_void_is_forgotten() {
    let mut told = Told::new();
    told.commit(1..=6);
    told.rewind(2, true);
    assert_eq!(told.journal.history.at_steps.steps(Step(2), Step(6)), []);
    told.commit(3..=4);
    assert_eq!(told.metrics(), [1, 2, 3, 4]);
}

#[test]
fn a_full_disk_or_a_checkpoint_that_is_gone_ends_no_run() {
    let mut told = Told::new();
    told.commit(1..=6);
    // Neither of the two files can be opened anew.
    let (logs, kept) = (
        told.folder.path().join("logs"),
        told.folder.path().join("kept"),
    );
    std::fs::rename(&logs, &kept).unwrap();
    std::fs::write(&logs, "").unwrap();
    let metrics = told.folder.path().join("metrics.jsonl");
    std::fs::remove_file(&metrics).unwrap();
    std::fs::create_dir(&metrics).unwrap();
    told.rewind(3, false);
    told.commit(4..=5);
    std::fs::remove_file(&logs).unwrap();
    std::fs::remove_dir(&metrics).unwrap();
    told.commit(6..=7);
    assert_eq!(told.metrics(), [4, 5, 6, 7]);
    assert!(std::fs::read_dir(&logs).unwrap().count() > 0);
    // A step of which nothing is known: its checkpoint is gone.
    let state = told.journal.history.trainer_state.clone();
    told.journal.history.at_steps = HistoryAtStep::new(state.clone(), state);
    told.rewind(3, false);
    assert_eq!(told.journal.newest(), Step(3));
    told.commit(4..=4);
}

#[test]
fn who_sent_how_much_is_one_number_a_worker() {
    let mut told = Told::new();
    told.commit(1..=2);
    let lines = std::fs::read_to_string(told.folder.path().join("logs/cluster.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let sent = json!({"worker-0": 200, "worker-1": 200, "worker-2": 200});
    assert_eq!(line["bytes_sent"], sent);
    assert!(line.get("peer_bytes_sent").is_none());
}

#[test]
fn the_summary_counts_from_the_resume_and_ends_where_the_run_ends() {
    let commits = (1..=2).map(|step| Commit {
        step: Step(step),
        loss: 1 << 41,
        ..Commit::default()
    });
    let mut told = Told::after(&commits.collect::<Vec<_>>(), &[]);
    told.commit(3..=5);
    let checkpoint = RunEvent::Checkpoint {
        step: Step(4),
        path: "checkpoint-4".into(),
        state_digest: String::new(),
    };
    told.journal.take(&checkpoint).unwrap();
    // Patience is over before the plan is.
    let traffic = CoordinatorTraffic::default();
    let RunEvent::Complete(complete) = told.journal.completion(Step(5), "sha".into(), traffic)
    else {
        panic!("the end of a run");
    };
    let summary = &complete.summary;
    let counted = (
        summary.resumed,
        summary.steps,
        summary.total_steps,
        summary.checkpoints,
    );
    assert_eq!(counted, (2, 3, 5, 1));
    assert_eq!(
        (complete.num_tokens, complete.loss),
        (summary.tokens, summary.last_loss)
    );
    assert!(summary.tokens > 0 && complete.loss.is_some());
}

/// The file has what was said before there was a run, and the error that ended it; the stream has them of others.
#[test]
fn the_log_of_events_has_its_beginning_and_its_end() {
    let mut told = Told::new();
    told.commit(1..=1);
    let error = Error::new(Code::WorkerFailed, "nobody is left");
    told.journal.log(&RunEvent::Error(error));
    let lines = std::fs::read_to_string(told.folder.path().join("logs/cluster.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["notice", "started", "step", "error"]);
    assert_eq!(lines[0]["text"], "before the run");
    assert_eq!(lines[3]["what"], "nobody is left");
}

/// A ledger that another coordinator has taken, or whose disk is full at the end.
#[derive(Default)]
struct Refusing {
    appended: bool,
}

impl crate::store::Store for Refusing {
    fn state(&self) -> Option<&shared::ledger::State> {
        None
    }

    fn replay(&self, _: &mut dyn FnMut(&shared::ledger::Record)) -> Result<()> {
        Ok(())
    }

    fn append(&mut self, _: &shared::ledger::Record) -> Result<()> {
        if self.appended {
            return Ok(());
        }
        Err(Error::new(Code::Locked, "another process leads this run"))
    }

    fn sync(&mut self) -> Result<()> {
        Err(Error::new(Code::LedgerUnwritable, "the disk is full"))
    }

    fn synced(&self) -> Box<dyn FnOnce() -> Result<()> + Send> {
        Box::new(|| Ok(()))
    }
}

#[test]
fn nobody_hears_of_what_the_ledger_does_not_have() {
    let mut told = Told::new();
    told.commit(1..=2);
    let heard = |told: &Told| {
        let log = told.folder.path().join("logs/cluster.jsonl");
        (told.metrics(), std::fs::read_to_string(log).unwrap())
    };
    let before = heard(&told);
    let taken = &mut Recorder::new(Box::new(Refusing::default()));
    let committed = Committed {
        step: Step(3),
        ..Committed::default()
    };
    let step = events::step(&committed, &told.plan, CoordinatorTraffic::default());
    let refused = told.journal.happened(taken, &step).unwrap_err();
    assert_eq!(refused.code, Code::Locked);
    assert_eq!(heard(&told), before);
    // The end is the end only when all of the ledger is on the disk.
    let full = &mut Recorder::new(Box::new(Refusing { appended: true }));
    let traffic = CoordinatorTraffic::default();
    let complete = told.journal.completion(Step(2), "sha".into(), traffic);
    let refused = told.journal.completed(full, &complete).unwrap_err();
    assert_eq!(refused.code, Code::LedgerUnwritable);
    assert_eq!(heard(&told), before);
}

#[test]
fn the_answers_of_an_evaluation_are_written_before_its_ledger_line() {
    let mut told = Told::new();
    told.commit(1..=2);
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tiny-law"));
    let tokenizer = TextTokenizer::load(model).unwrap();
    let output = told.folder.path();
    let answers = Answers::open(output, &[], Prompts::default(), tokenizer).unwrap();
    let page = answers.page();
    told.journal.keep_answers(answers);
    let log = told.folder.path().join("logs/cluster.jsonl");
    let before = std::fs::read_to_string(&log).unwrap();
    let taken = &mut Recorder::new(Box::new(Refusing::default()));
    let evaluated = Evaluated {
        step: Step(2),
        term: Term(1),
        generation: Generation(1),
        sums: Vec::new(),
        answers: Vec::new(),
        standing: Standing {
            best: None,
            without_improvement: 0,
            stops: false,
        },
        credits: BTreeMap::new(),
        compute_us: BTreeMap::new(),
        wall_us: 0,
    };
    let refused = told.journal.evaluated(taken, &evaluated, &[]).unwrap_err();
    assert_eq!(refused.code, Code::Locked);
    assert!(page.is_file());
    assert_eq!(std::fs::read_to_string(&log).unwrap(), before);
}
