//! What the coordinator prints while it runs, for people or for scripts.
//!
//! In: the run's events. Out: with `json` one whole object per line on stdout, each with `event`; with `text` nothing
//! on stdout, and on stderr a bar when it is a terminal or one line per logged step, and the last, when it is not.
//! Notices and warnings are on stderr in both. Every line of text is also a `tracing` event of target `report`, for the
//! text log.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::error::{Error, render};
use shared::ids::Step;

use super::evaluation::EvaluationEntry;
use super::progress::Progress;
use super::record::StepRecord;
use super::sentinel::Alarm;
use super::summary::Summary;

/// Who reads stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// Nobody: everything is text for people, on stderr.
    #[default]
    Text,
    /// A script: one JSON object per line.
    Json,
}

/// Prints the run's events to the terminal and to stdout.
pub struct Reporter {
    format: OutputFormat,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    terminal: bool,
    progress: Option<Progress>,
    logging_steps: u64,
    summary: Summary,
    started: Instant,
    /// When the last logged line was written, and the target tokens since then, for the speed.
    window: (Instant, u64),
}

impl Reporter {
    /// A reporter on this process's stdout and stderr.
    #[must_use]
    pub fn new(format: OutputFormat) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (out, err) = (Box::new(std::io::stdout()), Box::new(std::io::stderr()));
        Self::to(format, out, err, terminal)
    }

    /// A reporter on the given writers; `terminal` says whether a bar may be drawn.
    #[must_use]
    pub fn to(
        format: OutputFormat,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        terminal: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            format,
            out,
            err,
            terminal,
            progress: None,
            logging_steps: 1,
            summary: Summary::default(),
            started: now,
            window: (now, 0),
        }
    }

    /// Begins the summary and, on a terminal, the bar. `resumed` is the newest committed step, 0 for a new run.
    pub fn start(&mut self, total_steps: u64, logging_steps: u64, resumed: Step) {
        self.logging_steps = logging_steps.max(1);
        self.summary.total_steps = total_steps;
        self.summary.resumed = resumed.0;
        self.started = Instant::now();
        self.window = (self.started, 0);
        if self.terminal && self.format == OutputFormat::Text {
            self.progress = Some(Progress::new(total_steps, resumed.0));
        }
    }

    /// Reports the address at which workers can join, with a join `token` where there is one.
    pub fn listening(&mut self, address: &str, token: Option<&str>) {
        let mut event = json!({"event": "listening", "address": address});
        if let (Some(token), Some(fields)) = (token, event.as_object_mut()) {
            fields.insert("token".to_owned(), Value::from(token));
        }
        self.event(&event);
        self.text(&format!(
            "listening on {address}; on each machine run: worker join {address}"
        ));
    }

    /// Reports that a worker has loaded the base model, with the number of `workers` that have.
    pub fn worker_joined(&mut self, id: &str, workers: usize) {
        self.event(&json!({"event": "worker_joined", "worker": id, "workers": workers}));
        self.text(&format!("{id} is ready to work ({workers} now)"));
    }

    /// Reports a committed step; a line of text only at every `logging_steps` and at the last.
    pub fn step(&mut self, record: &StepRecord) {
        let now = Instant::now();
        self.summary.count(record);
        self.window.1 += record.num_tokens;
        let speed = per_second(self.window.1, now.duration_since(self.window.0));
        let mut event = json!({
            "event": "step",
            "step": record.step,
            "epoch": record.epoch,
            "loss": record.loss,
            "grad_norm": record.grad_norm,
            "learning_rate": record.learning_rate,
            "num_tokens": record.num_tokens,
            "skipped": record.skipped,
            "workers": record.workers,
        });
        if let (Some(scale), Some(fields)) = (record.loss_scale, event.as_object_mut()) {
            fields.insert("loss_scale".to_owned(), scale.into());
            fields.insert("skipped_steps".to_owned(), record.skipped_steps.into());
        }
        self.event(&event);
        let line = step_line(record, self.summary.total_steps, speed);
        let last = record.step.0 == self.summary.total_steps;
        let logged = last || record.step.0.is_multiple_of(self.logging_steps);
        if let Some(progress) = &self.progress {
            progress.step(record, speed);
            if logged {
                tracing::info!(target: "report", "{line}");
            }
        } else if logged {
            self.text(&line);
        }
        if record.skipped {
            let step = record.step;
            let why = match record.loss_scale {
                Some(scale @ 2..) => format!(
                    "an overflow at loss scale {scale}, which is {} from here",
                    scale / 2
                ),
                _ => "a gradient did not fit".to_owned(),
            };
            self.notice(&format!("step {step}: the update was skipped, {why}"));
        }
        if logged {
            self.window = (now, 0);
        }
    }

    /// Reports an evaluation; `best` is the best step so far, `stops` whether the run ends with it.
    pub fn evaluation(&mut self, entry: &EvaluationEntry, best: Option<Step>, stops: bool) {
        let mut event = json!({"event": "evaluation", "best_step": best, "stops": stops});
        if let (Ok(Value::Object(fields)), Some(event)) =
            (serde_json::to_value(entry), event.as_object_mut())
        {
            event.extend(fields);
        }
        self.event(&event);
        let is_best = best == Some(Step(entry.step));
        let old = entry.eval_parent_loss;
        let old = old.map_or_else(String::new, |loss| format!("  parent's rows {loss:.4}"));
        self.text(&format!(
            "evaluation at step {}  loss {:.4}  perplexity {:.3}  accuracy {:.3}  training rows {:.4}{old}{}",
            entry.step,
            entry.eval_loss,
            entry.eval_perplexity,
            entry.eval_accuracy,
            entry.eval_train_sample_loss,
            if is_best { "  (best so far)" } else { "" }
        ));
    }

    /// Reports an alarm of the sentinel.
    pub fn overfitting(&mut self, alarm: &Alarm) {
        self.event(&json!({
            "event": "overfitting",
            "sign": format!("{:?}", alarm.sign),
            "step": alarm.step,
            "best_step": alarm.best_step,
            "best_loss": alarm.best_loss,
            "loss": alarm.loss,
            "verbatim": alarm.verbatim,
            "text": alarm.to_string(),
        }));
        let text = alarm.to_string();
        self.say(&text);
        tracing::info!(target: "report", "{text}");
    }

    /// Reports a checkpoint that was verified and published.
    pub fn checkpoint(&mut self, step: Step, path: &Path) {
        self.summary.checkpoints += 1;
        let path = path.display().to_string();
        self.event(&json!({"event": "checkpoint", "step": step, "path": path}));
        self.text(&format!("checkpoint of step {step}: {path}"));
    }

    /// Sets the run's last step, which early stopping makes smaller than planned.
    pub fn ends_at(&mut self, step: Step) {
        self.summary.total_steps = step.0;
    }

    /// Reports that the run is complete and prints the summary; returns it.
    pub fn complete(&mut self, output_dir: &Path) -> Summary {
        self.summary.time = self.started.elapsed();
        self.summary.output_dir = output_dir.to_path_buf();
        let summary = self.summary.clone();
        self.event(&json!({
            "event": "complete",
            "step": summary.total_steps,
            "loss": summary.last_loss,
            "output_dir": summary.output_dir.display().to_string(),
            "num_tokens": summary.tokens,
            "seconds": summary.time.as_secs_f64(),
            "tokens_per_second": summary.tokens_per_second(),
        }));
        self.finish();
        self.text(&format!("complete\n{}", summary.table().trim_end()));
        summary
    }

    /// Reports the error that ends the run, to scripts and the text log. For people the end of the process prints it,
    /// once.
    pub fn error(&mut self, error: &Error) {
        self.finish();
        let mut event = json!({"event": "error"});
        if let (Ok(Value::Object(fields)), Some(event)) =
            (serde_json::to_value(error), event.as_object_mut())
        {
            event.extend(fields);
        }
        self.event(&event);
        tracing::info!(target: "report", "{}", render(error));
    }

    /// Reports a line that people should know; on stderr with both formats.
    pub fn notice(&mut self, text: &str) {
        self.event(&json!({"event": "notice", "text": text}));
        self.say(text);
        tracing::info!(target: "report", "{text}");
    }

    /// Removes the bar, so that others may write to stderr.
    pub fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    fn event(&mut self, event: &Value) {
        if self.format == OutputFormat::Json {
            // One write: a reader that follows stdout never sees half an object.
            let written = self
                .out
                .write_all(format!("{event}\n").as_bytes())
                .and_then(|()| self.out.flush());
            if let Err(e) = written {
                tracing::warn!("an event could not be written to stdout: {e}");
            }
        }
    }

    fn text(&mut self, text: &str) {
        tracing::info!(target: "report", "{text}");
        if self.format == OutputFormat::Text {
            self.say(text);
        }
    }

    fn say(&mut self, text: &str) {
        match &self.progress {
            Some(progress) => progress.println(text),
            // A failed write is ignored: without stderr there is no place to report it.
            None => drop(self.err.write_all(format!("{text}\n").as_bytes())),
        }
    }
}

/// One line in the order of torchtitan's log.
fn step_line(record: &StepRecord, total: u64, speed: f64) -> String {
    format!(
        "step {}/{total}  loss {:.4}  grad_norm {:.4}  lr {:.4e}  {speed:.0} tokens/s  workers {}",
        record.step, record.loss, record.grad_norm, record.learning_rate, record.workers
    )
}

fn per_second(tokens: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 {
        tokens as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
