//! How far the preparation of data is: a bar on a terminal, a line now and then elsewhere.
//!
//! Keeps: on stderr only, and nothing at all for work that is done at once.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::data::Progress;

/// Between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// Shorter work shows nothing.
const SHORT: Duration = Duration::from_secs(1);

/// Takes the word of the preparation and shows it to people.
pub fn shown() -> impl FnMut(Progress) {
    let began = Instant::now();
    let mut said = began;
    let mut continued = false;
    let mut bar: Option<ProgressBar> = None;
    move |progress| {
        if progress.resumed > 0 && !continued {
            continued = true;
            let done = progress.resumed;
            anstream::eprintln!("an interrupted preparation goes on after sample {done}");
        }
        if progress.done {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            if began.elapsed() >= SHORT {
                anstream::eprintln!("{}", last_line(progress, began.elapsed()));
            }
            return;
        }
        if began.elapsed() < SHORT {
            return;
        }
        if std::io::stderr().is_terminal() {
            let bar = bar.get_or_insert_with(|| new_bar(progress.total_bytes));
            bar.set_length(progress.total_bytes);
            bar.set_position(progress.bytes);
            bar.set_message(format!(
                "{} rows, {:.0} rows/s",
                progress.samples,
                rate(progress, began.elapsed())
            ));
        } else if said.elapsed() >= LINE {
            said = Instant::now();
            anstream::eprintln!("{}", line(progress, began.elapsed()));
        }
    }
}

/// Rows per second of this start.
fn rate(progress: Progress, time: Duration) -> f64 {
    let samples = progress.samples.saturating_sub(progress.resumed);
    samples as f64 / time.as_secs_f64().max(1e-9)
}

fn line(progress: Progress, time: Duration) -> String {
    let part = progress.bytes as f64 / progress.total_bytes.max(1) as f64;
    let left = time.as_secs_f64() * (1.0 - part) / part.max(1e-9);
    format!(
        "prepared {} rows, {:.0} rows/s, {:.0} % of the files, {left:.0} s left",
        progress.samples,
        rate(progress, time),
        part * 100.0
    )
}

fn last_line(progress: Progress, time: Duration) -> String {
    format!(
        "prepared {} rows in {:.1} s, {:.0} rows/s",
        progress.samples,
        time.as_secs_f64(),
        rate(progress, time)
    )
}

fn new_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent} %  {msg}  {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_the_rows_of_this_start_and_the_bytes_of_the_files() {
        let progress = Progress {
            samples: 300,
            resumed: 100,
            bytes: 50,
            total_bytes: 200,
            done: false,
        };
        let time = Duration::from_secs(10);
        assert_eq!(
            line(progress, time),
            "prepared 300 rows, 20 rows/s, 25 % of the files, 30 s left"
        );
        assert_eq!(
            last_line(progress, time),
            "prepared 300 rows in 10.0 s, 20 rows/s"
        );
    }
}
