//! What goes where, word by word.

use std::sync::{Arc, Mutex};

use shared::error::Code;

use super::*;
use crate::history::record::record;

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

/// A whole short run; gives back stdout and stderr.
fn run(format: OutputFormat) -> (String, String) {
    let (out, err) = (Shared::default(), Shared::default());
    let mut reporter = Reporter::to(format, Box::new(out.clone()), Box::new(err.clone()), false);
    reporter.notice("12 rows were cut");
    reporter.listening("127.0.0.1:7400", None);
    reporter.worker_joined("a1", 1);
    reporter.start(4, 2, Step(0));
    reporter.step(&record(1));
    reporter.step(&record(2));
    reporter.step(&StepRecord {
        loss: f64::NAN,
        skipped: true,
        ..record(3)
    });
    reporter.checkpoint(Step(3), Path::new("out/checkpoint-3"));
    let error = Error::new(Code::Evicted, "the worker was silent")
        .why("12 s")
        .fix("look at it");
    reporter.error(&error);
    reporter.complete(Path::new("out"));
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
            "step",
            "step",
            "step",
            "checkpoint",
            "error",
            "complete"
        ]
    );
    assert_eq!(events[0]["address"], "127.0.0.1:7400");
    assert!(events[0].get("token").is_none());
    assert_eq!(
        events[3],
        json!({"event": "step", "step": 2, "epoch": 2.0 / 3.0, "loss": 1.5,
            "grad_norm": 0.5 + 2.0 / 7.0, "learning_rate": 7.5e-5, "num_tokens": 102,
            "skipped": false, "workers": 2})
    );
    assert_eq!(
        (&events[4]["loss"], &events[4]["skipped"]),
        (&Value::Null, &Value::Bool(true))
    );
    assert_eq!(
        events[5],
        json!({"event": "checkpoint", "step": 3, "path": "out/checkpoint-3"})
    );
    assert_eq!(
        (&events[6]["code"], &events[6]["why"][0]),
        (&json!("E0506"), &json!("12 s"))
    );
    assert_eq!(
        (&events[7]["step"], &events[7]["output_dir"]),
        (&json!(4), &json!("out"))
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
    step 3: the update was skipped, a gradient did not fit
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
    let mut reporter = Reporter::to(
        OutputFormat::Json,
        Box::new(out.clone()),
        Box::new(Shared::default()),
        false,
    );
    reporter.listening("h:1", Some("t"));
    assert_eq!(
        out.text(),
        "{\"event\":\"listening\",\"address\":\"h:1\",\"token\":\"t\"}\n"
    );
}

#[test]
fn the_summary_counts_from_the_resume() {
    let mut reporter = Reporter::to(
        OutputFormat::Text,
        Box::new(Shared::default()),
        Box::new(Shared::default()),
        false,
    );
    reporter.start(6, 1, Step(4));
    reporter.step(&record(5));
    let summary = reporter.complete(Path::new("out"));
    assert_eq!(
        (summary.resumed, summary.steps, summary.tokens),
        (4, 1, 105)
    );
}
