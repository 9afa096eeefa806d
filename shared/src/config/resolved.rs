//! The resolved configuration as YAML: every key, its value, where it came from.
//!
//! In: a [`Loaded`]. Out: `resolved.yaml`, or pairs for a table.
//! Keeps: loading the text gives the same [`RunConfig`], whatever the folder; other YAML readers
//! read the same values (exponents have a point, text that could be something else is quoted).

use std::path::Path;

use super::adapter::EMBEDDING_RATE;
use super::document::{Node, Source};
use super::formats::{DataSource, Named};
use super::keys::{ALL_LINEAR, KEYS, REGEX};
use super::load::Loaded;
use super::privacy::PrivacyRule;
use super::run::{Precision, RunConfig, TargetModules};

/// The resolved configuration: one `key: value  # origin` per line.
#[must_use]
pub fn resolved_yaml(loaded: &Loaded) -> String {
    let lines: Vec<(String, &str)> = values(&loaded.config)
        .into_iter()
        .map(|(key, value)| {
            let origin = loaded.origins.get(key).map_or("default", String::as_str);
            (format!("{key}: {value}"), origin)
        })
        .collect();
    let width = lines
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0)
        .min(48);
    let mut text = String::from("# Every value of this run and where it came from.\n");
    for (line, origin) in lines {
        let origin: String = origin.chars().filter(|c| !unsafe_in_yaml(*c)).collect();
        text.push_str(&format!("{line:width$}  # {origin}\n"));
    }
    text
}

/// Every key with its value as YAML, in the order of the table.
#[must_use]
pub fn values(config: &RunConfig) -> Vec<(&'static str, String)> {
    KEYS.iter()
        .filter_map(|key| Some((key.name, value(config, key.name)?)))
        .collect()
}

/// Every key with its value as JSON, in the order of the table.
#[must_use]
pub fn json_values(config: &RunConfig) -> Vec<(&'static str, serde_json::Value)> {
    let json = |text: &str| {
        Source::new("value", text)
            .item()
            .map_or(serde_json::Value::Null, |item| item.node.to_json())
    };
    values(config)
        .into_iter()
        .map(|(key, text)| (key, json(&text)))
        .collect()
}

/// One value as YAML.
pub(super) fn value(config: &RunConfig, key: &str) -> Option<String> {
    let c = config;
    Some(match key {
        "train_data_dir" => path(&c.train_data_dir),
        "metadata_path" => optional(c.metadata_path.as_deref().map(path)),
        "base_model" => path(&c.base_model),
        "task_type" => word(&c.task_type),
        "output_dir" => path(&c.output_dir),
        "lora_rank" => c.lora_rank.to_string(),
        "lora_alpha" => real(c.lora_alpha),
        "lora_dropout" => real(c.lora_dropout),
        "target_modules" => modules(&c.target_modules),
        "use_rslora" => c.use_rslora.to_string(),
        "activation_checkpointing" => text(&word(&c.activation_checkpointing)),
        "init_adapter" => optional(c.init_adapter.as_deref().map(path)),
        "parent" => optional(c.parent.as_deref().map(path)),
        "parent_optimizer" => c.parent_optimizer.to_string(),
        "batch_size" => c.batch_size.to_string(),
        "gradient_accumulation_steps" => c.gradient_accumulation_steps.to_string(),
        "micro_batch_size" => c.micro_batch_size.to_string(),
        "epochs" => c.epochs.to_string(),
        "max_steps" => optional(c.max_steps.map(|value| value.to_string())),
        "learning_rate" => real(c.learning_rate),
        "lr_scheduler_type" => word(&c.lr_scheduler_type),
        "warmup_steps" => c.warmup_steps.to_string(),
        "warmup_ratio" => real(c.warmup_ratio),
        "weight_decay" => real(c.weight_decay),
        "max_grad_norm" => real(c.max_grad_norm),
        "seed" => c.seed.to_string(),
        "fp16" => (c.precision == Precision::Fp16).to_string(),
        "bf16" => (c.precision == Precision::Bf16).to_string(),
        "on_non_finite" => word(&c.stability.on_non_finite),
        "max_skipped_steps" => c.stability.max_skipped_steps.to_string(),
        "initial_loss_scale" => c.stability.initial_loss_scale.to_string(),
        "quantization" => word(&c.quantization.form),
        "quantization_double" => c.quantization.double.to_string(),
        "max_seq_length" => c.max_seq_length.to_string(),
        "overflow" => word(&c.overflow),
        "device" => text(&c.device),
        "save_steps" => c.save_steps.to_string(),
        "save_total_limit" => optional(c.save_total_limit.map(|value| value.to_string())),
        "logging_steps" => c.logging_steps.to_string(),
        "validation_dir" => optional(c.evaluation.dir.as_deref().map(path)),
        "validation_split" => real(c.evaluation.split),
        "eval_steps" => optional(c.evaluation.every.map(|value| value.to_string())),
        "early_stopping_patience" => optional(c.evaluation.patience.map(|value| value.to_string())),
        "early_stopping_threshold" => real(c.evaluation.threshold),
        "eval_prompts" => list(c.evaluation.prompts.iter().map(|prompt| text(prompt))),
        "eval_max_new_tokens" => c.evaluation.max_new_tokens.to_string(),
        "shuffle" => c.shuffle.to_string(),
        "group_by_length" => c.group_by_length.to_string(),
        "packing" => c.packing.to_string(),
        "train_on_inputs" => c.train_on_inputs.to_string(),
        "loss_on" => word(&c.learned()),
        "resume_from_checkpoint" => optional(c.resume_from_checkpoint.as_deref().map(text)),
        "min_workers" => c.min_workers.to_string(),
        "max_workers" => optional(c.max_workers.map(|value| value.to_string())),
        "failure_detection" => real(c.failure_detection),
        "ride_through" => real(c.ride_through),
        "device_class" => word(&c.device_class),
        "audit_rate" => real(c.audit_rate),
        "dialogue" => word(&c.dialogue),
        "csv_columns" => optional(
            c.csv_columns
                .as_ref()
                .map(|(q, a)| format!("[{}, {}]", text(q), text(a))),
        ),
        "privacy" => text(&word(&c.privacy.mode)),
        "privacy_kinds" => optional(
            c.privacy
                .kinds
                .as_ref()
                .map(|kinds| list(kinds.iter().map(word))),
        ),
        "privacy_rules" => {
            let written = |rule: &PrivacyRule| text(&format!("{}={}", rule.name, rule.pattern));
            list(c.privacy.rules.iter().map(written))
        }
        "data_sources" => {
            let written = |s: &DataSource| text(&format!("{}={}", s.path, s.written_weight()));
            list(c.formats.sources.iter().map(written))
        }
        "data_mixing" => word(&c.formats.mixing),
        "columns" => list(c.formats.columns.iter().map(named)),
        "roles" => list(c.formats.roles.iter().map(named)),
        _ => return of_adapter(config, key),
    })
}

/// One value of the kind of adapter as YAML.
fn of_adapter(c: &RunConfig, key: &str) -> Option<String> {
    Some(match key {
        "adapter_type" => word(&c.adapter.kind),
        "use_dora" => c.adapter.use_dora.to_string(),
        "init_lora_weights" => word(&c.adapter.init),
        "rank_pattern" => {
            let pattern = c.adapter.rank_pattern.iter();
            list(pattern.map(|(name, rank)| text(&format!("{name}={rank}"))))
        }
        "alpha_pattern" => {
            let pattern = c.adapter.alpha_pattern.iter();
            list(pattern.map(|(name, alpha)| text(&format!("{name}={}", real(*alpha)))))
        }
        "layers_to_transform" => {
            let layers = c.adapter.layers.as_ref();
            optional(layers.map(|layers| list(layers.iter().map(ToString::to_string))))
        }
        "modules_to_save" => list(c.adapter.modules_to_save.iter().map(|name| text(name))),
        "bias" => word(&c.adapter.bias),
        "loraplus_lr_ratio" => real(c.adapter.loraplus_lr_ratio.unwrap_or(1.0)),
        "loraplus_lr_embedding" => real(c.adapter.loraplus_lr_embedding.unwrap_or(EMBEDDING_RATE)),
        "feedforward_modules" => {
            let names = c.adapter.feedforward_modules.as_ref();
            optional(names.map(|names| list(names.iter().map(|name| text(name)))))
        }
        _ => return None,
    })
}

/// A node as this program writes it.
#[must_use]
pub fn node_yaml(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Flag(value) => value.to_string(),
        Node::Whole(value) => value.to_string(),
        Node::Real(value) => real(*value),
        Node::Text(value) => text(value),
        Node::List(items) => list(items.iter().map(|item| node_yaml(&item.node))),
        Node::Map(_) => node.to_json().to_string(),
    }
}

fn named(named: &Named) -> String {
    text(&format!("{}={}", named.part, named.name))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn optional(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".into())
}

/// A word of an enum, by the name serde gives it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "null".into(),
    }
}

fn modules(value: &TargetModules) -> String {
    match value {
        TargetModules::AllLinear => ALL_LINEAR.into(),
        TargetModules::Attention => "attention".into(),
        TargetModules::Mlp => "mlp".into(),
        TargetModules::Regex(pattern) => quoted(&format!("{REGEX}{pattern}")),
        TargetModules::Names(names) => list(names.iter().map(|name| text(name))),
    }
}

fn path(value: &Path) -> String {
    text(&value.to_string_lossy())
}

/// The shortest digits that read back to the same number; an exponent comes with a point, since
/// some YAML readers take `1e-5` for text.
fn real(value: f64) -> String {
    let text = format!("{value:?}");
    if let Some(whole) = text.strip_suffix(".0") {
        return whole.into();
    }
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            format!("{mantissa}.0e{exponent}")
        }
        _ => text,
    }
}

/// Text as it is where it can only be that text, quoted otherwise.
fn text(value: &str) -> String {
    let simple = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let plain = value.starts_with(|c: char| c.is_alphabetic() || c == '/')
        && value.chars().all(simple)
        && !value.chars().any(unsafe_in_yaml);
    let yes_or_no = ["y", "n", "yes", "no", "on", "off"].contains(&value.to_lowercase().as_str());
    let itself = plain
        && !yes_or_no
        && Source::new("value", value)
            .item()
            .is_ok_and(|item| item.node == Node::Text(value.to_owned()));
    if itself {
        value.to_owned()
    } else {
        quoted(value)
    }
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if unsafe_in_yaml(c) => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Characters that YAML forbids, or takes for the end of a line.
fn unsafe_in_yaml(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}
