//! The byte matrix: workers x faults, real processes, one adapter.
//!
//! Each cell is a run of its own with one fault on purpose. It prints where the fault struck, how
//! many credited micro-batches were lost with their worker, and the digests of the adapter and of
//! the ledger's sample column: one value each in the whole table.
//! `make test` runs the short form, `make chaos` (`CHAOS=full`) all of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cell;
mod faults;

use cell::{Cell, Reference};
use faults::{FAULTS, Fault, SHORT};

#[test]
fn every_fault_at_every_number_of_workers_gives_the_same_bytes() {
    let full = std::env::var("CHAOS").is_ok_and(|v| v == "full");
    let reference = Reference::take();
    println!(
        "reference: adapter {} samples {}",
        reference.adapter, reference.samples
    );
    println!("| workers | fault | struck | lost | adapter | samples | seconds |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let workers = if full { 1..=4 } else { 2..=3 };
    let mut wrong = Vec::new();
    for count in workers {
        let chosen: Vec<&Fault> = FAULTS
            .iter()
            .filter(|f| count >= f.least_workers)
            .filter(|f| full || SHORT.contains(&(count, f.name)))
            .collect();
        for fault in chosen {
            let cell = Cell::run(count, fault);
            println!("{cell}");
            if let Err(why) = cell.check(&reference, fault, count) {
                println!("  WRONG: {why}");
                wrong.push(format!("{count} workers, {}: {why}", fault.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
