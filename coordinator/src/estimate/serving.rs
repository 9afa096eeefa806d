//! Which serving engines load the adapter as it will be exported.
//!
//! In: the configuration. Out: a verdict per engine, from the engines' documents: the kind of
//! adapter, whole modules, biases, the rank. Not here: a trial with the engine itself.

use serde::Serialize;
use shared::config::{AdapterKind, BiasMode, LoraInit, RunConfig};

/// vLLM's default `max_lora_rank`.
const VLLM_DEFAULT: u32 = 16;
/// Values that vLLM's `max_lora_rank` may have, from its documents.
const VLLM_RANKS: &[u32] = &[8, 16, 32, 64, 128, 256, 320, 512];

/// Whether an engine loads the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The engine's documents say that it does.
    Yes,
    /// The engine's documents say that it does not.
    No,
    /// The engine's documents, as far as they are known here, do not say.
    Unknown,
}

/// The verdict on one serving engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServingEngine {
    /// Name of the engine, as its authors write it.
    pub name: &'static str,
    /// Whether it loads the adapter, with the setting below where one is named.
    pub accepts: Verdict,
    /// Command-line flags that the engine needs for this adapter; empty for none.
    pub setting: String,
    /// The properties of the adapter that the verdict rests on.
    pub why: String,
}

/// The verdict on every engine that is known here, PEFT first.
#[must_use]
pub fn engines(config: &RunConfig) -> Vec<ServingEngine> {
    let scaling = if config.use_rslora {
        "reads use_rslora"
    } else {
        "plain scaling"
    };
    let same_folder = |name, why: &str| ServingEngine {
        name,
        accepts: Verdict::Yes,
        setting: String::new(),
        why: why.to_owned(),
    };
    let mut engines = vec![
        same_folder("PEFT", &format!("the folder is PEFT's own form; {scaling}")),
        vllm(config),
    ];
    let others = [
        (
            "LoRAX",
            "takes PEFT folders; adapters of unlike rank share a batch",
        ),
        (
            "mistral.rs",
            "reads rank and targets from adapter_config.json",
        ),
    ];
    let unknown = beyond_plain_lora(config).or_else(|| {
        let unread = "whether it reads use_rslora is not known: try it before you rely on it";
        config.use_rslora.then(|| unread.to_owned())
    });
    for (name, why) in others {
        engines.push(match &unknown {
            Some(why) => ServingEngine {
                name,
                accepts: Verdict::Unknown,
                setting: String::new(),
                why: why.clone(),
            },
            None => same_folder(name, why),
        });
    }
    engines
}

/// Properties of the adapter that an engine for plain LoRA only does not know; `None` for plain LoRA.
fn beyond_plain_lora(config: &RunConfig) -> Option<String> {
    let adapter = &config.adapter;
    let mut found = Vec::new();
    if config.adapter_type == AdapterKind::Ia3 {
        found.push("it is IA3, not LoRA".to_owned());
    }
    if adapter.use_dora {
        found.push("it is DoRA".to_owned());
    }
    if !adapter.modules_to_save.is_empty() {
        let names = adapter.modules_to_save.join(", ");
        found.push(format!("modules_to_save is not null: {names}"));
    }
    if adapter.bias != BiasMode::None {
        found.push("biases are trained".to_owned());
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// Largest rank of the exported adapter: `max(lora_rank, rank_pattern)`, twice that for PiSSA.
fn largest_rank(config: &RunConfig) -> u32 {
    let adapter = &config.adapter;
    let ranks = adapter.rank_pattern.iter().map(|(_, rank)| *rank);
    let largest = ranks.chain([config.lora_rank]).max().unwrap_or(0);
    // Converted back to plain LoRA, PiSSA's first values are subtracted beside the trained ones.
    let twice = adapter.init == LoraInit::Pissa;
    if twice {
        largest.saturating_mul(2)
    } else {
        largest
    }
}

/// A line for each engine that will not load the adapter, said when the adapter is exported.
#[must_use]
pub fn refusals(config: &RunConfig) -> Vec<String> {
    let refusing = engines(config)
        .into_iter()
        .filter(|e| e.accepts == Verdict::No);
    refusing
        .map(|engine| format!("{} will not load this adapter: {}", engine.name, engine.why))
        .collect()
}

fn vllm(config: &RunConfig) -> ServingEngine {
    let name = "vLLM";
    if let Some(why) = beyond_plain_lora(config) {
        return ServingEngine {
            name,
            accepts: Verdict::No,
            setting: String::new(),
            why,
        };
    }
    let rank = largest_rank(config);
    let allowed = VLLM_RANKS.iter().find(|most| rank <= **most);
    let (setting, why) = match allowed {
        None => (
            String::new(),
            format!("rank {rank} is above 512, its largest max_lora_rank"),
        ),
        Some(_) if rank <= VLLM_DEFAULT => (
            "--enable-lora".to_owned(),
            format!("rank {rank} is within its default max_lora_rank of {VLLM_DEFAULT}"),
        ),
        Some(most) => (
            format!("--enable-lora --max-lora-rank {most}"),
            format!("rank {rank} is above its default max_lora_rank of {VLLM_DEFAULT}"),
        ),
    };
    ServingEngine {
        name,
        accepts: allowed.map_or(Verdict::No, |_| Verdict::Yes),
        setting,
        why: format!("{why}; modules_to_save is null, bias none, no DoRA"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::tests::config;

    fn of(rank: u32, rslora: bool) -> Vec<(&'static str, Verdict, String)> {
        let config = RunConfig {
            lora_rank: rank,
            use_rslora: rslora,
            ..config()
        };
        let verdict = |engine: ServingEngine| (engine.name, engine.accepts, engine.setting);
        engines(&config).into_iter().map(verdict).collect()
    }

    #[test]
    fn vllm_has_to_be_told_of_a_rank_above_its_default_and_refuses_more_than_its_largest() {
        let vllm = |rank| of(rank, false)[1].clone();
        assert_eq!(vllm(16), ("vLLM", Verdict::Yes, "--enable-lora".to_owned()));
        assert_eq!(vllm(17).2, "--enable-lora --max-lora-rank 32");
        assert_eq!(vllm(300).2, "--enable-lora --max-lora-rank 320");
        assert_eq!(vllm(513).1, Verdict::No);
    }

    #[test]
    fn what_is_not_known_of_an_engine_is_not_promised() {
        let all = of(8, true);
        let verdicts: Vec<Verdict> = all.iter().map(|engine| engine.1).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Yes,
                Verdict::Yes,
                Verdict::Unknown,
                Verdict::Unknown
            ]
        );
        assert!(of(8, false).iter().all(|e| e.1 == Verdict::Yes));
    }

    #[test]
    fn what_vllm_refuses_is_named() {
        let of = |change: fn(&mut RunConfig)| {
            let mut config = config();
            change(&mut config);
            refusals(&config)
        };
        assert_eq!(of(|_| {}), [""; 0]);
        for (change, why) in [
            (
                (|c| c.adapter.use_dora = true) as fn(&mut RunConfig),
                "it is DoRA",
            ),
            (|c| c.adapter_type = AdapterKind::Ia3, "it is IA3, not LoRA"),
            (
                |c| c.adapter.bias = BiasMode::LoraOnly,
                "biases are trained",
            ),
            (
                |c| c.adapter.modules_to_save = vec!["lm_head".into()],
                "modules_to_save is not null: lm_head",
            ),
            (
                |c| c.adapter.rank_pattern = vec![("q_proj".into(), 600)],
                "rank 600 is above 512, its largest max_lora_rank; modules_to_save is null, bias none, no DoRA",
            ),
        ] {
            assert_eq!(
                of(change),
                [format!("vLLM will not load this adapter: {why}")]
            );
        }
        let mut pissa = config();
        pissa.adapter.init = LoraInit::Pissa;
        pissa.lora_rank = 16;
        assert_eq!(vllm(&pissa).setting, "--enable-lora --max-lora-rank 32");
    }
}
