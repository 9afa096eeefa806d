//! Keys that LLaMA-Factory alone has, and LLaMA-Factory's defaults.
//!
//! In: a key and its value. Out: lines and remarks. The defaults are those of LLaMA-Factory's arguments and of
//! transformers' `TrainingArguments`.

use shared::config::Node;
use shared::error::{Code, Result};

use super::values::{list, names, unless_empty};
use super::work::{SourceKey, Work, is_off};
use super::{Outcome, dataset_info, datasets};

/// The stage of training: only `sft` is taken, any other is refused with its name.
pub(super) fn stage(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Text(stage) if stage != "sft" => {
            let is = match stage.as_str() {
                "dpo" | "kto" | "orpo" | "simpo" => {
                    "it learns from preferences, answers that are compared"
                }
                "rm" => "it trains a reward model from preferences",
                "ppo" => "it learns from rewards",
                "pt" => "it is continued pretraining on plain text",
                _ => "no stage of this name is known here",
            };
            Err(work
                .error(
                    Code::NotYet,
                    format!("`stage: {stage}` is not built"),
                    at.value.mark,
                )
                .why(format!(
                    "{is}; only supervised fine-tuning (`sft`) is trained"
                ))
                .fix("import a file with `stage: sft`, whose data are answers to learn"))
        }
        _ => {
            work.nothing(at);
            Ok(())
        }
    }
}

/// The kind of fine-tuning: only `lora` is taken, any other is refused.
pub(super) fn finetuning_type(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Text(kind) if kind != "lora" => Err(work
            .error(
                Code::NotYet,
                format!("`finetuning_type: {kind}` is not built"),
                at.value.mark,
            )
            .why("only LoRA adapters are trained")
            .fix("import a file with `finetuning_type: lora`")),
        _ => {
            work.nothing(at);
            Ok(())
        }
    }
}

/// `do_train`: the result always trains.
pub(super) fn do_train(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.say(
            Outcome::NoCounterpart,
            at,
            "only training is imported",
            "the result trains",
        );
    } else {
        work.nothing(at);
    }
    Ok(())
}

/// The adapter to start from; several are not merged.
pub(super) fn adapter(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    match names(at.value).as_slice() {
        [one] => work
            .put("init_adapter", &Node::Text(one.clone()), at)
            .map(|_| ()),
        _ => {
            work.say(
                Outcome::NoCounterpart,
                at,
                "several adapters are not merged before training",
                "the first adapter is drawn from `seed`; merge them and write `init_adapter`",
            );
            Ok(())
        }
    }
}

/// Target modules: `all`, or names between commas.
pub(super) fn lora_target(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let found = names(at.value);
    let node = match found.as_slice() {
        [all] if all == "all" => Node::Text("all-linear".into()),
        _ => list(found),
    };
    work.put("target_modules", &node, at).map(|_| ())
}

/// `mask_history`: only a conversation's last answer has a loss.
pub(super) fn mask_history(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    work.put("loss_on", &Node::Text("last".into()), at)
        .map(|_| ())
}

/// `neat_packing`: the same as packing here, where samples never attend to each other.
pub(super) fn neat_packing(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if work.is_on("packing") {
        work.nothing(at);
        return Ok(());
    }
    super::values::packing(work, at)
}

/// Names of data sets, looked up in `dataset_info.json`.
pub(super) fn dataset(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let sets = dataset_info::look_up(work, at)?;
    let weights = match work.other("interleave_probs") {
        Some(node) if sets.len() > 1 => Some(weights(work, &node, sets.len())?),
        _ => None,
    };
    datasets::put(work, at, &sets, weights.as_deref())
}

/// The numbers of `interleave_probs`: between commas, or in a list; one for each data set.
fn weights(work: &Work<'_>, node: &Node, sets: usize) -> Result<Vec<f64>> {
    let number = |node: &Node| match node {
        Node::Whole(value) => value.to_string().parse().ok(),
        Node::Real(value) => Some(*value),
        Node::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let found: Option<Vec<f64>> = match node {
        Node::Text(text) => text
            .split(',')
            .map(|part| part.trim().parse().ok())
            .collect(),
        Node::List(items) => items.iter().map(|item| number(&item.node)).collect(),
        other => number(other).map(|one| vec![one]),
    };
    let fits = |weights: &Vec<f64>| {
        weights.len() == sets
            && weights
                .iter()
                .all(|weight| *weight > 0.0 && weight.is_finite())
    };
    if let Some(weights) = found.filter(fits) {
        return Ok(weights);
    }
    let entry = work
        .pairs
        .iter()
        .find(|(name, ..)| name == "interleave_probs");
    let mark = entry.map(|(_, _, value)| value.mark).unwrap_or_default();
    let what = format!("`interleave_probs` must be {sets} numbers above 0, one for each data set");
    Err(work
        .error(Code::OutOfRange, what, mark)
        .fix("write as many numbers as `dataset` has names, such as `0.7,0.3`"))
}

/// How several data sets are mixed: behind each other, or by shares.
pub(super) fn mix_strategy(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    if several(work) < 2 {
        work.nothing(at);
        return Ok(());
    }
    let (word, why) = match &at.value.node {
        Node::Text(word) if word == "concat" => ("concatenate", ""),
        Node::Text(word) if word == "interleave_under" => (
            "subsample",
            "rows are drawn there until one data set is used up; here shares are exact and no row comes twice",
        ),
        Node::Text(word) if word == "interleave_over" => (
            "repeat",
            "rows are drawn there until every data set is used up; here shares are exact and every row is there",
        ),
        Node::Text(word) if word == "interleave_once" => (
            "concatenate",
            "rows alternate there until each has come once; here their order is drawn from `seed`",
        ),
        _ => {
            work.say(
                Outcome::NoCounterpart,
                at,
                "no strategy of this name is known here",
                "data sets are read behind each other",
            );
            return Ok(());
        }
    };
    if work.put("data_mixing", &Node::Text(word.into()), at)? && !why.is_empty() {
        work.say(
            Outcome::Changed,
            at,
            why,
            &format!("taken as `data_mixing: {word}`"),
        );
    }
    Ok(())
}

/// The shares of several data sets, read together with `dataset`.
pub(super) fn interleave_probs(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    let interleaves = matches!(work.other("mix_strategy"), Some(Node::Text(word)) if word.starts_with("interleave"));
    if several(work) < 2 || !interleaves {
        work.nothing(at);
    } else {
        work.say(
            Outcome::Changed,
            at,
            "they are chances of a draw there, and exact shares of rows here",
            "taken as the weights in `data_sources`",
        );
    }
    Ok(())
}

fn several(work: &Work<'_>) -> usize {
    let entry = work.pairs.iter().find(|(name, ..)| name == "dataset");
    entry.map_or(0, |(_, _, value)| names(value).len())
}

/// The folder of `dataset_info.json`, read together with `dataset`.
pub(super) fn dataset_dir(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if at.value.node != Node::Null && work.other("dataset").is_none() {
        work.say(
            Outcome::NoCounterpart,
            at,
            "no `dataset` of it is named",
            "nothing of it is read",
        );
    } else {
        work.nothing(at);
    }
    Ok(())
}

/// Adds lines for LLaMA-Factory's defaults that differ from ours.
pub(super) fn defaults(work: &mut Work<'_>) -> Result<()> {
    let text = |text: &str| Node::Text(text.into());
    if work.has("data_sources") {
        let note = " (`mix_strategy: concat`)";
        work.default("data_mixing", &text("concatenate"), note)?;
    }
    work.default("output_dir", &text("trainer_output"), "")?;
    work.default(
        "target_modules",
        &text("all-linear"),
        " (`lora_target: all`)",
    )?;
    work.default("learning_rate", &Node::Real(5e-5), "")?;
    work.default("batch_size", &Node::Whole(8), "")
}

/// Bits of the base model's weights: 4 is NF4 with double quantization, 8 is int8.
pub(super) fn quantization_bit(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let form = match at.value.node {
        Node::Whole(4) => "nf4",
        Node::Whole(8) => "int8",
        _ => {
            work.say(
                Outcome::NoCounterpart,
                at,
                "weights are held in 4 or in 8 bits",
                "they are held as they lie; see `quantization`",
            );
            return Ok(());
        }
    };
    let form = Node::Text(form.into());
    work.put("quantization", &form, at).map(|_| ())
}

/// The method of quantization: only that of bitsandbytes is taken.
pub(super) fn quantization_method(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    one_of(work, at, &["bnb", "bitsandbytes"])
}

/// The type of 4-bit values: only NF4 is taken.
pub(super) fn quantization_type(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    one_of(work, at, &["nf4"])
}

fn one_of(work: &mut Work<'_>, at: SourceKey<'_>, ours: &[&str]) -> Result<()> {
    match &at.value.node {
        Node::Text(word) if ours.contains(&word.as_str()) => work.nothing(at),
        node if is_off(node) => work.nothing(at),
        _ => work.say(
            Outcome::NoCounterpart,
            at,
            "weights in 4 bits are bitsandbytes' NF4",
            "see `quantization` in docs/reference/configuration.md",
        ),
    }
    Ok(())
}
