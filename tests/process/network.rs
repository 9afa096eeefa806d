//! Bad networks: resets, silence in one direction or both, slow lines, links that go away.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::time::Duration;

use cluster_tests::{Finished, Network, Proxy, Run, Worker, skipped};

const LINES: &[(&str, &str)] = &[
    ("max_steps", "40"),
    ("save_steps", "1000"),
    ("failure_detection", "1.5"),
    ("ride_through", "20"),
];

fn undisturbed() -> String {
    let folder = tempfile::tempdir().unwrap();
    let finished = Finished::local(folder.path(), LINES, 1);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    finished.adapter()
}

/// Three workers, the last of them behind a line of its own; `spoil` is called at step 3.
fn behind_a_line(folder: &Path, spoil: impl FnOnce(&mut Run, &Proxy)) -> Finished {
    let config = Run::config(folder, LINES);
    let mut run = Run::start(folder, &config, &["--wait-workers", "3"]);
    let line = Proxy::to(&run.address);
    let mut workers: Vec<Worker> = (0..2).map(|_| run.worker(&["--threads", "1"])).collect();
    workers.push(run.worker_at(&line.address(), &["--threads", "1"], ""));
    run.told("3 worker(s)");
    for _ in 0..3 {
        run.event("step");
    }
    spoil(&mut run, &line);
    let finished = run.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    drop(workers);
    finished
}

#[test]
fn a_line_that_is_cut_silent_or_slow_changes_no_byte() {
    let expected = undisturbed();
    let check = |name: &str, said: &str, spoil: &dyn Fn(&mut Run, &Proxy)| {
        let folder = tempfile::tempdir().unwrap();
        let finished = behind_a_line(folder.path(), spoil);
        println!("{name}: {}", finished.adapter());
        assert!(
            finished.stderr.contains(said),
            "{name}: {}",
            finished.stderr
        );
        assert_eq!(finished.adapter(), expected, "{name}");
    };
    check("reset", "is back, as", &|run, line| {
        line.reset();
        run.told("is back, as");
    });
    for (name, up, down) in [
        ("black hole", true, true),
        ("deaf coordinator", true, false),
    ] {
        check(name, "silent for longer than its lease", &|run, line| {
            line.swallow(up, down);
            run.told("silent for longer than its lease");
            line.swallow(false, false);
            line.reset();
        });
    }
    // The coordinator hears the worker, the worker nothing: either its device seems to hang, or it
    // gives the stream up by itself.
    check("deaf worker", "2 worker(s)", &|run, line| {
        line.swallow(false, true);
        run.told("2 worker(s)");
        line.swallow(false, false);
        line.reset();
    });
    check("delay and a slow line", "3 worker(s)", &|_, line| {
        line.delay(Duration::from_millis(30));
        line.speed(200_000);
    });
}

#[test]
fn links_that_go_away_change_no_byte() {
    let network = match Network::new(4) {
        Ok(network) => network,
        Err(why) => {
            skipped(&why);
            return;
        }
    };
    let expected = undisturbed();
    let [lead, one, two, three] = &network.nodes[..] else {
        panic!("four machines");
    };
    let check = |name: &str, spoil: &dyn Fn(&mut Run)| {
        let folder = tempfile::tempdir().unwrap();
        let config = Run::config(folder.path(), LINES);
        let mut run = Run::start_in(lead, folder.path(), &config, &["--wait-workers", "3"]);
        let workers = [one, two, three].map(|n| run.worker_in(n, &["--threads", "1"]));
        run.told("3 worker(s)");
        for _ in 0..3 {
            run.event("step");
        }
        spoil(&mut run);
        let finished = run.finish();
        assert_eq!(finished.code, Some(0), "{name}: {}", finished.stderr);
        println!("{name}: {}", finished.adapter());
        assert_eq!(finished.adapter(), expected, "{name}");
        drop(workers);
    };
    // Who notices first, the worker or the coordinator, is a race; that it goes is not.
    check("link down and up", &|run| {
        three.link("down");
        run.told("2 worker(s)");
        three.link("up");
    });
    check("packets to the coordinator dropped", &|run| {
        three.drop_to(lead);
        run.told("2 worker(s)");
        three.pass_to(lead);
    });
    check("packets from the coordinator dropped", &|run| {
        lead.drop_to(three);
        run.told("2 worker(s)");
        lead.pass_to(three);
    });
    check("packets between two workers dropped", &|run| {
        two.drop_to(three);
        run.told("all-reduce is repeated");
        two.pass_to(three);
    });
}
