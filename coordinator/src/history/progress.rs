//! The progress bar on a terminal.
//!
//! In: a record per step and lines about events. Out: step/total, loss, tokens/s, ETA and workers in one line that
//! moves, with events scrolling above it. Exists only when stderr is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::record::StepRecord;

const LINE: &str = "{bar:24} {pos}/{len} {msg} ETA {eta}";

/// The progress bar on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A progress bar over `total` steps, of which `done` are committed already.
    pub(super) fn new(total: u64, done: u64) -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template(LINE) {
            bar.set_style(style);
        }
        bar.set_position(done);
        // The steps before a resume took none of this run's time.
        bar.reset_eta();
        bar.set_message("waiting for the first step");
        Self { bar }
    }

    /// Moves the bar to a committed step and renews its text.
    pub(super) fn step(&self, record: &StepRecord, tokens_per_second: f64) {
        self.bar.set_message(message(record, tokens_per_second));
        self.bar.set_position(record.step.0);
    }

    /// Prints a text above the bar.
    pub(super) fn println(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Removes the bar from the terminal.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn message(record: &StepRecord, tokens_per_second: f64) -> String {
    let many = if record.workers == 1 { "" } else { "s" };
    format!(
        "loss {:.4} · {tokens_per_second:.0} tokens/s · {} worker{many}",
        record.loss, record.workers
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::record;

    #[test]
    fn the_bar_says_loss_speed_and_workers() {
        assert_eq!(
            message(&record(3), 1234.5),
            "loss 1.0000 · 1234 tokens/s · 2 workers"
        );
        let alone = StepRecord {
            workers: 1,
            ..record(3)
        };
        assert_eq!(message(&alone, 0.0), "loss 1.0000 · 0 tokens/s · 1 worker");
    }

    #[test]
    fn the_template_is_understood() {
        assert!(ProgressStyle::with_template(LINE).is_ok());
    }
}
