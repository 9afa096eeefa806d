//! Whole clusters by seed: the shipped engine and the shipped sessions in a simulated world.
//!
//! `make test` runs some thousand clusters, `make simulate` (`SIMULATION_RUNS`) as many as asked.
//! `SIMULATION_SEED=N` runs one and prints what happened.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bugs;
mod carry;
mod invariants;
mod lead;
mod machine;
mod plan;
mod store;
mod strike;
mod world;

use std::collections::BTreeMap;

use bugs::Bug;
use plan::{Kind, Moment};
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

type Struck = BTreeMap<(Kind, Moment), u64>;

/// Runs seeds of one thread; returns what struck, or the first violation.
fn runs(seeds: impl Iterator<Item = u64>) -> Result<Struck, String> {
    let mut struck = Struck::new();
    for seed in seeds {
        let mut world = World::new(seed, None);
        if let Err(violation) = world.run() {
            let tail = world.trace.len().saturating_sub(40);
            let trace = world.trace[tail..].join("\n");
            return Err(format!("{trace}\nseed {seed}: {violation:?}"));
        }
        for fault in world.struck {
            *struck.entry(fault).or_default() += 1;
        }
    }
    Ok(struck)
}

#[test]
fn whatever_happens_the_bytes_are_the_same() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let mut world = World::new(seed.parse().unwrap(), None);
        println!("{:#?}", world.setting);
        let outcome = world.run();
        println!("{}\n{outcome:?}", world.trace.join("\n"));
        assert!(outcome.is_ok());
        return;
    }
    let (count, first) = (
        number("SIMULATION_RUNS", 2000),
        number("SIMULATION_FIRST", 0),
    );
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let parts: Vec<_> = std::thread::scope(|scope| {
        let spawn = |thread: u64| {
            let seeds = (first + thread..first + count).step_by(threads as usize);
            scope.spawn(move || runs(seeds))
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut struck = Struck::new();
    for part in parts {
        match part {
            Ok(part) => part
                .into_iter()
                .for_each(|(k, n)| *struck.entry(k).or_default() += n),
            Err(violation) => panic!("{violation}"),
        }
    }
    print_table(&struck);
    println!(
        "{count} runs, {} faults, 0 violations",
        struck.values().sum::<u64>()
    );
}

fn print_table(struck: &Struck) {
    print!("| fault |");
    for moment in Moment::ALL {
        print!(" {moment:?} |");
    }
    println!();
    for kind in Kind::ALL {
        print!("| {kind:?} |");
        for moment in Moment::ALL {
            print!(" {} |", struck.get(&(*kind, *moment)).unwrap_or(&0));
        }
        println!();
    }
}

#[test]
fn a_seed_is_a_run() {
    let trace = |seed| {
        let mut world = World::new(seed, None);
        let _ = world.run();
        blake3::hash(world.trace.join("\n").as_bytes())
    };
    for seed in 0..20 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    assert_ne!(trace(1), trace(2));
}

#[test]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        let caught = (0..3000).find_map(|seed| {
            let mut world = World::new(seed, Some(*bug));
            let violation = world.run().err()?;
            Some((seed, violation))
        });
        match caught {
            Some((seed, v)) => println!(
                "caught after {} seeds: {} ({}: {})",
                seed + 1,
                bug.words(),
                v.property,
                v.what.chars().take(100).collect::<String>()
            ),
            None => missed.push(bug.words()),
        }
    }
    assert!(missed.is_empty(), "never caught: {missed:#?}");
}
