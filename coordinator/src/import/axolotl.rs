//! Keys that Axolotl alone has, and Axolotl's defaults.
//!
//! In: a key and its value. Out: lines and remarks.

use std::path::Path;

use shared::config::{Item, Node};
use shared::error::{Code, Result};

use super::values::{names, unless_empty};
use super::work::{SourceKey, Work, is_off};
use super::{Outcome, datasets};

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
    let what = format!("`rl`: {} is not built", at.value.node.describe());
    Err(work
        .error(Code::NotYet, what, at.value.mark)
        .why("only supervised fine-tuning is trained")
        .fix("import a file without `rl`"))
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

/// Axolotl's names of forms that our reader finds by the keys of a row.
const FORMS: &[&str] = &["alpaca", "sharegpt", "chat_template", "alpaca_chat.load_qa"];

/// The list of data sources, of which only the first path is read.
pub(super) fn datasets(work: &mut Work<'_>, at: SourceKey<'_>) -> Result<()> {
    unless_empty!(work, at);
    let entries: &[Item] = match &at.value.node {
        Node::List(entries) if !entries.is_empty() => entries,
        _ => &[],
    };
    if entries.is_empty()
        || entries
            .iter()
            .any(|entry| !matches!(entry.node, Node::Map(_)))
    {
        let what = format!(
            "`datasets` must be a list of blocks with `path` and `type`, got {}",
            at.value.node.describe()
        );
        return Err(work
            .error(Code::WrongType, what, at.value.mark)
            .fix("write it as in `datasets: [{path: data/law.jsonl, type: alpaca}]`"));
    }
    let mut paths = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        if let Node::Map(pairs) = &entry.node {
            paths.extend(source(work, number, entry, pairs)?);
        }
    }
    datasets::put(work, at, &paths)
}

/// The paths of one source, with a remark for every other key in it.
fn source(
    work: &mut Work<'_>,
    number: usize,
    entry: &Item,
    pairs: &[(Item, Item)],
) -> Result<Vec<String>> {
    let named = |wanted: &str| {
        let found = pairs
            .iter()
            .find(|(key, _)| key.node == Node::Text(wanted.into()));
        found
            .map(|(_, value)| value)
            .filter(|value| value.node != Node::Null)
    };
    let Some(path) = named("path").map(names).filter(|paths| !paths.is_empty()) else {
        let what = "a block of `datasets` has no `path`".to_owned();
        let error = work.error(Code::MissingKey, what, entry.mark);
        return Err(error.fix("write `path`, a local file or folder"));
    };
    let files = named("data_files").map(names);
    for (key, value) in pairs {
        let Node::Text(part) = &key.node else {
            continue;
        };
        let name = format!("datasets[{number}].{part}");
        let at = SourceKey {
            name: &name,
            key,
            value,
        };
        match (part.as_str(), &value.node) {
            ("path" | "data_files", _) => {}
            ("type", Node::Text(form)) if FORMS.contains(&form.as_str()) => work.nothing(at),
            ("type", _) => work.say(
                Outcome::NoCounterpart,
                at,
                "a form is found by the keys of a row, not by name",
                "see docs/reference/data.md for the forms, and try `coordinator data show`",
            ),
            ("ds_type" | "trust_remote_code", _) => work.nothing(at),
            ("split", Node::Text(split)) if split == "train" => work.nothing(at),
            ("field_messages", Node::Text(field))
                if ["messages", "conversations"].contains(&field.as_str()) =>
            {
                work.nothing(at);
            }
            ("chat_template", _) => super::values::template(work, at)?,
            (_, node) if is_off(node) => work.nothing(at),
            _ => work.say(
                Outcome::NoCounterpart,
                at,
                "a source is a path, and rows are read by their own keys",
                "see docs/reference/data.md for the forms, and try `coordinator data show`",
            ),
        }
    }
    Ok(files.unwrap_or(path))
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
    work.default("output_dir", &text("./model-out"), "")?;
    work.default("batch_size", &Node::Whole(1), " (`micro_batch_size: 1`)")?;
    work.default("epochs", &Node::Whole(1), "")?;
    work.default("max_seq_length", &Node::Whole(512), "")?;
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

/// Whether a name is more likely a path than a repository on a hub.
pub(super) fn looks_like_a_path(name: &str) -> bool {
    name.starts_with(['.', '/', '~']) || Path::new(name).extension().is_some()
}
