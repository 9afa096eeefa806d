//! What the coordinator prints while it runs, for people or for scripts.
//!
//! In: the run's events. Out: with `json` each event as one line on stdout; with `text` nothing on stdout, and on
//! stderr a bar when it is a terminal or one line per logged step, and the last, when it is not. Notices and warnings
//! are on stderr in both. Every line of text is also a `tracing` event of target `report`, for the text log.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use shared::error::{Result, render};
use shared::ids::Step;

use super::event::{EvaluationEvent, EventSink, RunEvent};
use super::json_lines::EventStream;
use super::progress::Progress;
use super::record::StepRecord;

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
    /// The event stream on stdout, with [`OutputFormat::Json`].
    stream: Option<EventStream>,
    err: Box<dyn Write + Send>,
    terminal: bool,
    progress: Option<Progress>,
    logging_steps: u64,
    total_steps: u64,
    /// When the last logged line was written, and the target tokens since then, for the speed.
    window: (Instant, u64),
}

impl Reporter {
    /// A reporter on this process's stdout and stderr.
    #[must_use]
    pub fn new(format: OutputFormat) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let (out, err) = (Box::new(std::io::stdout()), Box::new(std::io::stderr()));
        Self::with_writers(format, out, err, terminal)
    }

    /// A reporter on the given writers; `terminal` says whether a bar may be drawn.
    #[must_use]
    pub fn with_writers(
        format: OutputFormat,
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        terminal: bool,
    ) -> Self {
        Self {
            stream: (format == OutputFormat::Json).then(|| EventStream::new(out)),
            err,
            terminal,
            progress: None,
            logging_steps: 1,
            total_steps: 0,
            window: (Instant::now(), 0),
        }
    }

    /// Begins, on a terminal, the bar. `done` steps are committed already.
    fn start(&mut self, total_steps: u64, logging_steps: u64, done: Step) {
        self.logging_steps = logging_steps.max(1);
        self.total_steps = total_steps;
        self.window = (Instant::now(), 0);
        if self.terminal && self.stream.is_none() {
            self.progress = Some(Progress::new(total_steps, done.0));
        }
    }

    /// Prints a committed step: the bar at every step, a line only at every `logging_steps` and at the last.
    fn step(&mut self, record: &StepRecord) {
        let now = Instant::now();
        self.window.1 += record.num_tokens;
        let speed = per_second(self.window.1, now.duration_since(self.window.0));
        let line = step_line(record, self.total_steps, speed);
        let last = record.step.0 == self.total_steps;
        let logged = last || record.step.0.is_multiple_of(self.logging_steps);
        if let Some(progress) = &self.progress {
            progress.step(record, speed);
            if logged {
                tracing::info!(target: "report", "{line}");
            }
        } else if logged {
            self.text(&line);
        }
        if logged {
            self.window = (now, 0);
        }
    }

    /// Removes the bar, so that others may write to stderr.
    fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    /// A line for people that a script has as an event.
    fn text(&mut self, text: &str) {
        tracing::info!(target: "report", "{text}");
        if self.stream.is_none() {
            self.say(text);
        }
    }

    /// A line for people, whoever reads stdout.
    fn warn(&mut self, text: &str) {
        self.say(text);
        tracing::info!(target: "report", "{text}");
    }

    fn say(&mut self, text: &str) {
        match &self.progress {
            Some(progress) => progress.println(text),
            // A failed write is ignored: without stderr there is no place to report it.
            None => drop(self.err.write_all(format!("{text}\n").as_bytes())),
        }
    }
}

impl EventSink for Reporter {
    fn take(&mut self, event: &RunEvent) -> Result<()> {
        if let Some(stream) = &mut self.stream {
            stream.take(event)?;
        }
        match event {
            RunEvent::Started {
                total_steps,
                step,
                logging_steps,
            } => self.start(*total_steps, *logging_steps, *step),
            RunEvent::Listening { address, .. } => self.text(&format!(
                "listening on {address}; on each machine run: worker join {address}"
            )),
            RunEvent::WorkerJoined { worker, workers } => {
                self.text(&format!("{worker} is ready to work ({workers} now)"));
            }
            RunEvent::Step(step) => self.step(&step.record),
            RunEvent::Evaluation(evaluation) => self.text(&evaluation_line(evaluation)),
            RunEvent::Overfitting { text, .. } => self.warn(text),
            RunEvent::Checkpoint { step, path, .. } => {
                self.text(&format!("checkpoint of step {step}: {path}"));
            }
            RunEvent::Notice(notice) => self.warn(&notice.text),
            RunEvent::Complete(complete) => {
                self.finish();
                let table = complete.summary.table();
                self.text(&format!("complete\n{}", table.trim_end()));
            }
            RunEvent::Error(error) => {
                // For people the end of the process prints it, once.
                self.finish();
                tracing::info!(target: "report", "{}", render(error));
            }
            // What of these concerns people comes as a notice as well.
            RunEvent::Members(_)
            | RunEvent::Evicted(_)
            | RunEvent::CheckpointSetAside(_)
            | RunEvent::Rewind(_) => {}
        }
        Ok(())
    }
}

/// One line in the order of torchtitan's log.
fn step_line(record: &StepRecord, total: u64, speed: f64) -> String {
    format!(
        "step {}/{total}  loss {:.4}  grad_norm {:.4}  lr {:.4e}  {speed:.0} tokens/s  workers {}",
        record.step, record.loss, record.grad_norm, record.learning_rate, record.workers
    )
}

fn evaluation_line(evaluation: &EvaluationEvent) -> String {
    let entry = &evaluation.entry;
    let parent = entry.eval_parent_loss;
    let parent = parent.map_or_else(String::new, |loss| format!("  parent's rows {loss:.4}"));
    let is_best = evaluation.best_step == Some(Step(entry.step));
    format!(
        "evaluation at step {}  loss {:.4}  perplexity {:.3}  accuracy {:.3}  training rows {:.4}{parent}{}",
        entry.step,
        entry.eval_loss,
        entry.eval_perplexity,
        entry.eval_accuracy,
        entry.eval_train_sample_loss,
        if is_best { "  (best so far)" } else { "" }
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
