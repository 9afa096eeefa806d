//! Keys that Axolotl alone has, and Axolotl's defaults.
//!
//! In: a key and its value. Out: lines and remarks.

use shared::config::Node;
use shared::error::{Code, Result};

use super::Outcome;
use super::values::unless_empty;
use super::work::{SourceKey, Work, is_off};

/// The kind of adapter: without one Axolotl trains all weights, which is refused; `qlora` is LoRA on a quantized base
/// model.
pub(super) fn adapter(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Text(kind) if kind == "lora" => work.nothing(at),
        Node::Text(kind) if kind == "qlora" && work.is_on("load_in_4bit") => work.nothing(at),
        Node::Text(kind) if kind == "qlora" => {
            work.put("quantization", &Node::Text("nf4".into()), at)?;
        }
        _ => {
            let what = "this trains something else than a LoRA adapter".to_owned();
            return Err(work
                .error(Code::NotYet, what, at.key.mark)
                .why("only `adapter: lora` and `adapter: qlora` are read")
                .fix("write `adapter: lora`"));
        }
    }
    Ok(())
}

/// 4-bit weights: NF4 with double quantization in both programs.
pub(super) fn load_in_4bit(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    quantized(work, at, "nf4")
}

/// 8-bit weights: here inputs are multiplied unquantized, in Axolotl in 8 bits too.
pub(super) fn load_in_8bit(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    quantized(work, at, "int8")
}

fn quantized(work: &mut Work<'_>, at: SourceKey<'_>, form: &str) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    let form = Node::Text(form.into());
    work.put("quantization", &form, at).map(|_| ())
}

/// Preference training, which is refused.
pub(super) fn rl(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    let what = format!(
        "`rl: {}` is not built",
        shared::config::node_yaml(&at.value.node)
    );
    Err(work
        .error(Code::NotYet, what, at.value.mark)
        .why("it learns from preferences or rewards (DPO, KTO, ORPO, GRPO); only supervised fine-tuning is trained")
        .fix("import a file without `rl`, whose data are answers to learn"))
}

/// Pretraining on plain text, which is refused.
pub(super) fn pretraining(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    let what = format!("`{}` is not built", at.name);
    Err(work
        .error(Code::NotYet, what, at.key.mark)
        .why("it is continued pretraining on plain text; what is imported are questions with answers")
        .fix("import a file with `datasets` of conversations"))
}

/// What happens to rows that are too long.
pub(super) fn too_long(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let word = match &at.value.node {
        Node::Text(word) if word == "raise" => "error",
        Node::Text(word) if word == "truncate" => "truncate",
        Node::Text(word) if word == "drop" => "drop",
        _ => {
            let instead = "rows that are too long are left out";
            work.say(
                Outcome::NoCounterpart,
                at,
                "no such strategy is known here",
                instead,
            );
            return Ok(());
        }
    };
    work.put("overflow", &Node::Text(word.into()), at)?;
    Ok(())
}

/// Target modules by name; `lora_target_linear` includes them.
pub(super) fn target_modules(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    if work.is_on("lora_target_linear") {
        work.nothing(at);
        return Ok(());
    }
    work.put("target_modules", &at.value.node, at).map(|_| ())
}

/// `lora_target_linear`: true means all linears.
pub(super) fn target_linear(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    let all = Node::Text("all-linear".into());
    work.put("target_modules", &all, at).map(|_| ())
}

/// The total batch of one GPU, from which Axolotl computes the accumulation when that is not written.
pub(super) fn batch_size(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let micro = match work.other("micro_batch_size") {
        Some(Node::Whole(micro)) if micro > 0 => micro,
        _ => 1,
    };
    match at.value.node {
        Node::Whole(total)
            if work.other("gradient_accumulation_steps").is_none() && total % micro == 0 =>
        {
            let steps = Node::Whole(total / micro);
            if work.put("gradient_accumulation_steps", &steps, at)? {
                work.say(
                    Outcome::Changed,
                    at,
                    "there it is the total batch of one GPU",
                    "taken as gradient_accumulation_steps = batch_size / micro_batch_size",
                );
            }
        }
        _ => work.say(
            Outcome::NoCounterpart,
            at,
            "it is not a multiple of `micro_batch_size`, or `gradient_accumulation_steps` is written",
            "our `batch_size` comes from `micro_batch_size`",
        ),
    }
    Ok(())
}

/// Adds lines for Axolotl's defaults that differ from ours.
pub(super) fn defaults(work: &mut Work<'_>) -> Result<()> {
    if work.other("adapter").is_none() {
        let mark = shared::config::Mark::default();
        let what = "`adapter` is missing: Axolotl would train all weights".to_owned();
        let error = work.error(Code::NotYet, what, mark);
        return Err(error
            .why("only LoRA adapters are trained")
            .fix("add `adapter: lora`"));
    }
    let text = |text: &str| Node::Text(text.into());
    if work.has("data_sources") {
        work.default("data_mixing", &text("concatenate"), "")?;
    }
    work.default("output_dir", &text("./model-out"), "")?;
    work.default("batch_size", &Node::Whole(1), " (`micro_batch_size: 1`)")?;
    work.default("epochs", &Node::Whole(1), "")?;
    work.default("max_seq_length", &Node::Whole(512), "")?;
    work.default(
        "overflow",
        &text("drop"),
        " (`excess_length_strategy: drop`)",
    )?;
    work.default("lr_scheduler_type", &text("cosine"), "")?;
    if work.other("warmup_steps").is_none() && work.other("warmup_ratio").is_none() {
        work.default(
            "warmup_ratio",
            &Node::Real(0.03),
            ", there at most 100 steps",
        )?;
    }
    Ok(())
}
