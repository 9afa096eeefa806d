//! What many workers cost the coordinator: scripted sessions on real connections, two micro-batches each a step.
//!
//! By the coordinator's own clock in `/proc`: processor time, memory; by the size of its output folder: what it
//! writes. Then 1,000 reconnects of ten workers: no message and no line may be larger after them, digits of
//! counters aside. It also judges, by the bounds below; what is compared was measured in turn, for the machine is
//! shared, and the median of the rounds counts.

use std::collections::BTreeMap;
use std::time::Instant;

use super::led::Led;
use super::scripted::Cast;
use super::spread::Spread;

/// Workers, and steps that are measured with them, in [`WINDOWS`].
const SIZES: &[(usize, u64)] = &[(10, 2000), (100, 600), (400, 100), (1000, 40)];
/// The median of so many is what counts: other processes of the machine take the caches away.
const WINDOWS: u64 = 5;
/// Steps before anything is measured.
const WARM: u64 = 5;
/// All sizes are measured so often, one after the other.
const ROUNDS: usize = 3;
const RECONNECTS: usize = 1000;
const FEW: usize = 10;

/// From 100 to 1,000 workers a worker may cost so many times as much.
const FLAT: f64 = 1.5;
const CPU_A_STEP: f64 = 1.0;
const WRITTEN_A_STEP: f64 = 1e6;
const RESIDENT: u64 = 300 << 20;

pub(crate) fn measure() {
    let limit = shared::limits::raise_open_files();
    let most = SIZES.iter().map(|(n, _)| n + 100).max().unwrap() as u64;
    assert!(
        limit.is_some_and(|l| l.soft > most),
        "RLIMIT_NOFILE: {limit:?}"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let wanted = std::env::var("WORKERS")
        .ok()
        .map(|n| n.parse::<usize>().unwrap());
    let mut costs: BTreeMap<usize, Vec<Cost>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for (n, steps) in SIZES.iter().filter(|(n, _)| wanted.is_none_or(|w| w == *n)) {
            costs.entry(*n).or_default().push(cost(*n, *steps));
        }
    }
    if wanted.is_none_or(|n| n == FEW) {
        reconnects();
    }
    let at = |n: usize| costs.get(&n).map(Vec::as_slice).unwrap_or_default();
    let in_turn = at(1000).iter().zip(at(100));
    let ratios = in_turn.map(|(thousand, hundred)| (thousand.cpu / 1000.0) / (hundred.cpu / 100.0));
    let ratios: Vec<f64> = ratios.collect();
    if !ratios.is_empty() {
        println!("processor time a step and a worker, 1000 against 100, in turn: {ratios:.2?}");
        assert!(Spread::of(ratios).median() <= FLAT, "at most {FLAT}");
    }
    for thousand in at(1000) {
        assert!(thousand.cpu < CPU_A_STEP, "at most {CPU_A_STEP} s a step");
        assert!(
            thousand.written < WRITTEN_A_STEP,
            "at most {WRITTEN_A_STEP} bytes a step"
        );
        assert!(
            thousand.resident < RESIDENT,
            "at most {RESIDENT} bytes resident"
        );
    }
}

/// What a step costs.
struct Cost {
    /// Seconds of processor time.
    cpu: f64,
    written: f64,
    resident: u64,
}

fn cost(workers: usize, steps: u64) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let mut led = Led::start(folder.path(), workers);
    let begun = Instant::now();
    let cast = Cast::join(&led.address, workers);
    led.until(1, &cast);
    let joined = begun.elapsed();
    let after_join = led.resident("VmHWM");
    led.until(WARM, &cast);
    let mut nows = vec![led.now()];
    for window in 1..=WINDOWS {
        led.until(nows[0].step + steps * window / WINDOWS, &cast);
        nows.push(led.now());
    }
    let (before, after) = (&nows[0], &nows[nows.len() - 1]);
    assert!(cast.troubles().is_empty(), "{:?}", cast.troubles());
    let measured = (after.step - before.step) as f64;
    let windows = nows.windows(2);
    let windows = windows.map(|w| (w[1].cpu - w[0].cpu) / (w[1].step - w[0].step) as f64);
    let cpu = Spread::of(windows.map(|seconds| seconds * 1e3));
    let written = (after.written - before.written) as f64 / measured;
    let (received, sent) = led.traffic(before.step, after.step);
    println!(
        "{workers} workers, {measured} steps: processor, ms a step: {cpu}; {:.1} us a step and a worker; \
         wall {:.1} ms a step; written {written:.0} bytes a step; received {received:.0}, sent {sent:.0} \
         bytes a step; resident {} MiB, at most {} MiB ({} MiB when all had joined, {:.1} s, {} sessions tried again)",
        cpu.median() * 1e3 / workers as f64,
        after.at.duration_since(before.at).as_secs_f64() * 1e3 / measured,
        led.resident("VmRSS") >> 20,
        led.resident("VmHWM") >> 20,
        after_join >> 20,
        joined.as_secs_f64(),
        cast.tried_again(),
    );
    Cost {
        cpu: cpu.median() / 1e3,
        written,
        resident: led.resident("VmHWM"),
    }
}

fn reconnects() {
    let folder = tempfile::tempdir().unwrap();
    let mut led = Led::start(folder.path(), FEW);
    let mut cast = Cast::join(&led.address, FEW);
    led.until(WARM, &cast);
    let mut round = |led: &mut Led, times: usize| {
        for time in 0..times {
            cast.reconnect(time % FEW);
        }
        led.skip();
        let step = led.step + WARM;
        led.until(step, &cast);
        let mut texts: BTreeMap<String, String> = cast
            .heard()
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect();
        texts.extend(led.lines());
        assert!(cast.troubles().is_empty(), "{:?}", cast.troubles());
        (texts, led.resident("VmRSS"), led.descriptors())
    };
    let before = round(&mut led, FEW);
    let begun = Instant::now();
    let after = round(&mut led, RECONNECTS);
    println!(
        "{RECONNECTS} reconnects of {FEW} workers in {:.1} s: resident {} KiB before, {} KiB after; descriptors {} \
         and {}",
        begun.elapsed().as_secs_f64(),
        before.1 >> 10,
        after.1 >> 10,
        before.2,
        after.2
    );
    for (name, was) in &before.0 {
        // What is said once at the start is said no more.
        let Some(is) = after.0.get(name) else {
            continue;
        };
        println!(
            "  {name}: {} characters before, {} after; without digits {} and {}",
            was.len(),
            is.len(),
            shape(was).len(),
            shape(is).len()
        );
        assert_eq!(shape(was).len(), shape(is).len(), "{name}\n{was}\n{is}");
    }
    assert_eq!(before.2, after.2, "file descriptors");
}

/// The same text with one digit in the place of each number and each digest.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut number = false;
    for c in text.chars() {
        let digit = c.is_ascii_hexdigit();
        if !(digit && number) {
            shape.push(if digit { '0' } else { c });
        }
        number = digit;
    }
    shape
}
