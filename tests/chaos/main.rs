//! The byte matrix: workers x faults, real processes, one adapter.
//!
//! Each cell is a run of its own with one fault on purpose. It prints where the fault struck, how
//! many credited micro-batches were lost with their worker, and the digests of the adapter and of
//! the ledger's sample column: one value each in the whole table.
//! Beside it `edges`: faults that need a scene of their own, each with its own reference.
//! `make test` runs the short form, `make chaos` (`CHAOS=full`) all of it; `CHAOS=part of a name` those cells.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cell;
mod edges;
mod faults;

use std::sync::{Mutex, PoisonError};

use cell::{Cell, Reference};
use edges::EDGES;
use faults::{FAULTS, Fault, SHORT};

/// One run after the other: their deadlines are meant for a machine that is theirs.
static ALONE: Mutex<()> = Mutex::new(());

fn chosen() -> String {
    std::env::var("CHAOS").unwrap_or_default()
}

#[test]
fn every_fault_at_every_number_of_workers_gives_the_same_bytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen = chosen();
    let wanted = |count, fault: &&Fault| match chosen.as_str() {
        "" => SHORT.contains(&(count, fault.name)),
        "full" => true,
        part => fault.name.contains(part),
    };
    let reference = Reference::one();
    println!(
        "reference: adapter {} samples {}",
        reference.adapter, reference.samples
    );
    println!("| workers | fault | struck | lost | adapter | samples | seconds |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let mut wrong = Vec::new();
    for count in 1..=4 {
        let possible = FAULTS.iter().filter(|f| count >= f.least_workers);
        for fault in possible.filter(|f| wanted(count, f)) {
            let cell = Cell::run(count, fault);
            println!("{cell}");
            if let Err(why) = cell.check(reference, fault, count) {
                println!("  WRONG: {why}");
                wrong.push(format!("{count} workers, {}: {why}", fault.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_edge_gives_the_bytes_of_a_run_without_faults() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen = chosen();
    let wanted = |edge: &&edges::Edge| match chosen.as_str() {
        "" => edge.short,
        "full" => true,
        part => edge.name.contains(part),
    };
    println!("| edge | struck | adapter | seconds |");
    println!("| --- | --- | --- | --- |");
    let mut wrong = Vec::new();
    for edge in EDGES.iter().filter(wanted) {
        if let Err(why) = edge.run() {
            println!("| {} | WRONG: {why}", edge.name);
            wrong.push(edge.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
