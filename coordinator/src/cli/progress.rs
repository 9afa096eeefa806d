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
    let mut bar: Option<ProgressBar> = None;
    move |Progress { done, total }| {
        if done == total {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if began.elapsed() < SHORT {
            return;
        }
        if std::io::stderr().is_terminal() {
            let bar = bar.get_or_insert_with(|| new_bar(total as u64));
            bar.set_position(done as u64);
        } else if said.elapsed() >= LINE {
            said = Instant::now();
            let rate = done as f64 / began.elapsed().as_secs_f64();
            anstream::eprintln!("prepared {done} of {total} samples, {rate:.0} samples/s");
        }
    }
}

fn new_bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} samples  {per_sec}  {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}
