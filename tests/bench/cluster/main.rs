//! Measures what faults cost, with the real programs: `make measure WHAT=times|straggler|soak`.
//!
//! Not a test: it prints figures with their method, one line each, and what they were measured on
//! is for the reader to say. Only `soak` also judges: it ends with an error when a promise broke.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "it fails by panicking, and its numbers are small"
)]

mod saving;
mod soak;
mod spread;
mod straggler;
mod times;

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
        other => panic!("{other:?}: name one of times, straggler, saving, soak"),
    }
}
