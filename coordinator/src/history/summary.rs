//! The table at the end of a run.
//!
//! In: the reporter's counts. Out: aligned lines for people. Steps, tokens and losses are those of this process; time
//! runs from its announcement of the run.

use std::path::PathBuf;
use std::time::Duration;

use super::record::StepRecord;

/// What this process has counted of the run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps committed by this process.
    pub steps: u64,
    /// The step that this process resumed from, 0 for a new run.
    pub resumed: u64,
    /// Epochs done after the newest step, in fractions.
    pub epoch: f64,
    /// Loss of this process's first step that was not skipped.
    pub first_loss: Option<f64>,
    /// Loss of this process's last step that was not skipped.
    pub last_loss: Option<f64>,
    /// Target tokens of the steps of this process, skipped ones included.
    pub tokens: u64,
    /// Number of steps whose update was skipped.
    pub skipped: u64,
    /// Largest number of workers that contributed to one step.
    pub workers: usize,
    /// Number of checkpoints that this process published.
    pub checkpoints: u64,
    /// Time from the run's announcement to its end, waiting for workers included.
    pub time: Duration,
    /// The output folder, which the table calls `adapter`.
    pub output_dir: PathBuf,
}

impl Summary {
    /// Counts a committed step.
    pub fn count(&mut self, record: &StepRecord) {
        self.steps += 1;
        self.epoch = record.epoch;
        if !record.skipped {
            self.first_loss.get_or_insert(record.loss);
            self.last_loss = Some(record.loss);
        }
        self.tokens += record.num_tokens;
        self.skipped += u64::from(record.skipped);
        self.workers = self.workers.max(record.workers);
    }

    /// Target tokens per second, `tokens / time`; 0 without time.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 {
            self.tokens as f64 / seconds
        } else {
            0.0
        }
    }

    /// The table as text, one figure a line, names padded to one width.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![("adapter", self.output_dir.display().to_string())];
        let steps = match self.resumed {
            0 => format!("{}", self.total_steps),
            from => format!(
                "{} ({} of them after the resume at {from})",
                self.total_steps, self.steps
            ),
        };
        rows.push(("steps", steps));
        rows.push(("epochs", format!("{:.2}", self.epoch)));
        if let (Some(first), Some(last)) = (self.first_loss, self.last_loss) {
            rows.push(("loss", format!("{first:.4} -> {last:.4}")));
        }
        rows.push(("target tokens", format!("{}", self.tokens)));
        rows.push(("time", clock(self.time)));
        rows.push(("tokens/s", format!("{:.0}", self.tokens_per_second())));
        rows.push(("workers", format!("{}", self.workers)));
        rows.push(("checkpoints", format!("{}", self.checkpoints)));
        if self.skipped > 0 {
            rows.push(("skipped steps", format!("{}", self.skipped)));
        }
        rows.iter()
            .map(|(name, value)| format!("  {name:<14} {value}\n"))
            .collect()
    }
}

/// A time as `1h 02m 03s`, `2m 03s` or `3.4s`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.1}s", time.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h {minutes:02}m {seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::record;

    #[test]
    fn the_table_says_what_happened() {
        let mut summary = Summary {
            total_steps: 6,
            resumed: 4,
            time: Duration::from_millis(62_500),
            output_dir: "output/quickstart".into(),
            checkpoints: 1,
            ..Summary::default()
        };
        summary.count(&record(5));
        summary.count(&StepRecord {
            skipped: true,
            workers: 3,
            ..record(6)
        });
        insta::assert_snapshot!(summary.table(), @r"
          adapter        output/quickstart
          steps          6 (2 of them after the resume at 4)
          epochs         2.00
          loss           0.6000 -> 0.6000
          target tokens  211
          time           1m 02s
          tokens/s       3
          workers        3
          checkpoints    1
          skipped steps  1
        ");
    }

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(clock(Duration::from_millis(3_400)), "3.4s");
        assert_eq!(clock(Duration::from_secs(3_723)), "1h 02m 03s");
    }

    #[test]
    fn a_run_without_a_step_has_no_loss() {
        let table = Summary::default().table();
        assert!(
            !table.contains("loss") && table.contains("tokens/s       0"),
            "{table}"
        );
    }
}
