//! What a step of a lone worker costs beside forward and backward: integers, proofs, clip, AdamW, digests.
//!
//! `host_step PARAMETERS STEPS THREADS` prints one JSON object of seconds by stage, no libtorch involved. On a GPU
//! this is what the host does while the card waits.

#![recursion_limit = "256"]

use std::time::Instant;

use shared::error::{Code, Error, Result};
use shared::ids::{MicroBatchId, Step};
use shared::numerics::{self, AdapterState};
use shared::wire::message::Task;
use worker::train::{BufferPool, Extra, Replica, StepRule};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || Error::new(Code::Usage, "host_step PARAMETERS STEPS THREADS");
    let numbers: Vec<usize> = arguments
        .iter()
        .map(|text| text.parse().map_err(|_| usage()))
        .collect::<Result<_>>()?;
    let &[parameters, steps, threads] = numbers.as_slice() else {
        return Err(usage());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|e| Error::new(Code::Io, e.to_string()))?;
    pool.install(|| measure(parameters, steps, threads))
}

fn measure(parameters: usize, steps: usize, threads: usize) -> Result<()> {
    let values = |salt: u64| {
        (0..parameters as u64)
            .map(|i| {
                let x = (i + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                (x as f32 - 8_388_608.0) * 1e-9
            })
            .collect::<Vec<f32>>()
    };
    let gradient = values(7);
    let pool = BufferPool::new(parameters);
    let mut replica = Replica::new(parameters);
    replica.share(pool.clone());
    replica.adopt(AdapterState::new(values(1)));
    let names = [
        "quantize",
        "fingerprint",
        "credit",
        "sum",
        "apply",
        "commit",
    ];
    let mut seconds = vec![Vec::new(); names.len()];
    let mut digest = String::new();
    for number in 1..=steps as u64 {
        let step = Step(number);
        let mut last = Instant::now();
        let mut stage = 0;
        let mut done = |seconds: &mut Vec<Vec<f64>>| {
            let now = Instant::now();
            seconds[stage].push((now - last).as_secs_f64());
            last = now;
            stage += 1;
        };
        let mut integers = pool.take();
        let (quantized, extras) = integers.split_at_mut(parameters);
        let _ = numerics::quantize_into(&gradient, 1, quantized);
        extras.fill(0);
        extras[Extra::LossUnits as usize] = 1;
        extras[Extra::MicroBatches as usize] = 1;
        done(&mut seconds);
        let _ = numerics::fingerprint(&integers, 0);
        done(&mut seconds);
        replica.keep(step, Task::Train, MicroBatchId(0), integers);
        replica.credit(Task::Train, &[MicroBatchId(0)])?;
        done(&mut seconds);
        let total = replica.sum(Task::Train, 1);
        done(&mut seconds);
        let rule = StepRule {
            step,
            micro_batches: 1,
            loss_units: 1,
            learning_rate: 1e-3,
            max_grad_norm: 1.0,
            weight_decay: 0.0,
        };
        digest = replica.apply(&rule, total, 1)?.state_digest;
        done(&mut seconds);
        let (total, old) = replica.commit(step)?;
        replica.reuse(old);
        pool.put(std::sync::Arc::into_inner(total).unwrap_or_default());
        done(&mut seconds);
    }
    let stages: serde_json::Map<String, serde_json::Value> = names
        .iter()
        .zip(&mut seconds)
        .map(|(name, times)| {
            times.sort_by(f64::total_cmp);
            let found =
                serde_json::json!({"best": times.first(), "middle": times.get(times.len() / 2)});
            ((*name).to_owned(), found)
        })
        .collect();
    println!(
        "{}",
        serde_json::json!({"threads": threads, "stages": stages, "digest": digest})
    );
    Ok(())
}
