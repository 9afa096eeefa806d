//! Which modules something is laid over.
//!
//! In: `target_modules` and `layers_to_transform`. Out: those modules in model order.
//! Keeps: a word for a group never means embedding or head; a name or an expression may.

use regex::Regex;

use super::super::{experts::check_experts, linears};
use super::{AdapterSpec, Candidate, EMBEDDING, HEAD, LinearSpec, ModelConfig, Part};
use crate::config::{AdapterKind, TargetModules, names_module};
use crate::error::{Code, Error, Result};

/// The linears that `target_modules` names, in model order: exact name, or suffix after a dot.
///
/// # Errors
/// [`Code::NoTargetModule`] when a name matches nothing; it shows what exists.
pub fn match_targets(targets: &TargetModules, linears: &[LinearSpec]) -> Result<Vec<LinearSpec>> {
    check_names(targets, linears)?;
    let part = |spec: &LinearSpec| spec.name.rsplit('.').nth(1).unwrap_or_default().to_owned();
    let whole = match targets {
        TargetModules::Regex(pattern) => Some(whole_path(pattern)?),
        _ => None,
    };
    let means = |spec: &LinearSpec| match targets {
        TargetModules::AllLinear => spec.name != EMBEDDING && spec.name != HEAD,
        TargetModules::Attention => part(spec) == "self_attn",
        TargetModules::Mlp => part(spec) == "mlp",
        TargetModules::Names(names) => names.iter().any(|name| names_module(name, &spec.name)),
        TargetModules::Regex(_) => whole.as_ref().is_some_and(|p| p.is_match(&spec.name)),
    };
    let found: Vec<LinearSpec> = linears.iter().filter(|spec| means(spec)).cloned().collect();
    if found.is_empty() {
        let word = match targets {
            TargetModules::Regex(pattern) => format!("re:{pattern}"),
            TargetModules::Attention => "attention".into(),
            TargetModules::Mlp => "mlp".into(),
            _ => "all-linear".into(),
        };
        return Err(nothing(
            format!("target_modules match nothing: {word}"),
            linears,
        ));
    }
    Ok(found)
}

fn whole_path(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
        Error::new(
            Code::NoTargetModule,
            "target_modules hold no regular expression",
        )
        .why(e.to_string())
        .fix("mend the expression; it must fit a whole module path")
    })
}

fn check_names(targets: &TargetModules, linears: &[LinearSpec]) -> Result<()> {
    let TargetModules::Names(names) = targets else {
        return Ok(());
    };
    let strangers: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !linears.iter().any(|spec| names_module(name, &spec.name)))
        .collect();
    if names.is_empty() {
        return Err(nothing("target_modules is empty".into(), linears));
    }
    if !strangers.is_empty() {
        let what = format!("target_modules match nothing: {}", strangers.join(", "));
        return Err(nothing(what, linears));
    }
    Ok(())
}

fn nothing(what: String, linears: &[LinearSpec]) -> Error {
    let mut exist: Vec<&str> = Vec::new();
    for short in linears.iter().map(LinearSpec::short_name) {
        if !exist.contains(&short) {
            exist.push(short);
        }
    }
    Error::new(Code::NoTargetModule, what)
        .why(format!("the base model has {}", exist.join(", ")))
        .fix("name some of them in target_modules, or write all-linear")
}

/// The modules of a description, in model order.
pub(super) fn chosen(spec: &AdapterSpec, model: &ModelConfig) -> Result<Vec<Candidate>> {
    let around = |name: &str, in_features, out_features| LinearSpec {
        name: name.to_owned(),
        in_features,
        out_features,
        layer: 0,
    };
    let (hidden, vocabulary) = (model.hidden_size, model.vocab_size);
    let mut all = vec![around(EMBEDDING, vocabulary, hidden)];
    all.extend(linears(model));
    all.push(around(HEAD, hidden, vocabulary));
    let chosen = match_targets(&spec.targets, &all)?;
    check_experts(model, &spec.targets, &chosen)?;
    if let Some(last) = spec.layers.iter().flatten().max()
        && *last as usize >= model.layers
    {
        let what = format!("layers_to_transform names layer {last}");
        return Err(Error::new(Code::NoTargetModule, what)
            .why(format!(
                "the base model has layers 0 to {}",
                model.layers - 1
            ))
            .fix("name layers that exist"));
    }
    let found: Vec<Candidate> = chosen
        .into_iter()
        .map(|found| Candidate {
            part: match found.name.as_str() {
                EMBEDDING => Part::Embedding,
                HEAD => Part::Head,
                _ => Part::Layer(found.layer),
            },
            spec: found,
        })
        .filter(|found| match (&spec.layers, found.part) {
            (Some(layers), Part::Layer(layer)) => {
                u32::try_from(layer).is_ok_and(|layer| layers.contains(&layer))
            }
            // As PEFT has it: only modules of layers are meant, once layers are named.
            (Some(_), _) => false,
            (None, _) => true,
        })
        .collect();
    if found.is_empty() {
        let what = "target_modules name no module of layers_to_transform";
        return Err(Error::new(Code::NoTargetModule, what).fix("name modules of a layer"));
    }
    let outside = found.iter().find(|found| found.part == Part::Embedding);
    if let Some(embedding) = outside
        && (spec.use_dora || spec.kind == AdapterKind::Ia3)
    {
        let what = format!("{} cannot have DoRA or IA3", embedding.spec.name);
        return Err(Error::new(Code::NoTargetModule, what)
            .why("only plain LoRA is built for the embedding")
            .fix("take it out of target_modules, or train it whole with modules_to_save"));
    }
    Ok(found)
}

/// Checks that every rank fits its matrix; a rank that does not is told the largest that fits all it is
/// meant for.
pub(super) fn check_ranks(adapter: &AdapterSpec, chosen: &[Candidate]) -> Result<()> {
    let side = |spec: &LinearSpec| spec.in_features.min(spec.out_features);
    let rank_of = |found: &Candidate| adapter.rank_of(&found.spec.name);
    let too_large = |found: &&Candidate| {
        usize::try_from(rank_of(found)).map_or(true, |rank| rank > side(&found.spec))
    };
    let Some(Candidate { spec, .. }) = chosen.iter().find(too_large) else {
        return Ok(());
    };
    let rank = adapter.rank_of(&spec.name);
    let alike = chosen.iter().filter(|other| rank_of(other) == rank);
    let largest = alike.map(|other| side(&other.spec)).min().unwrap_or(0);
    let what = format!("lora_rank {rank} is larger than the matrix it adapts");
    Err(Error::new(Code::RankTooLarge, what)
        .why(format!(
            "{} is {} x {}",
            spec.name, spec.out_features, spec.in_features
        ))
        .fix(format!("set lora_rank to {largest} or less")))
}
