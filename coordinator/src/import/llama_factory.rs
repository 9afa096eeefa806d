//! Keys that LLaMA-Factory alone has, and LLaMA-Factory's defaults.
//!
//! In: a key and its value. Out: lines and remarks. The defaults are those of LLaMA-Factory's arguments and of
//! transformers' `TrainingArguments`.

use shared::config::Node;
use shared::error::{Code, Result};

use super::Outcome;
use super::datasets;
use super::values::{list, names, unless_empty};
use super::work::{SourceKey, Work, is_off};

/// The stage of training: only `sft` is taken, any other is refused.
pub(super) fn stage(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Text(stage) if stage != "sft" => Err(work
            .error(
                Code::NotYet,
                format!("`stage: {stage}` is not built"),
                at.value.mark,
            )
            .why("only supervised fine-tuning (`sft`) is trained")
            .fix("import a file with `stage: sft`")),
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
    datasets::look_up(work, at)
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
