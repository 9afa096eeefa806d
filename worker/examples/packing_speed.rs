//! What `packing` brings on rows of uneven length: target tokens per second, packed and unpacked.
//!
//! `packing_speed BASE ROUNDS THREADS [MEDIAN SIGMA]` prints one JSON object. Lengths are
//! log-normal, cut at 512 tokens (`max_seq_length`) and 8; the first third of a row is a question,
//! the rest is learned. 32 samples are a step, four a micro-batch. Each round is one step, computed
//! both ways in turn, from forward to the new adapter; which way goes first alternates.

#![recursion_limit = "256"]

mod common;

use std::path::PathBuf;
use std::time::Instant;

use common::config;
use shared::config::RunConfig;
use shared::dataset::Sample;
use shared::error::{Code, Error, Result};
use shared::ids::Step;
use shared::numerics::{self, AdamW, AdapterState, Update};
use shared::plan::Plan;
use worker::device::{self, DeviceRequest};
use worker::train::{Trainer, collate};

const VOCABULARY: u64 = 8000;
const LONGEST: f64 = 512.0;
const SHORTEST: f64 = 8.0;
const GLOBAL_BATCH: u32 = 32;

struct Row {
    ids: Vec<u32>,
    targets: Vec<u8>,
}

/// One way of computing: its plan and its run so far.
struct Way {
    plan: Plan,
    state: AdapterState,
    seconds: Vec<f64>,
    cpu_seconds: Vec<f64>,
    losses: Vec<f64>,
}

fn main() -> Result<()> {
    device::reexec_with_environment()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, rounds, threads, rest @ ..] = arguments.as_slice() else {
        let what = "packing_speed BASE ROUNDS THREADS [MEDIAN SIGMA]";
        return Err(Error::new(Code::Usage, what));
    };
    let (rounds, threads) = (number(rounds)? as u64, number(threads)? as usize);
    let (median, sigma) = match rest {
        [median, sigma, ..] => (number(median)?, number(sigma)?),
        _ => (128.0, 0.9),
    };
    let device = device::open(DeviceRequest::Cpu, threads)?;
    let base = PathBuf::from(base);
    // One step more: the first warms up and is not counted.
    let rows = rows((rounds + 1) * u64::from(GLOBAL_BATCH), median, sigma);
    let unpacked = RunConfig {
        batch_size: GLOBAL_BATCH,
        micro_batch_size: 4,
        ..config(&base, "f32")?
    };
    let packed = RunConfig {
        packing: true,
        ..unpacked.clone()
    };
    let mut trainer = Trainer::load(&unpacked, &base, device)?;
    let first = trainer.initial_adapter()?;
    let mut ways = [&unpacked, &packed].map(|config| Way {
        plan: plan(config, &rows),
        state: AdapterState::new(first.clone()),
        seconds: Vec::new(),
        cpu_seconds: Vec::new(),
        losses: Vec::new(),
    });
    for step in 1..=rounds + 1 {
        let turns = if step % 2 == 0 { [0, 1] } else { [1, 0] };
        for way in turns {
            ways[way].step(Step(step), &mut trainer, &rows)?;
        }
    }
    println!("{}", report(&ways, &rows, rounds, (median, sigma)));
    Ok(())
}

impl Way {
    fn step(&mut self, step: Step, trainer: &mut Trainer, rows: &[Row]) -> Result<()> {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        trainer.set_adapter(&self.state.params)?;
        let count = self.state.params.len();
        let planned = self.plan.step(step);
        let parts = u32::try_from(planned.micro_batches.len()).unwrap_or(1);
        let (mut gradient, mut integers) = (vec![0f32; count], vec![0i64; count]);
        let (mut total, mut losses, mut loss) = (vec![0i64; count], Vec::new(), 0i64);
        for micro_batch in &planned.micro_batches {
            let samples: Vec<Sample<'_>> = micro_batch
                .samples
                .iter()
                .filter_map(|&row| rows.get(row as usize))
                .map(sample)
                .collect();
            let batch = collate(&samples, micro_batch, step.0, planned.loss_units)?;
            trainer.micro_batch(&batch, &mut gradient, &mut losses)?;
            let _ = numerics::quantize_into(&gradient, parts, &mut integers);
            let _ = numerics::fingerprint(&integers, 0);
            numerics::accumulate(&mut total, &integers);
            loss += numerics::quantize_losses(&losses).0;
        }
        let norm = numerics::grad_norm(&total);
        let mut next = AdapterState::default();
        let update = Update {
            grad_norm: norm,
            max_grad_norm: 1.0,
            learning_rate: 1e-3,
            adamw: AdamW::default(),
            groups: &[],
        };
        numerics::apply(&self.state, &mut next, &total, &update);
        self.state = next;
        self.seconds.push(start.elapsed().as_secs_f64());
        self.cpu_seconds.push(cpu_seconds() - cpu);
        self.losses
            .push(numerics::loss_value(loss, planned.loss_units));
        Ok(())
    }
}

fn plan(config: &RunConfig, rows: &[Row]) -> Plan {
    let targets = rows.iter().map(|row| sample(row).target_tokens());
    let lengths = rows.iter().map(|row| row.ids.len() as u32);
    Plan::new(config, targets.collect(), lengths.collect())
}

fn sample(row: &Row) -> Sample<'_> {
    Sample {
        ids: &row.ids,
        targets: &row.targets,
    }
}

/// Draws of an integer recipe, by index.
fn draw(index: u64) -> u64 {
    let mut x = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Rows whose lengths are log-normal with this median.
fn rows(count: u64, median: f64, sigma: f64) -> Vec<Row> {
    let uniform = |index: u64| (draw(index) >> 11) as f64 / (1u64 << 53) as f64;
    (0..count)
        .map(|row| {
            let (a, b) = (1.0 - uniform(2 * row), uniform(2 * row + 1));
            let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
            let length = (median * (sigma * normal).exp()).clamp(SHORTEST, LONGEST) as u64;
            let ids = (0..length).map(|t| (draw(row * 1_000_003 + t) % VOCABULARY) as u32);
            Row {
                ids: ids.collect(),
                targets: (0..length).map(|t| u8::from(t >= length / 3)).collect(),
            }
        })
        .collect()
}

fn report(
    ways: &[Way; 2],
    rows: &[Row],
    rounds: u64,
    (median, sigma): (f64, f64),
) -> serde_json::Value {
    let counted = || (2..=rounds + 1).map(Step);
    let targets: Vec<f64> = counted()
        .map(|step| ways[0].plan.step(step).loss_units as f64)
        .collect();
    let padding = ways.each_ref().map(|way| {
        let micro_batches = counted().flat_map(|step| way.plan.step(step).micro_batches);
        let (real, computed) = micro_batches.fold((0, 0), |(real, computed), one| {
            (real + one.tokens, computed + one.computed_tokens())
        });
        1.0 - real as f64 / computed as f64
    });
    let rates = ways.each_ref().map(|way| -> Vec<f64> {
        let seconds = way.seconds.iter().skip(1);
        seconds.zip(&targets).map(|(s, t)| t / s).collect()
    });
    let ratios: Vec<f64> = rates[1].iter().zip(&rates[0]).map(|(p, u)| p / u).collect();
    let cpu = ways[0].cpu_seconds.iter().zip(&ways[1].cpu_seconds).skip(1);
    let cpu_ratios: Vec<f64> = cpu.map(|(unpacked, packed)| unpacked / packed).collect();
    let losses = ways[0].losses.iter().zip(&ways[1].losses);
    let differ = losses.map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
    let tokens: usize = rows.iter().map(|row| row.ids.len()).sum();
    serde_json::json!({
        "lengths": { "median": median, "sigma": sigma, "cut": [SHORTEST, LONGEST],
            "mean": tokens as f64 / rows.len() as f64 },
        "rounds": rounds, "global_batch": GLOBAL_BATCH, "micro_batch_size": 4,
        "padding_share": { "unpacked": padding[0], "packed": padding[1] },
        "target_tokens_per_s": { "unpacked": middle(&rates[0]), "packed": middle(&rates[1]) },
        "ratios": ratios, "ratio": middle(&ratios), "cpu_ratio": middle(&cpu_ratios),
        "losses_differ_by": differ,
    })
}

/// Processor time of this process: what a busy machine does not change.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

fn number(text: &str) -> Result<f64> {
    text.parse()
        .map_err(|e| Error::new(Code::Usage, format!("{text}: {e}")))
}
