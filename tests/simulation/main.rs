//! Whole clusters by seed: the shipped engine and the shipped sessions in a simulated world.
//!
//! `plan` and `sizes` what a seed means · `world` the queue of what happens, `streams` the sessions · `lead` the
//! coordinator, `obey` and `publish` what it does · `machine` a worker, `carry`, `follow` and `reduce` what it does ·
//! `strike` the faults · `ledger`, `store` and `storage` what survives · `invariants` what must hold · `bugs` planted to be caught ·
//! `network` the same over real streams.
//!
//! `make test` runs some thousand clusters, `make simulate` (`SIMULATION_RUNS`) as many as asked.
//! `SIMULATION_SEED=N` runs one and prints what happened, with `SIMULATION_BUG` one of the planted
//! bugs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod bugs;
mod carry;
mod evaluation;
mod follow;
mod invariants;
mod lead;
mod ledger;
mod machine;
mod network;
mod obey;
mod plan;
mod publish;
mod reduce;
mod sizes;
mod storage;
mod store;
mod streams;
mod strike;
mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bugs::Bug;
use invariants::Violation;
use plan::{Kind, Moment};
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// A run counts from so many faults on.
const FAULTS: usize = 3;

/// What struck, and in how many runs that count.
#[derive(Default)]
struct Struck {
    runs: u64,
    faults: BTreeMap<(Kind, Moment), u64>,
}

/// Runs seeds of one thread, until one of any thread fails; returns what struck, or the first violation.
fn runs(seeds: impl Iterator<Item = u64>, failed: &AtomicBool) -> Result<Struck, String> {
    let mut struck = Struck::default();
    for seed in seeds {
        if failed.load(Ordering::Relaxed) {
            break;
        }
        let mut world = World::new(seed, None);
        if let Err(violation) = world.run() {
            failed.store(true, Ordering::Relaxed);
            let tail = world.trace.len().saturating_sub(40);
            let trace = world.trace[tail..].join("\n");
            return Err(format!("{trace}\nseed {seed}: {violation:?}"));
        }
        if world.struck.len() < FAULTS {
            continue;
        }
        struck.runs += 1;
        for fault in world.struck {
            *struck.faults.entry(fault).or_default() += 1;
        }
    }
    Ok(struck)
}

#[test]
fn whatever_happens_the_bytes_are_the_same() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        let bug = std::env::var("SIMULATION_BUG").ok().map(|named| {
            let found = Bug::ALL.iter().find(|b| format!("{b:?}") == named);
            *found.unwrap_or_else(|| panic!("{named} is none of {:?}", Bug::ALL))
        });
        let mut world = World::new(seed.parse().unwrap(), bug);
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
    let failed = AtomicBool::new(false);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let spawn = |thread: u64| {
            let seeds = (first + thread..first + count).step_by(threads as usize);
            let failed = &failed;
            scope.spawn(move || runs(seeds, failed))
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut struck = Struck::default();
    for part in parts {
        match part {
            Ok(part) => {
                struck.runs += part.runs;
                for (fault, n) in part.faults {
                    *struck.faults.entry(fault).or_default() += n;
                }
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    print_table(Kind::ALL, &struck.faults);
    println!(
        "{} runs of {FAULTS} faults or more, {} faults, least of a kind at a moment {}, 0 violations",
        struck.runs,
        struck.faults.values().sum::<u64>(),
        least(&struck.faults)
    );
}

fn least(struck: &BTreeMap<(Kind, Moment), u64>) -> u64 {
    let all = Kind::ALL
        .iter()
        .flat_map(|k| Moment::ALL.iter().map(move |m| (*k, *m)));
    all.map(|fault| struck.get(&fault).copied().unwrap_or(0))
        .min()
        .unwrap_or(0)
}

fn print_table(kinds: &[Kind], struck: &BTreeMap<(Kind, Moment), u64>) {
    print!("| fault |");
    for moment in Moment::ALL {
        print!(" {moment:?} |");
    }
    println!();
    for kind in kinds {
        print!("| {kind:?} |");
        for moment in Moment::ALL {
            print!(" {} |", struck.get(&(*kind, *moment)).unwrap_or(&0));
        }
        println!();
    }
}

/// What the runs above have in them: all that a deadline, a reference or a fault could be blind to.
#[test]
fn many_seeds_have_unlike_devices_long_rows_prompts_and_double_faults() {
    let mut found = [0_u64; 6];
    for seed in 0..300 {
        let setting = World::new(seed, None).setting;
        let counts: Vec<u32> = (1..=setting.planned)
            .map(|step| setting.micro_batches(shared::ids::Step(step)))
            .collect();
        let seen = [
            setting.mixed,
            setting.sizes.is_slow(),
            setting.prompts > 0 && setting.eval_every > 0,
            setting.patience.is_some(),
            counts.iter().any(|count| *count > 50),
            setting.faults.iter().any(|f| f.followed_after.is_some()),
        ];
        for (count, seen) in found.iter_mut().zip(seen) {
            *count += u64::from(seen);
        }
    }
    println!("300 seeds: {found:?} (mixed, slow, prompts, patience, many, double faults)");
    assert!(found.iter().all(|count| *count >= 6), "{found:?}");
}

/// What the runs above have in them: overflows, scales that go down and up, skipped steps without one.
#[test]
fn many_seeds_skip_steps_and_move_the_loss_scale() {
    let mut found = [0_u64; 4];
    for seed in 0..300 {
        let setting = World::new(seed, None).setting;
        let reference = evaluation::reference(&setting);
        let moves = |by: fn(u64, u64) -> bool| reference.scales.windows(2).any(|w| by(w[0], w[1]));
        let seen = [
            setting.scaled,
            moves(|one, next| next * 2 == one),
            moves(|one, next| next == one * 2),
            !setting.scaled && reference.skipped > 0,
        ];
        for (count, seen) in found.iter_mut().zip(seen) {
            *count += u64::from(seen);
        }
    }
    println!("300 seeds: {found:?} (scaled, halved, doubled, skipped without a scale)");
    assert!(found.iter().all(|count| *count >= 10), "{found:?}");
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

/// Seeds tried per bug.
const TRIES: u64 = 6000;

/// The first seed that is clean without the bug and is not with it.
fn caught(bug: Bug) -> Option<(u64, Violation)> {
    (0..TRIES).find_map(|seed| {
        let violation = World::new(seed, Some(bug)).run().err()?;
        let clean = World::new(seed, None).run().is_ok();
        clean.then_some((seed, violation))
    })
}

#[test]
fn every_planted_bug_is_caught() {
    let found: Vec<_> = std::thread::scope(|scope| {
        let spawn = |bug: &Bug| {
            let bug = *bug;
            (bug, scope.spawn(move || caught(bug)))
        };
        let handles: Vec<_> = Bug::ALL.iter().map(spawn).collect();
        handles
            .into_iter()
            .map(|(bug, handle)| (bug, handle.join().unwrap()))
            .collect()
    });
    for (bug, caught) in &found {
        match caught {
            Some((seed, v)) => println!(
                "caught after {} seeds: {} ({}: {})",
                seed + 1,
                bug.words(),
                v.property,
                v.what.chars().take(100).collect::<String>()
            ),
            None => println!("NEVER caught in {TRIES} seeds: {}", bug.words()),
        }
    }
    let missed = found.iter().filter(|(_, caught)| caught.is_none());
    assert_eq!(missed.count(), 0);
}
