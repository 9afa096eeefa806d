//! Keys of both tools whose value has another form or another meaning here.
//!
//! In: a key and its value. Out: a line, a remark, or both.

use shared::config::{Item, Node};
use shared::error::Result;

use super::Outcome;
use super::work::{SourceKey, Work, is_off};

/// Ends the reading of a key whose value is null.
macro_rules! unless_empty {
    ($work:ident, $at:ident) => {
        if $at.value.node == Node::Null {
            $work.nothing($at);
            return Ok(());
        }
    };
}
pub(super) use unless_empty;

/// The base model: a folder, or a name on a hub, which is not downloaded.
pub(super) fn base_model(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    work.put("base_model", &at.value.node, at)?;
    if let Node::Text(name) = &at.value.node
        && !work.cwd.join(name).is_dir()
    {
        work.say(
            Outcome::Changed,
            at,
            "no folder of this name is there from here, and nothing is downloaded from a hub",
            "kept as it is; download the model and point `base_model` at its folder",
        );
    }
    Ok(())
}

/// The batch size: samples per device there, samples of all workers here.
pub(super) fn batch_size(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    if work.put("batch_size", &at.value.node, at)? {
        let mine = if at.name == "micro_batch_size" {
            "; our `micro_batch_size` is something else and stays at its default"
        } else {
            ""
        };
        work.say(
            Outcome::Changed,
            at,
            "it counts per GPU there; here the global batch is batch_size x gradient_accumulation_steps however many workers there are",
            &format!("taken as `batch_size`, as on one GPU; trained on G GPUs until now, multiply gradient_accumulation_steps by G{mine}"),
        );
    }
    Ok(())
}

/// Activation checkpointing: a flag there, `on` or `off` here.
pub(super) fn checkpointing(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let word = if is_off(&at.value.node) { "off" } else { "on" };
    work.put("activation_checkpointing", &Node::Text(word.into()), at)?;
    Ok(())
}

/// PiSSA: a flag there, a value of `init_lora_weights` here.
pub(super) fn pissa(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    work.put("init_lora_weights", &Node::Text("pissa".into()), at)?;
    Ok(())
}

/// Modules that are trained whole: a list, or names between commas.
pub(super) fn whole_modules(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let node = match &at.value.node {
        Node::Text(text) => Node::List(
            text.split(',')
                .map(|name| Item {
                    node: Node::Text(name.trim().to_owned()),
                    mark: at.value.mark,
                })
                .collect(),
        ),
        node => node.clone(),
    };
    work.put("modules_to_save", &node, at)?;
    Ok(())
}

/// The chat template: chosen by name there, always the tokenizer's own here.
pub(super) fn template(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    work.say(
        Outcome::Changed,
        at,
        "templates are not chosen by name",
        "the chat template in `base_model` is used; look at it with `coordinator data show`",
    );
    Ok(())
}

/// Packing: a packed row counts as one sample there, each sample for itself here.
pub(super) fn packing(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
        return Ok(());
    }
    if work.put("packing", &at.value.node, at)? {
        work.say(
            Outcome::Changed,
            at,
            "a packed row counts as one sample there; here a step has the same samples packed or not",
            "taken; for as many tokens per step as before raise `batch_size`",
        );
    }
    Ok(())
}

/// Warmup steps: a number below 1 is a ratio of all steps.
pub(super) fn warmup_steps(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let key = match at.value.node {
        Node::Real(share) if share > 0.0 && share < 1.0 => "warmup_ratio",
        _ => "warmup_steps",
    };
    work.put(key, &at.value.node, at).map(|_| ())
}

/// The optimizer: AdamW with float32 moments is the only one here.
pub(super) fn optimizer(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let name = match &at.value.node {
        Node::Text(name) => name.as_str(),
        _ => "",
    };
    if [
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_hf",
        "adamw_apex_fused",
    ]
    .contains(&name)
    {
        work.nothing(at);
    } else if name.contains("adamw") {
        work.say(
            Outcome::NoCounterpart,
            at,
            "moments are not quantized or paged",
            "AdamW with float32 moments: the same rule, in full precision",
        );
    } else {
        work.say(
            Outcome::NoCounterpart,
            at,
            "AdamW is the one optimizer",
            "AdamW; its best learning rate may be another",
        );
    }
    Ok(())
}

pub(super) fn beta1(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    fixed(work, at, 0.9);
    Ok(())
}

pub(super) fn beta2(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    fixed(work, at, 0.999);
    Ok(())
}

pub(super) fn epsilon(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    fixed(work, at, 1e-8);
    Ok(())
}

fn fixed(work: &mut Work<'_>, at: SourceKey<'_>, ours: f64) {
    let written = match &at.value.node {
        Node::Real(value) => Some(*value),
        Node::Text(text) => text.parse().ok(),
        _ => None,
    };
    if at.value.node == Node::Null || written == Some(ours) {
        work.nothing(at);
    } else {
        let instead = format!("{ours} is used");
        work.say(
            Outcome::NoCounterpart,
            at,
            "AdamW's constants are fixed",
            &instead,
        );
    }
}

/// bf16: on or off here, so `auto` and `full` become `true`.
pub(super) fn bf16(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Null => work.nothing(at),
        Node::Flag(false) if work.is_on("pure_bf16") => work.nothing(at),
        Node::Flag(_) if at.name == "bf16" => {
            work.put("bf16", &at.value.node, at)?;
        }
        Node::Flag(false) => work.nothing(at),
        _ => {
            if work.put("bf16", &Node::Flag(true), at)? {
                work.say(
                    Outcome::Changed,
                    at,
                    "it is on or off here, and the adapter is always float32",
                    "taken as `bf16: true`; remove it for devices without bfloat16",
                );
            }
        }
    }
    Ok(())
}

/// fp16: taken unless bf16 is on too.
pub(super) fn fp16(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    if is_off(&at.value.node) {
        work.nothing(at);
    } else if work.is_on("bf16") || work.is_on("pure_bf16") {
        work.say(
            Outcome::NoCounterpart,
            at,
            "compute has one data type",
            "bf16 is taken",
        );
    } else {
        work.put("fp16", &Node::Flag(true), at)?;
    }
    Ok(())
}

/// Strategies of saving and evaluating: intervals are always counted in steps here.
pub(super) fn strategy(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    match &at.value.node {
        Node::Text(word) if word == "steps" => work.nothing(at),
        node if is_off(node) && at.name.starts_with("eval") => work.nothing(at),
        Node::Null => work.nothing(at),
        _ => work.say(
            Outcome::NoCounterpart,
            at,
            "it is counted in steps here, never in epochs or not at all",
            "the key in steps holds, or its default",
        ),
    }
    Ok(())
}

/// The names in a value: between commas, or in a list.
pub(super) fn names(value: &Item) -> Vec<String> {
    match &value.node {
        Node::Text(text) => {
            let parts = text.split(',').map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        }
        Node::List(items) => items.iter().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// A YAML list of texts.
pub(super) fn list(texts: impl IntoIterator<Item = String>) -> Node {
    let item = |text| Item {
        node: Node::Text(text),
        mark: shared::config::Mark::default(),
    };
    Node::List(texts.into_iter().map(item).collect())
}
