//! A test that cannot run on this machine says so, and is counted.
//!
//! In: why. Out: a line of the test's output, and a line in `target/skipped`, which `make test` empties
//! first and sums up at its end. Keeps: no test passes by skipping without a trace.

use std::fs::File;
use std::io::Write;

use super::programs::program;

/// Says and counts that the calling test is skipped.
///
/// # Panics
/// When it cannot be counted: a skip that nobody sees is no pass.
pub fn skipped(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    println!("skipped: {test}, because {why}");
    let programs = program("coordinator");
    let target = programs.parent().and_then(|release| release.parent());
    let path = target.unwrap_or(std::path::Path::new(".")).join("skipped");
    let file = File::options().create(true).append(true).open(&path);
    // One write, so that tests that run at once do not mix their lines.
    let line = format!("{test}\t{}\n", why.replace(['\n', '\t'], " "));
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
