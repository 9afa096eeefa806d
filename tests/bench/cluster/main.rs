//! Measures what faults and workers cost, with the real programs: `make measure WHAT=NAME`.
//!
//! Not a test: it prints figures with their method, one line each, and what they were measured on
//! is for the reader to say. `soak` and `workers` also judge: they end with an error when a promise broke.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "it fails by panicking, and its numbers are small"
)]

mod led;
mod saving;
mod scripted;
mod soak;
mod spread;
mod straggler;
mod times;
mod workers;

fn main() {
    // Cargo adds a flag of its own.
    let what: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    match what.first().map(String::as_str) {
        Some("times") => times::measure(),
        Some("straggler") => straggler::measure(),
        Some("saving") => saving::measure(),
        Some("soak") => soak::measure(),
        Some("workers") => workers::measure(),
        other => panic!("{other:?}: name one of times, straggler, saving, soak, workers"),
    }
}
