//! Which serving engines take the adapter as it will be written.
//!
//! In: the configuration. Out: a verdict per engine, from the engines' documents. The adapter is plain
//! LoRA on attention and MLP linears: no bias, no DoRA, no whole module, f32, so what remains to ask
//! is the rank. Not here: a trial with the engine itself.

use serde::Serialize;
use shared::config::RunConfig;

/// Rank that vLLM takes without being told.
const VLLM_DEFAULT: u32 = 16;
/// What vLLM's `max_lora_rank` may be, from its documents.
const VLLM_RANKS: &[u32] = &[8, 16, 32, 64, 128, 256, 320, 512];

/// Whether an engine takes the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Its documents say so.
    Yes,
    /// Its documents rule it out.
    No,
    /// Its documents, as far as they are known here, do not say.
    Unknown,
}

/// What an engine does with the adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Engine {
    /// Its name.
    pub name: &'static str,
    /// Whether it loads the adapter, with the setting below where one is named.
    pub accepts: Verdict,
    /// What it has to be told; empty for nothing.
    pub setting: String,
    /// Why.
    pub why: String,
}

/// The verdicts.
#[must_use]
pub fn engines(config: &RunConfig) -> Vec<Engine> {
    let scaling = if config.use_rslora {
        "reads use_rslora"
    } else {
        "plain scaling"
    };
    let same_folder = |name, why: &str| Engine {
        name,
        accepts: Verdict::Yes,
        setting: String::new(),
        why: why.to_owned(),
    };
    let mut engines = vec![
        same_folder("PEFT", &format!("the folder is PEFT's own form; {scaling}")),
        vllm(config),
    ];
    if config.use_rslora {
        for name in ["LoRAX", "mistral.rs"] {
            engines.push(Engine {
                name,
                accepts: Verdict::Unknown,
                setting: String::new(),
                why: "whether it reads use_rslora is not known: try it before you rely on it"
                    .into(),
            });
        }
    } else {
        engines.push(same_folder(
            "LoRAX",
            "takes PEFT folders; adapters of unlike rank share a batch",
        ));
        engines.push(same_folder(
            "mistral.rs",
            "reads rank and targets from adapter_config.json",
        ));
    }
    engines
}

fn vllm(config: &RunConfig) -> Engine {
    let rank = config.lora_rank;
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
    Engine {
        name: "vLLM",
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
        let verdict = |engine: Engine| (engine.name, engine.accepts, engine.setting);
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
}
