//! The same again with every byte on the wire: the shipped services and streams, gRPC and HTTP/2, on
//! a virtual network (turmoil).
//!
//! `lines` the network under tonic · `leader` and `member` the hosts, `state` what a member holds · `scene` what they share ·
//! `faults` the run and what strikes it. What is simulated is the network, the clock, the device and
//! the storage; what is tested besides the engine and the session are deadlines, keep-alive, half-open
//! streams and the all-reduce between real peer services.

mod faults;
mod leader;
mod lines;
mod member;
mod scene;
mod state;

use std::collections::BTreeMap;

use super::{FAULTS, number};
use crate::plan::{Kind, Moment};
use faults::Run;

#[derive(Default)]
struct Struck {
    runs: u64,
    virtual_seconds: f64,
    faults: BTreeMap<(Kind, Moment), u64>,
}

fn run(seed: u64, into: &mut Struck) -> Result<(), String> {
    let mut run = Run::new(seed);
    if let Err(violation) = run.go() {
        let scene = run.scene.lock();
        let tail = scene.trace.len().saturating_sub(60);
        let trace = scene.trace[tail..].join("\n");
        return Err(format!("{trace}\nseed {seed}: {violation:?}"));
    }
    into.virtual_seconds += run.elapsed().as_secs_f64();
    if run.struck.len() >= FAULTS {
        into.runs += 1;
        for fault in run.struck {
            *into.faults.entry(fault).or_default() += 1;
        }
    }
    Ok(())
}

#[test]
fn whatever_the_network_does_the_bytes_are_the_same() {
    if let Ok(seed) = std::env::var("NETWORK_SEED") {
        let mut run = Run::new(seed.parse().unwrap());
        let outcome = run.go();
        println!("{}\n{outcome:?}", run.scene.lock().trace.join("\n"));
        assert!(outcome.is_ok());
        return;
    }
    let (count, first) = (number("NETWORK_RUNS", 60), number("NETWORK_FIRST", 0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let parts: Vec<_> = std::thread::scope(|scope| {
        let spawn = |thread: u64| {
            scope.spawn(move || {
                let mut struck = Struck::default();
                let mut seeds = (first + thread..first + count).step_by(threads as usize);
                seeds.try_for_each(|seed| run(seed, &mut struck))?;
                Ok::<_, String>(struck)
            })
        };
        let handles: Vec<_> = (0..threads).map(spawn).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut struck = Struck::default();
    for part in parts {
        let part = part.unwrap_or_else(|violation| panic!("{violation}"));
        struck.runs += part.runs;
        struck.virtual_seconds += part.virtual_seconds;
        for (fault, n) in part.faults {
            *struck.faults.entry(fault).or_default() += n;
        }
    }
    super::print_table(faults::KINDS, &struck.faults);
    println!(
        "{count} runs over tonic on a virtual network, {} of them of {FAULTS} faults or more, {} \
         faults, {:.0} virtual seconds, 0 violations",
        struck.runs,
        struck.faults.values().sum::<u64>(),
        struck.virtual_seconds
    );
}
