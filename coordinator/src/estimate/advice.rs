//! Advice on rank, learning rate, targets and workers, each with its evidence.
//!
//! In: the configuration and the plan's counts. Out: lines. Advice changes nothing and refuses nothing. Its evidence is
//! named, and a rule of thumb is called a rule of thumb.

use serde::Serialize;
use shared::config::{AdapterKind, RunConfig, TargetModules};

/// Number of samples below which the data counts as little.
const LITTLE_DATA: u64 = 1000;
/// Samples seen, repeats counted, below which little data needs more epochs.
const FEW_SIGHTS: u64 = 500;
/// Learning rates that are usual for LoRA.
const USUAL_RATES: std::ops::RangeInclusive<f64> = 1e-5..=3e-4;
/// Learning rates that are usual for IA3.
const USUAL_VECTOR_RATES: std::ops::RangeInclusive<f64> = 1e-3..=1e-2;
/// Learning rates that suit little data.
const LITTLE_DATA_RATES: std::ops::RangeInclusive<f64> = 1e-4..=2e-4;
/// Rank from which on the plain scaling `alpha / rank` holds an adapter back.
const LARGE_RANK: u32 = 32;
/// Share of padding above which packing is advised.
const MUCH_PADDING: f64 = 0.25;

const BENCHMARK: &str = "PEFT's benchmark (method_comparison/MetaMathQA, Llama-3.2-3B, 5000 steps)";

/// One piece of advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The configuration key or flag that the advice is about.
    pub about: &'static str,
    /// The advice itself, one sentence.
    pub text: String,
    /// What the advice rests on: a measurement, a paper, or a rule of thumb.
    pub evidence: String,
}

/// What advice needs to know beyond the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Samples of the prepared data.
    pub samples: u64,
    /// Samples the run trains on, repeats counted.
    pub seen: u64,
    /// Share of the computed tokens that is padding.
    pub padding_share: f64,
    /// Workers that were asked about.
    pub workers: u64,
    /// Number of workers that can be busy at once: a step's micro-batches.
    pub busy: u64,
}

/// The advice for a run.
#[must_use]
pub fn advice(config: &RunConfig, facts: &Facts) -> Vec<Advice> {
    let pairs = config.adapter_type == AdapterKind::Lora;
    let all = [
        pairs.then(|| rank(config.lora_rank)),
        if pairs {
            rate(config, facts)
        } else {
            vectors_rate(config.learning_rate)
        },
        sights(facts),
        targets(&config.target_modules).filter(|_| pairs),
        scaling(config).filter(|_| pairs),
        padding(config, facts),
        idle(facts),
    ];
    all.into_iter().flatten().collect()
}

fn vectors_rate(rate: f64) -> Option<Advice> {
    (!USUAL_VECTOR_RATES.contains(&rate)).then(|| Advice {
        about: "learning_rate",
        text: format!("learning_rate {rate:e} is outside 1e-3 to 1e-2, usual for IA3's vectors"),
        evidence: "a rule of thumb around the 3e-3 of (IA)3's paper (Liu et al., 2022)".into(),
    })
}

fn rank(rank: u32) -> Advice {
    let fits: Vec<&str> = [
        (4..=8, "tone and phrasing (4-8)"),
        (8..=16, "terms of a field (8-16)"),
        (16..=32, "reasoning such as law and finance (16-32)"),
    ]
    .into_iter()
    .filter(|(range, _)| range.contains(&rank))
    .map(|(_, task)| task)
    .collect();
    let text = if fits.is_empty() {
        format!(
            "rank {rank} is outside the usual: 4-8 tone and phrasing, 8-16 terms of a field, 16-32 \
             reasoning"
        )
    } else {
        format!("rank {rank} suits {}", fits.join(" and "))
    };
    Advice {
        about: "lora_rank",
        text,
        evidence: "a rule of thumb: start small, raise it when the validation loss says so".into(),
    }
}

fn rate(config: &RunConfig, facts: &Facts) -> Option<Advice> {
    let rate = config.learning_rate;
    let text = if !USUAL_RATES.contains(&rate) {
        format!("learning_rate {rate:e} is outside 1e-5 to 3e-4")
    } else if facts.samples < LITTLE_DATA && !LITTLE_DATA_RATES.contains(&rate) {
        let samples = facts.samples;
        format!("{samples} samples are little data: 1e-4 to 2e-4 and more epochs suit it")
    } else {
        return None;
    };
    Some(Advice {
        about: "learning_rate",
        text,
        evidence: "a rule of thumb for LoRA on small data; small base models bear more".into(),
    })
}

fn sights(facts: &Facts) -> Option<Advice> {
    (facts.samples < LITTLE_DATA && facts.seen < FEW_SIGHTS).then(|| Advice {
        about: "epochs",
        text: format!(
            "the run looks at {} samples in all, repeats counted: more epochs may be needed",
            facts.seen
        ),
        evidence: "a rule of thumb: little data wants more epochs, not a higher rate".into(),
    })
}

fn targets(targets: &TargetModules) -> Option<Advice> {
    let TargetModules::Names(names) = targets else {
        return None;
    };
    let mlp = ["gate_proj", "up_proj", "down_proj"];
    let has_mlp = names.iter().any(|n| mlp.iter().any(|m| n.ends_with(m)));
    (!has_mlp).then(|| Advice {
        about: "target_modules",
        text: "no MLP linear is adapted: all-linear is the better first choice".into(),
        evidence: format!(
            "{BENCHMARK}: rank 10 on the three MLP linears 0.494 accuracy in 37.9 MB, rank 32 on q \
             and v 0.478 in 36.7 MB; \"LoRA Without Regret\" (Thinking Machines, 2025) agrees"
        ),
    })
}

fn scaling(config: &RunConfig) -> Option<Advice> {
    (config.lora_rank >= LARGE_RANK && !config.use_rslora).then(|| Advice {
        about: "use_rslora",
        text: "rsLoRA is worth a trial at this rank".into(),
        evidence: format!("{BENCHMARK}: rank 64 with rsLoRA 0.513 accuracy, without 0.474"),
    })
}

fn padding(config: &RunConfig, facts: &Facts) -> Option<Advice> {
    (facts.padding_share > MUCH_PADDING && !config.packing).then(|| Advice {
        about: "packing",
        text: "much of the compute is padding: packing pads nothing and changes no step".into(),
        evidence: format!(
            "{:.0} % of this plan's computed tokens",
            facts.padding_share * 100.0
        ),
    })
}

fn idle(facts: &Facts) -> Option<Advice> {
    (facts.workers > facts.busy).then(|| Advice {
        about: "--workers",
        text: format!(
            "{} of {} workers would be idle: a step has {} micro-batches",
            facts.workers - facts.busy,
            facts.workers,
            facts.busy
        ),
        evidence: "this plan".into(),
    })
}
