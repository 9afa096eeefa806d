//! What goes where, word by word.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shared::error::{Code, Error};
use shared::ids::{Generation, Term, WorkerId};

use super::*;
use crate::engine::Notice;
use crate::history::record::record;
use crate::history::{ClusterLog, CompleteEvent, NoticeEvent, StepEvent, Summary};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn step(record: StepRecord) -> RunEvent {
    RunEvent::Step(Box::new(StepEvent {
        record,
        state_digest: "digest".into(),
        micro_batches: [(WorkerId("a1".into()), 2)].into(),
        recomputed: 0,
        generation: Generation(1),
        term: Term(1),
        compute_us: [(WorkerId("a1".into()), 900)].into(),
        reduce_us: 10,
        apply_us: 20,
        bytes_sent: [(WorkerId("a1".into()), 0)].into(),
        traffic: (100, 200).into(),
        commit: shared::ledger::Commit::default(),
    }))
}

fn complete(summary: Summary) -> RunEvent {
    RunEvent::Complete(Box::new(CompleteEvent {
        step: Step(4),
        loss: summary.last_loss,
        output_dir: "out".into(),
        num_tokens: summary.tokens,
        seconds: 2.0,
        tokens_per_second: 153.0,
        adapter_sha256: "sha".into(),
        traffic: (100, 200).into(),
        summary,
    }))
}

/// A short run's events.
fn events() -> Vec<RunEvent> {
    let mut summary = Summary {
        total_steps: 4,
        output_dir: "out".into(),
        checkpoints: 1,
        ..Summary::default()
    };
    let skipped = StepRecord {
        loss: f64::NAN,
        skipped: true,
        ..record(3)
    };
    let records = [record(1), record(2), skipped];
    records.iter().for_each(|record| summary.count(record));
    let error = Error::new(Code::Evicted, "the worker was silent")
        .why("12 s")
        .fix("look at it");
    let mut events = vec![
        RunEvent::notice("12 rows were cut"),
        RunEvent::Listening {
            address: "127.0.0.1:7400".into(),
            token: None,
        },
        RunEvent::WorkerJoined {
            worker: WorkerId("a1".into()),
            workers: 1,
        },
        RunEvent::Started {
            total_steps: 4,
            step: Step(0),
            logging_steps: 2,
        },
    ];
    events.extend(records.into_iter().map(step));
    events.extend([
        RunEvent::Evicted(shared::ledger::Evicted {
            worker: WorkerId("a1".into()),
            reason: "a1 evicted: silent".into(),
        }),
        RunEvent::Checkpoint {
            step: Step(3),
            path: "out/checkpoint-3".into(),
            state_digest: "digest".into(),
        },
        RunEvent::Error(error),
        complete(summary),
    ]);
    events
}

/// Reports a whole short run; gives back stdout and stderr.
fn run(format: OutputFormat) -> (String, String) {
    let (out, err) = (Shared::default(), Shared::default());
    let mut reporter =
        Reporter::with_writers(format, Box::new(out.clone()), Box::new(err.clone()), false);
    for event in events() {
        reporter.take(&event).unwrap();
    }
    (out.text(), err.text())
}

#[test]
fn with_json_every_line_on_stdout_is_one_object_with_its_event() {
    let (out, err) = run(OutputFormat::Json);
    let all = out.lines().map(|l| serde_json::from_str(l).unwrap());
    let (notices, events): (Vec<Value>, Vec<Value>) =
        all.partition(|e: &Value| e["event"] == "notice");
    assert_eq!(notices[0]["text"], "12 rows were cut");
    let names: Vec<_> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "listening",
            "worker_joined",
            "started",
            "step",
            "step",
            "step",
            "evicted",
            "checkpoint",
            "error",
            "complete"
        ]
    );
    assert_eq!(events[0]["address"], "127.0.0.1:7400");
    assert!(events[0].get("token").is_none());
    assert_eq!(
        events[4],
        json!({"event": "step", "step": 2, "epoch": 2.0 / 3.0, "loss": 1.5,
            "grad_norm": 0.5 + 2.0 / 7.0, "learning_rate": 7.5e-5, "num_tokens": 102,
            "skipped": false, "workers": 2, "state_digest": "digest", "micro_batches": {"a1": 2},
            "recomputed": 0, "generation": 1, "term": 1, "compute_us": {"a1": 900},
            "reduce_us": 10, "apply_us": 20, "bytes_sent": {"a1": 0},
            "coordinator_bytes_received": 100, "coordinator_bytes_sent": 200})
    );
    assert_eq!(
        (&events[5]["loss"], &events[5]["skipped"]),
        (&Value::Null, &Value::Bool(true))
    );
    assert_eq!(
        events[7],
        json!({"event": "checkpoint", "step": 3, "path": "out/checkpoint-3", "state_digest": "digest"})
    );
    assert_eq!(
        (&events[8]["code"], &events[8]["why"][0]),
        (&json!("E0506"), &json!("12 s"))
    );
    assert_eq!(
        (
            &events[9]["step"],
            &events[9]["output_dir"],
            &events[9]["loss"]
        ),
        (&json!(4), &json!("out"), &json!(1.5))
    );
    // People still learn what scripts do not wait for; of the failure, by whoever ends the process.
    assert!(err.starts_with("12 rows were cut\n"), "{err}");
    assert!(!err.contains("E0506"), "{err}");
    assert!(!err.contains("tokens/s"), "{err}");
}

#[test]
fn in_text_mode_stdout_stays_empty_and_logged_steps_are_lines() {
    let (out, err) = run(OutputFormat::Text);
    assert_eq!(out, "");
    let speed = regex_free_speed(&err);
    insta::assert_snapshot!(speed, @r"
    12 rows were cut
    listening on 127.0.0.1:7400; on each machine run: worker join 127.0.0.1:7400
    a1 is ready to work (1 now)
    step 2/4  loss 1.5000  grad_norm 0.7857  lr 7.5000e-5  # tokens/s  workers 2
    checkpoint of step 3: out/checkpoint-3
    complete
      adapter        out
      steps          4
      epochs         1.00
      loss           3.0000 -> 1.5000
      target tokens  306
      time           0.0s
      tokens/s       #
      workers        2
      checkpoints    1
      skipped steps  1
    ");
}

/// Speeds depend on the machine: they become `#`.
fn regex_free_speed(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let at = words.iter().position(|w| *w == "tokens/s");
        lines.push(match at {
            Some(i) if i > 2 && line.starts_with("step") => {
                let mut words = words.clone();
                words[i - 1] = "#";
                words.join(" ")
            }
            Some(_) => "  tokens/s       #".to_owned(),
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}

#[test]
fn a_token_is_told_once_there_is_one() {
    let out = Shared::default();
    let mut reporter = Reporter::with_writers(
        OutputFormat::Json,
        Box::new(out.clone()),
        Box::new(Shared::default()),
        false,
    );
    let listening = RunEvent::Listening {
        address: "h:1".into(),
        token: Some("t".into()),
    };
    reporter.take(&listening).unwrap();
    assert_eq!(
        out.text(),
        "{\"event\":\"listening\",\"address\":\"h:1\",\"token\":\"t\"}\n"
    );
}

/// What a script can tell of a change in the cluster without reading its sentence.
#[test]
fn a_notice_has_its_sentence_its_code_and_what_it_is_about() {
    let notice = |about: Notice, code| {
        let text = about.to_string();
        let about = Some(about);
        let event = RunEvent::Notice(NoticeEvent { text, code, about });
        serde_json::to_value(event).unwrap()
    };
    let worker = WorkerId("a1".into());
    let slow = Notice::Slow {
        worker: worker.clone(),
        own: Duration::from_millis(1500),
        typical: Duration::from_millis(250),
    };
    let slow = notice(slow, None);
    assert_eq!(slow["event"], "notice");
    assert_eq!(
        (&slow["notice"], &slow["worker"]),
        (&json!("slow"), &json!("a1"))
    );
    assert_eq!(
        (&slow["own"], &slow["typical"]),
        (&json!(1.5), &json!(0.25))
    );
    assert!(slow["text"].as_str().unwrap().starts_with("a1 is slow"));
    assert!(slow.get("code").is_none());
    let error = Error::new(Code::Evicted, "gone");
    let failed = notice(Notice::Failed { worker, error }, Some(Code::Evicted));
    assert_eq!(
        (&failed["code"], &failed["error"]["code"]),
        (&json!("E0506"), &json!("E0506"))
    );
}

/// A token goes to whoever started the run, and into no file.
#[test]
fn the_log_of_events_has_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.jsonl");
    let mut log = ClusterLog::open(&path).unwrap();
    let listening = RunEvent::Listening {
        address: "h:1".into(),
        token: Some("secret".into()),
    };
    log.take(&listening).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("h:1") && !text.contains("secret"), "{text}");
}

/// Both forms of JSON are one: whoever reads the stream can read the file.
#[test]
fn the_cluster_log_and_the_stream_have_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.jsonl");
    let mut log = ClusterLog::open(&path).unwrap();
    for event in events() {
        log.take(&event).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        run(OutputFormat::Json).0
    );
}

/// One of each event that a short run does not have.
fn rare_events() -> Vec<RunEvent> {
    let sets = [shared::evaluation::SetSums::default()];
    let entry = crate::history::EvaluationEntry::new(Step(2), 1.0, &[], &sets);
    let alarm = crate::history::Alarm {
        sign: crate::history::Sign::CurvesDiverge,
        step: 4,
        best_step: 2,
        best_loss: 1.0,
        loss: 2.0,
        best_train_loss: 1.0,
        train_loss: 0.5,
        verbatim: 0.0,
    };
    vec![
        RunEvent::Members(shared::ledger::Members {
            incarnations: vec!["a".into()],
            device_classes: vec!["cpu".into()],
            ..shared::ledger::Members::default()
        }),
        RunEvent::Evaluation(Box::new(EvaluationEvent {
            best_step: Some(Step(2)),
            best_loss: Some(1.0),
            stops: false,
            entry: crate::history::EvaluationEntry {
                eval_parent_loss: Some(1.0),
                ..entry
            },
            term: Term(1),
            generation: Generation(1),
            compute_us: [].into(),
            wall_us: 1,
            evaluation: shared::ledger::Evaluation::default(),
        })),
        RunEvent::Overfitting {
            text: alarm.to_string(),
            alarm,
        },
        RunEvent::CheckpointSetAside(shared::ledger::Checkpoint::set_aside(
            Step(2),
            "checkpoint-2.damaged".into(),
            "digest".into(),
            "a bit",
        )),
        RunEvent::Rewind(shared::ledger::Rewind {
            state_digest: Some("digest".into()),
            forked: vec!["cpu".into()],
            ..shared::ledger::Rewind::default()
        }),
        step(StepRecord {
            loss_scale: Some(8),
            skipped_steps: Some(1),
            ..record(3)
        }),
    ]
}

/// A field that the page does not name is a field that nobody can rely on.
#[test]
fn the_reference_names_every_event_and_field() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/events.md");
    let page = std::fs::read_to_string(page).unwrap();
    for event in events().into_iter().chain(rare_events()) {
        let event = serde_json::to_value(event).unwrap();
        let name = event["event"].as_str().unwrap().to_owned();
        let fields = event.as_object().unwrap().keys().cloned();
        for word in fields.chain([name]) {
            assert!(page.contains(&format!("`{word}`")), "{word} of {event}");
        }
    }
}
